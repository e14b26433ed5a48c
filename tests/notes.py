"""A progress that keeps what was said."""

from durian.run.progress import Silent


class Notes(Silent):
    """Each note of a command, in order."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

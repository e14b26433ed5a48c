"""What can go wrong, as a tree. The command line turns each into one line and an exit code.

DurianError
├── InputError          the user's input is at fault: exit 2, nothing written
│   ├── ConfigError     an option, or two that do not go together
│   ├── DatasetError    a dataset that cannot be found, read, or lacks a column
│   └── RunFolderError  a run folder that is in use, complete, or of another run
└── RunError            the run failed part-way: exit 1, finished work kept, resumable
"""


class DurianError(Exception):
    """Base of all errors that Durian raises on purpose; its text is one line for the user."""


class InputError(DurianError):
    """The user's input is wrong: names the file, row or option, and says what to do."""


class ConfigError(InputError):
    """An option has a value it cannot have."""


class DatasetError(InputError):
    """A dataset cannot be found or read, or lacks a column."""


class RunFolderError(InputError):
    """A run folder is in use, already complete, or belongs to another run."""


class RunError(DurianError):
    """A run stopped part-way; what is finished is kept and the same command resumes it."""

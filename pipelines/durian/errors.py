"""The errors of Durian, as a tree; and one line for any failure, with secrets left out.

DurianError
├── InputError          the user's input is at fault: exit 2, nothing written
│   ├── ConfigError     an option, or two that do not go together; a package that is not installed
│   ├── DatasetError    a dataset that cannot be found, read, or lacks a column
│   └── RunFolderError  a run folder that is in use, complete, or of another run
└── RunError            the run failed part-way: exit 1, finished work kept, resumable

The command line turns each into one line and an exit code. What a library, a server or a user's
own reward says goes through `one_line` before it is shown or written: it may fill a page, and may
repeat what it was given (a header that is no header, a proxy's address, a key).
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from urllib.parse import unquote, urlsplit

LONGEST = 300  # characters of an error that is not ours
_SECRET = re.compile(
    r"(KEY|KEY_ID|TOKEN|SECRET|PASSWORD|CREDENTIALS|CONNECTION_STRING)$", re.IGNORECASE
)
_PROXY = re.compile(r"_PROXY$", re.IGNORECASE)
# Of an address: protocol, what stands before the host, host and path, and what a signature is in.
_ADDRESS = re.compile(r"([A-Za-z][\w+.-]*://)([^\s/?#'\"@]*@)?([^\s?#'\"<>]*)(\?[^\s'\"<>]*)?")
_SHORTEST_SECRET = 8  # characters; a shorter value would turn up in words

# The packages that only some roads need, and the extra of Durian that brings each. A plain install
# measures pixels, groups, reports and compares; the rest is asked for before anything is read.
EXTRAS = {
    "accelerate": "train",
    "adlfs": "az",
    "aiohttp": "http",
    "datasets": "hub",
    "fsspec": "http",
    "gcsfs": "gcs",
    "huggingface_hub": "hub",
    "math_core": "view",
    "math_verify": "math",
    "num2words": "smolvlm",
    "openai": "openai",
    "peft": "train",
    "ray": "ray",
    "s3fs": "s3",
    "starlette": "view",
    "tensorboard": "tensorboard",
    "torch": "policy",
    "torchvision": "policy",
    "trackio": "trackio",
    "transformers": "policy",
    "trl": "train",
    "uvicorn": "view",
    "vllm": "vllm",
    "wandb": "wandb",
}


class DurianError(Exception):
    """Base of all errors that Durian raises on purpose; its text is one line for the user."""


class InputError(DurianError):
    """The user's input is wrong: names the file, row or option, and says what to do."""


class ConfigError(InputError):
    """An option has a value it cannot have."""


class MissingPackage(ConfigError, ImportError):
    """A package that was asked for is not installed; its extra is named."""


class DatasetError(InputError):
    """A dataset cannot be found or read, or lacks a column."""


class RunFolderError(InputError):
    """A run folder is in use, already complete, or belongs to another run."""


class RunError(DurianError):
    """A run stopped part-way; what is finished is kept and the same command resumes it."""


def one_line(error: BaseException | str, *, longest: int | None = LONGEST) -> str:
    """The text of an error as one line without secrets, cut where it is longer than `longest`.

    Secret are the values of OPENAI_API_KEY, HF_TOKEN and of each environment variable that ends in
    KEY, KEY_ID, TOKEN, SECRET, PASSWORD, CREDENTIALS or CONNECTION_STRING, and the password in a
    proxy's address; each is replaced by its variable's name in brackets. A value counts as it is,
    and as Python writes it between quotes. Addresses are shown as by `without_secrets`.

    Args:
        error: what was raised, or a text; of an error without a text, the name of its type.
        longest: characters; None for the whole line.
    """
    line = " ".join(str(error).split())
    if not line and isinstance(error, BaseException):
        line = type(error).__name__
    # The longest first: where one secret is part of another (a password, and the address that holds
    # it), the shorter replacement would break the longer one and leave its rest.
    for secret, name in sorted(_secrets(), key=lambda item: -len(item[0])):
        line = line.replace(secret, f"[{name}]")
    line = without_secrets(line)
    return line if longest is None or len(line) <= longest else line[: longest - 3] + "..."


def without_secrets(text: str) -> str:
    """The text with its addresses cut to what may be shown.

    What stands before `@` goes (a name and password), and what follows `?` (a signature).
    """
    return _ADDRESS.sub(_shown, text)


def is_address(name: str) -> bool:
    """Whether a name is a server's address, such as s3://bucket/set."""
    return _ADDRESS.match(name) is not None and not name.lower().startswith("file://")


def _shown(address: re.Match[str]) -> str:
    protocol, before, place, query = address.groups(default="")
    if protocol.startswith("abfs") and ":" not in before:
        protocol += before  # a container, not a name
    return protocol + place + ("?..." if query else "")


def _secrets() -> set[tuple[str, str]]:
    """The secrets of the environment in each form that a text may have, and their variables."""
    found = set()
    for name, value in os.environ.items():
        secrets = [value] if _SECRET.search(name) else []
        if _PROXY.search(name):
            secrets = _passwords(value)
        for secret in secrets:
            forms = {secret, secret.strip(), repr(secret)[1:-1]}
            forms.add(" ".join(secret.split()))  # as one line of an error has it
            found |= {(form, name) for form in forms if len(form) >= _SHORTEST_SECRET}
    return found


def _passwords(address: str) -> list[str]:
    try:
        password = urlsplit(address if "//" in address else f"//{address}").password
    except ValueError:
        return [address]
    return [password, unquote(password)] if password else []


def require(road: str, *packages: str) -> None:
    """Refuse a road of which a package is not installed; nothing is imported to find out.

    Args:
        road: what needs them, as the message begins.
        packages: importable names, keys of `EXTRAS`; of several missing the last is named, whose
            extra brings the others too.
    Raises:
        MissingPackage: names the package and how to install it.
    """
    missing = [package for package in packages if not _is_installed(package)]
    if missing:
        raise MissingPackage(
            f"{road} needs {missing[-1]}, which is not installed; {way_out(missing[-1])}"
        )


def way_out(package: str) -> str:
    """Give the command that installs an extra from a clone, for no index has Durian yet."""
    return f'pip install ".[{EXTRAS[package]}]" in a clone of Durian'


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # as a finder refuses it, or as sys.modules has it
        return False

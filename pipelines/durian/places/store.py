"""One server's files by fsspec: listed, opened and read again where an answer fails.

Retries are ours and not the libraries': each has other ones, and most have none for a body that is
cut. What stays a failure becomes one line: of the user's input where nothing was read yet, of the
run where something was, which the same command then resumes.
"""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar, cast

from durian.errors import (
    ConfigError,
    DatasetError,
    DurianError,
    RunError,
    one_line,
    require,
    without_secrets,
)
from durian.places.served import Served

if TYPE_CHECKING:
    from durian.places.remote import Remote

TRIES = 6  # of one request; the waits in between are half a second, one, two, four and eight
FIRST_WAIT = 0.5  # seconds; a little more at random, so that many workers do not come back at once
CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0  # without a byte, before an answer counts as failed
LARGEST_WHOLE = 64 << 20  # bytes of a file that is taken whole where its server gives no ranges

# What reads each protocol, as `errors.EXTRAS` knows it; of any other fsspec says what it needs.
_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs",
    "abfss": "adlfs", "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp",
}  # fmt: skip

# Where the servers' libraries keep what changes with the content, the surest first.
_TAGS = (
    "ETag", "etag", "generation", "md5Hash", "xet_hash", "blob_id", "mtime", "LastModified",
    "Last-Modified", "last_modified", "created",
)  # fmt: skip

_EXPIRED = ("Expired", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch")
Answer = TypeVar("Answer")


class Stat(NamedTuple):
    """A version of a file."""

    st_size: int  # bytes
    tag: str  # as the server marks the version: ETag, generation or time


class _Cut(OSError):
    """An answer that ended before its bytes were all there."""


class _NoRanges(Exception):
    """A server that sends whole files only."""


class Store:
    """The files of one dataset on a server, as they were when first asked about."""

    def __init__(self, protocol: str, fs: Any) -> None:
        self.fs = fs
        self._web = protocol in ("http", "https")
        self._opened: dict[Remote, Stat] = {}
        self._listed: set[Remote] = set()
        self._below: dict[Remote, list[str]] = {}
        self._answered = False  # content was read, so that a refusal is new

    def is_file(self, place: Remote) -> bool:
        if place in self._listed:
            return True
        if any(
            names and folder.path in place.path.parents for folder, names in self._below.items()
        ):
            return False  # its folder is listed, without it
        try:
            info = self._ask(place, lambda: self.fs.info(self._key(place)))
        except FileNotFoundError:
            return False
        # The page that a web server makes of a folder comes as a file like any other.
        if info.get("type") != "file" or str(info.get("mimetype")).startswith("text/html"):
            return False
        self._listed.add(place)
        return True

    def below(self, folder: Remote) -> list[str]:
        """The files in a folder, at any depth: their ways from there, in a fixed order."""
        if folder not in self._below:
            key = self._key(folder, signed=False)
            try:
                names = self._ask(folder, lambda: self.fs.find(key))
            except (FileNotFoundError, NotADirectoryError):
                names = []
            found = (_inner(name, key) for name in names)
            self._below[folder] = sorted(
                {inner for inner in found if inner}, key=lambda inner: PurePosixPath(inner).parts
            )
            self._listed.update(folder / inner for inner in self._below[folder])
        return self._below[folder]

    def matching(self, folder: Remote, pattern: str) -> Iterator[str]:
        """The files in a folder that a pattern means: their ways from there."""
        key = self._key(folder, signed=False)
        try:
            names = self._ask(folder, lambda: self.fs.glob(f"{key.rstrip('/')}/{pattern}"))
        except FileNotFoundError:
            return
        for inner in filter(None, (_inner(name, key) for name in names)):
            self._listed.add(folder / inner)
            yield inner

    def stat(self, place: Remote) -> Stat:
        if place not in self._opened:
            self.open(place).close()
        return self._opened[place]

    def open(self, place: Remote) -> BinaryIO:
        try:
            info, handle = self._ask(place, lambda: self._begin(place))
        except FileNotFoundError as error:
            if place in self._opened or place in self._listed:
                raise _changed(place) from error
            raise DatasetError(f"{place}: no such file; check the address") from error
        if info.get("size") is None:
            handle.close()
            raise DatasetError(
                f"{place}: its server does not say how long it is; bring it here, or to a bucket"
            )
        stat = Stat(info["size"], str(next(filter(None, map(info.get, _TAGS)), "")))
        if self._opened.setdefault(place, stat) != stat:
            handle.close()
            raise _changed(place)
        return cast(BinaryIO, io.BufferedReader(self._served(place, handle, stat), 1 << 16))

    def read(self, place: Remote, most: int | None) -> bytes:
        # By a range, for without one some libraries ask for the size first: twice the requests.
        end = LARGEST_WHOLE if most is None else most

        def whole() -> bytes:
            try:
                return cast(bytes, self.fs.cat_file(self._key(place), start=0, end=end))
            except Exception as error:
                if _status(error) == 416:  # no range of an empty file
                    return b""
                raise

        return self._ask(place, whole, alone=True)

    def put(self, place: Remote, content: Path | bytes) -> None:
        if isinstance(content, bytes):
            self._ask(place, lambda: self.fs.pipe_file(self._key(place), content), what="written")
        else:
            local = str(content)
            self._ask(place, lambda: self.fs.put_file(local, self._key(place)), what="written")

    def remove(self, place: Remote) -> None:
        with suppress(FileNotFoundError):
            self._ask(place, lambda: self.fs.rm_file(self._key(place)), what="removed")

    def _begin(self, place: Remote) -> tuple[Mapping[str, Any], Any]:
        key, more = self._key(place), dict[str, Any]()
        if self._web:
            info = self.fs.info(key)
            more["size"] = info["size"]
            tag = info.get("ETag", "")
            if tag.startswith('"'):  # a weak one, W/"...", is of no use here
                more["headers"] = {"If-Match": tag}
            if not info["size"]:
                return info, io.BytesIO()
        handle = self.fs.open(key, "rb", cache_type="none", **more)
        if not self._web:
            info = getattr(handle, "details", None) or self.fs.info(key)
        return info, handle

    def _served(self, place: Remote, handle: Any, stat: Stat) -> Served:
        ended = threading.Event()
        whole: list[bytes] = []

        def fetch(start: int, end: int) -> bytes:
            if whole:
                return whole[0][start:end]
            try:
                return self._ask(place, lambda: _range(handle, start, end), ended=ended)
            except _NoRanges as error:
                if stat.st_size > LARGEST_WHOLE:
                    raise DatasetError(
                        f"{place}: its server sends whole files only, and this one has "
                        f"{stat.st_size:,} bytes; bring it here, or to a bucket"
                    ) from error
                whole.append(self.read(place, stat.st_size))
                return whole[0][start:end]

        def end() -> None:
            ended.set()
            handle.close()

        return Served(fetch, stat.st_size, end)

    def _key(self, place: Remote, *, signed: bool = True) -> str:
        address = place.address if signed else place.address.removesuffix(place.query)
        from fsspec.core import strip_protocol  # here: no other dataset needs the package

        return str(strip_protocol(address))

    def _ask(
        self,
        place: Remote,
        request: Callable[[], Answer],
        *,
        ended: threading.Event | None = None,
        alone: bool = False,
        what: str = "read",
    ) -> Answer:
        """Ask, and ask again with growing waits where the answer fails in a way that may pass.

        Args:
            ended: when it is set, nobody wants the answer any longer.
            alone: one file among many, whose refusal says nothing of the others.
            what: is done with the file.
        """
        ended = ended or threading.Event()
        for wait in [FIRST_WAIT * 2**n for n in range(TRIES - 1)] + [None]:
            try:
                answer = request()
            except (DurianError, _NoRanges):
                raise
            except Exception as error:  # each library has its own
                if wait is None or not _may_pass(error):
                    raise self._failed(place, error, alone, what) from error
                if _pause(ended, wait * random.uniform(1.0, 1.5)):
                    raise
            else:
                self._answered = self._answered or isinstance(answer, bytes)
                return answer
        raise AssertionError

    def _failed(self, place: Remote, error: Exception, alone: bool, what: str) -> Exception:
        status, said = _status(error), one_line(error)
        if _may_pass(error):
            return RunError(
                f"{place}: cannot be {what} after {TRIES} tries ({said}); what is finished is "
                "kept: give the same command again"
            )
        if status == 412 or type(error).__name__ == "FileExpired":
            return _changed(place)
        if status in (404, 410) or (status is None and isinstance(error, FileNotFoundError)):
            return FileNotFoundError(str(place))
        if isinstance(error, NotADirectoryError):
            return error
        if _is_denied(error):
            if alone and not any(code in _codes(error) for code in _EXPIRED):
                return PermissionError(said)
            if self._answered:
                return RunError(
                    f"{place}: access is denied now ({said}); what is finished is kept: renew the "
                    "credentials, and give the same command again"
                )
            return DatasetError(
                f"{place}: access is denied ({said}); check the address, and the credentials that "
                "the environment has for it"
            )
        return DatasetError(f"{place}: cannot be {what}: {said}")


def open_store(protocol: str, name: str) -> Store:
    """The server that an address names; it is not asked yet.

    Raises:
        ConfigError: a package is not installed that reads from there.
        DatasetError: no known kind of server.
    """
    shown = without_secrets(name)
    package = _PACKAGES.get(protocol, "fsspec")
    require(f"{shown}: an address of {protocol}://", "fsspec", package)
    import fsspec

    try:
        kind = fsspec.get_filesystem_class(protocol)
    except ValueError as error:
        raise DatasetError(
            f"{shown}: {protocol}:// is no known kind of server; check the address"
        ) from error
    except ImportError as error:
        raise ConfigError(f"{shown}: {one_line(error)}") from error
    # An instance of our own: what it has listed, and how often it tries, is no one else's.
    fs = kind(skip_instance_cache=True, use_listings_cache=False, **_options(protocol))
    fs.retries = 1  # of s3fs
    return Store(protocol, fs)


def _options(protocol: str) -> dict[str, Any]:
    """How long to wait for an answer, in each library's words; what the user set is kept."""
    options = dict[str, dict[str, Any]]()
    if protocol in ("s3", "s3a"):
        options["config_kwargs"] = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            "retries": {"total_max_attempts": 1},
        }
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout

        options["client_kwargs"] = {
            "timeout": ClientTimeout(sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
            "trust_env": True,  # proxies, and ~/.netrc
        }
    from fsspec.config import conf  # FSSPEC_S3 and the like

    given = conf.get(protocol, {})
    return {name: {**ours, **given.get(name, {})} for name, ours in options.items()}


def _pause(ended: threading.Event, seconds: float) -> bool:
    return ended.wait(seconds)


def _range(handle: Any, start: int, end: int) -> bytes:
    handle.seek(start)
    try:
        data = cast(bytes, handle.read(end - start))
    except ValueError as error:
        if "range requests" in str(error):
            raise _NoRanges from error
        raise
    except IndexError as error:  # of s3fs, over a timeout that says nothing
        raise error.__context__ or error from None
    if len(data) != end - start:
        raise _Cut(f"{len(data):,} of {end - start:,} bytes came")
    return data


def _inner(name: str, key: str) -> str:
    """The way from a listed folder to a file in it; nothing for what is not in it."""
    folder = key.rstrip("/") + "/"
    inner = name.removeprefix(folder) if name.startswith(folder) else ""
    return "" if inner.endswith("/") or ".." in inner.split("/") else inner


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error, wherever its library keeps that."""
    for cause in _causes(error):
        answer = getattr(cause, "response", None)
        if isinstance(answer, Mapping):  # botocore
            found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        else:
            found = getattr(answer, "status_code", None)
        # No `code` but of gcsfs: aiohttp gives a body that is cut a 400 there.
        names = ("code",) if type(cause).__name__ == "HttpError" else ("status", "status_code")
        for status in (found, *(getattr(cause, name, None) for name in names)):
            if isinstance(status, int):
                return status
    return None


def _codes(error: BaseException) -> str:
    return " ".join(str(cause) for cause in _causes(error))


def _is_denied(error: BaseException) -> bool:
    if _status(error) in (401, 403) or isinstance(error, PermissionError):
        return True
    return any("Credential" in type(cause).__name__ for cause in _causes(error))


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may be answered a little later."""
    status = _status(error)
    if status is not None:
        return status >= 500 or status in (408, 425, 429)
    lasting = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError,
               NotImplementedError, ValueError, TypeError, LookupError, ImportError)  # fmt: skip
    if isinstance(error, lasting):
        # A FileNotFoundError of the web's library may be any failure: its cause tells.
        return error.__cause__ is not None and _may_pass(error.__cause__)
    return not _is_denied(error)


def _changed(place: Remote) -> RunError:
    return RunError(
        f"the dataset was changed while it was read ({place} is another now, or gone); put it "
        "back and give the same command again, or choose another --out"
    )

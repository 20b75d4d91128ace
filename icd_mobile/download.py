"""Teacher weights and datasets from their publishers: resumed when cut off, hashed, there whole or not at all.

A file whose hash is known is checked against it. Any other is recorded at first use in `NAME.sha256` beside it, as
`sha256sum -c` reads it, and checked ever after. Command lines import this for the cache's place, so that the network's
modules are imported by the functions that need them.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from icd_mobile.errors import InputError, OutsideError
from icd_mobile.files import whole_file

CACHE_VARIABLE = "ICD_MOBILE_CACHE"
OFFLINE_VARIABLE = "ICD_MOBILE_OFFLINE"


def cache_dir() -> Path:
    """`ICD_MOBILE_CACHE`, or the platform's folder for caches with our name in it."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "icd-mobile"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "icd-mobile" / "Cache"
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the XDG rule: a relative one is ignored
    return (base if base.is_absolute() else Path.home() / ".cache") / "icd-mobile"


def download(url: str, path: Path, *, sha256: str | None = None, num_bytes: int | None = None, what: str) -> str:
    """Make sure that `path` holds what `url` gives, and return its sha256. A file that is there needs no network.

    Processes that want the same file wait for one another.

    Raises:
        OutsideError: offline, no answer, or the publisher gives another file than before.
        InputError: the file here is not the one expected, the path cannot be written, or `url` is not https.
    """
    from icd_mobile.resume import FetchError, is_allowed

    if not is_allowed(url):
        raise InputError(f"{what} would come over {url.partition(':')[0]} from {url}; only https is trusted")
    if path.is_file():
        return _check_here(path, sha256, num_bytes, what)
    by_hand = f"fetch {url} elsewhere and put it at {path}"
    if os.environ.get(OFFLINE_VARIABLE, "0") not in {"", "0"}:
        raise OutsideError(f"{what} is not here and {OFFLINE_VARIABLE} is set: {by_hand}")
    try:
        return _download(url, path, sha256, num_bytes, what)
    except FetchError as error:
        raise OutsideError(f"{what} did not come: {url} {error}; try again, or {by_hand}") from error
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror}); make room or give rights there, or choose another folder "
            f"({CACHE_VARIABLE} names the cache's)"
        ) from error


def _download(url: str, path: Path, sha256: str | None, num_bytes: int | None, what: str) -> str:
    from icd_mobile.resume import fetch, forget

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with _alone(path.with_name(f".{path.name}.lock"), what):
        if path.is_file():
            return _check_here(path, sha256, num_bytes, what)
        fetch(url, part, what)
        found = file_sha256(part)
        if problem := _difference(path, part.stat().st_size, found, sha256, num_bytes):
            forget(part)
            raise OutsideError(f"{url} gave another file than {what}: {problem}; try again, or ask its publisher")
        _record(path, found)
        part.replace(path)
        forget(part)
    return found


@contextmanager
def _alone(lock_path: Path, what: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{what}: another process downloads it; waiting", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_here(path: Path, sha256: str | None, num_bytes: int | None, what: str) -> str:
    found = file_sha256(path)
    if problem := _difference(path, path.stat().st_size, found, sha256, num_bytes):
        raise InputError(f"{path} is not {what} as expected: {problem}; remove it and have it downloaded again")
    if not _record_path(path).is_file():
        with suppress(OSError):  # a cache that is shared read-only is still of use
            _record(path, found)
    return found


def _difference(path: Path, size: int, found: str, pinned: str | None, num_bytes: int | None) -> str | None:
    """What is wrong with a file that is, or is to be, at `path`; None if nothing is."""
    if num_bytes is not None and size != num_bytes:
        return f"{size:,} bytes, not {num_bytes:,}"
    expected, where = (pinned, "pinned here") if pinned else (_recorded(path), f"recorded in {_record_path(path).name}")
    if expected is not None and found != expected:
        return f"sha256 {found}, not {expected} as {where}"
    return None


def _recorded(path: Path) -> str | None:
    record = _record_path(path)
    if not record.is_file():
        return None
    sha256 = record.read_text("utf-8").partition(" ")[0]
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise InputError(f"{record} is damaged: needed a line `SHA256  {path.name}`; remove it")
    return sha256


def _record(path: Path, sha256: str) -> None:
    with whole_file(_record_path(path)) as temporary:
        temporary.write_text(f"{sha256}  {path.name}\n", "utf-8")


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

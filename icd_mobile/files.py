"""Files that appear whole or not at all."""

from __future__ import annotations

import glob
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from icd_mobile.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A hidden path beside `path` to write to, which takes its place when the block ends well.

    Its name is this process's own, so that two that make the same file do not write into each other's. What a killed
    one has left is removed by the next that makes the same file.

    Raises:
        OSError: the folder cannot be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        pid = left.name.split(".")[-2]
        if pid.isdecimal() and not is_alive(int(pid)):
            left.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write beside the path, then put it in place; an error or an interrupt leaves what was there.

    Raises:
        OSError: the folder cannot be made or written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_result(folder: Path, stem: str, created_utc: str, suffix: str, text: str) -> Path:
    """Write a command's result under its name and time, whole or not at all; returns the path.

    Raises:
        InputError: the folder cannot be written.
    """
    stamp = created_utc.replace(":", "").replace("-", "")
    path = folder / f"{stem}--{stamp}{suffix}"
    try:
        write_whole(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another --out") from error
    return path


def write_synced(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file beside the path, sync it to the disk, then put it in place: for folders that several
    processes or machines write to, where a power cut too leaves all of a file or nothing.

    Raises:
        OSError: the folder is missing, or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # process ids repeat between machines
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this computer."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

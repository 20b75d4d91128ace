"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO

from distill.errors import InputError
from distill.files import whole_file


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

"""What the command lines share: a user's mistake is one line on standard error and the exit code of its cause."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Protocol, cast

import typer

from icd_mobile.errors import InputError
from icd_mobile.extras import not_installed

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as shells have it
_KEPT = "what was finished is kept, nothing half-written is left"


class HasExitCode(Protocol):
    """An error that knows the exit code of its cause."""

    exit_code: int


@contextmanager
def one_line_errors(*others: type[Exception]) -> Iterator[None]:
    """Run a command's body; every other exception is a defect of ours and keeps its traceback.

    `others` are error classes that carry an `exit_code`, as `InputError` does.
    """
    kinds: tuple[type[Exception], ...] = (InputError, *others)
    try:
        yield
    except kinds as error:
        _stop(_own_line(str(error)), cast(HasExitCode, error).exit_code, error)
    except KeyboardInterrupt as error:
        _stop(f"interrupted; {_KEPT}", INTERRUPTED, error)
    except Terminated as error:
        _stop(f"ended by SIGTERM; {_KEPT}", TERMINATED, error)
    except ModuleNotFoundError as error:
        outside = not_installed(error)
        if outside is None:
            raise
        _stop(str(outside), outside.exit_code, error)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            advice = "free some space, or choose another --out"
        elif error.filename is None:
            raise
        else:
            advice = "check the path and its rights"
        _stop(f"{error.filename or 'writing'}: {error.strerror}; {advice}", InputError.exit_code, error)


class Terminated(BaseException):
    """SIGTERM came; as KeyboardInterrupt, no handler of a library's errors catches it."""


@contextmanager
def sigterm_cleans_up() -> Iterator[None]:
    """Let SIGTERM unwind the stack, so that child processes are ended and unfinished folders removed.

    It goes inside `one_line_errors`.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _own_line(message: str) -> str:
    """Of an error that a data-loading worker passed on with its traceback, the line that is the error's own."""
    if not message.startswith("Caught "):
        return message
    return message.strip().splitlines()[-1].partition(": ")[2]


def _stop(line: str, exit_code: int, cause: BaseException) -> None:
    typer.echo(f"error: {line}", err=True)
    raise typer.Exit(exit_code) from cause


def check_out(out: Path) -> None:
    """Refuse a bad destination of a safetensors file before minutes of work, not after.

    Raises:
        InputError: another suffix, or a folder that cannot be written.
    """
    if out.suffix != ".safetensors" or out.is_dir():
        raise InputError(f"--out needs a file name that ends in .safetensors, got {out}")
    existing = next(parent for parent in out.absolute().parents if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise InputError(f"--out {out} cannot be written: {existing} is not a writable folder; choose another")

"""The interface of every device, and how one is opened by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol, Self, cast

from devices import DEVICES


class DeviceError(Exception):
    """The device is missing, or did not do what it was asked. One line: what was needed, what came, what to do."""

    exit_code = 3


class UnknownDeviceError(DeviceError):
    """No device of that name."""

    exit_code = 2


@dataclass(frozen=True)
class DeviceFacts:
    """What a device says of itself. A text it does not tell is "not measured", a number it does not tell is None."""

    name: str  # as in `DEVICES`
    kind: str  # computer, phone, browser
    model: str
    os: str
    cpu: str
    architecture: str
    num_cpus: int | None  # those that a process there may use
    memory_bytes: int | None
    governor: str
    python: str


@dataclass(frozen=True)
class CompletedRun:
    """How a script ended. A negative `returncode` is the signal that ended it."""

    returncode: int
    stdout: str
    stderr: str


class Device(Protocol):
    """A private working folder somewhere, and a way to start scripts in it.

    Entered as a context manager; leaving it removes the folder and ends whatever still runs. Names are those of
    files inside the folder, with `/` between parts.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def push(self, source: Path, name: str) -> None:
        """Copy a file or folder of this computer to `name` on the device.

        Raises:
            DeviceError: the source is missing, the name leads outside the folder, or the copy failed.
        """

    def run(
        self,
        script: str,
        arguments: list[str],
        timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> CompletedRun:
        """Start a pushed script in a fresh process, in the folder, and wait for its end.

        `on_line` is called with each line of its standard output as it comes.

        Raises:
            DeviceError: no such script, it cannot be started, or it ran past `timeout_s` and was ended.
        """

    def pull(self, name: str, destination: Path) -> None:
        """Copy file `name` from the device to this computer, replacing what was there only when it has all come.

        Raises:
            DeviceError: no such file, the name leads outside the folder, or the copy failed.
        """

    def facts(self) -> DeviceFacts:
        """What the device says of itself."""


def open_device(name: str) -> Device:
    """A device by its name in `DEVICES`, not yet entered.

    Raises:
        UnknownDeviceError: no such name; the closest one is suggested.
        DeviceError: the device, or a package that reaches it, is missing.
    """
    if name not in DEVICES:
        near = difflib.get_close_matches(name, DEVICES, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "see `python -m devices`."
        raise UnknownDeviceError(f"unknown device '{name}': known are {', '.join(sorted(DEVICES))}; {hint}")
    module_name, _, class_name = DEVICES[name].rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise DeviceError(f"device '{name}' needs the package {error.name}: pip install {error.name}") from error
    return cast(Device, getattr(module, class_name)())


def inside_name(name: str) -> PurePosixPath:
    """`name` as a relative path, once it is sure that it stays inside the device's folder.

    Raises:
        DeviceError: empty, absolute, with `..`, or with a backslash.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise DeviceError(f"'{name}' is not a name inside the device's folder; give a plain relative name")
    return path

"""This computer as a device: a temporary folder, and a fresh Python interpreter for each run."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from devices.base import CompletedRun, DeviceError, DeviceFacts, inside_name
from icd_mobile.evidence import NOT_MEASURED
from icd_mobile.files import is_alive

_PREFIX = "icd-mobile-host-"


class HostDevice:
    """`devices.base.Device` on this computer. Its folder's name carries this process's id."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        _sweep_dead(Path(tempfile.gettempdir()))
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def push(self, source: Path, name: str) -> None:
        destination = self._path(name)
        if not source.exists():
            raise DeviceError(f"cannot push {source}: it does not exist")
        _copy(source, destination)

    def pull(self, name: str, destination: Path) -> None:
        source = self._path(name)
        if not source.is_file():
            raise DeviceError(f"cannot pull '{name}': the device has no such file")
        _copy(source, destination)

    def run(
        self,
        script: str,
        arguments: list[str],
        timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> CompletedRun:
        path = self._path(script)
        if not path.is_file():
            raise DeviceError(f"cannot run '{script}': push it first")
        # -P keeps the folder out of the import path: a pushed file cannot shadow an installed package.
        command = [sys.executable, "-P", str(path), *arguments]
        with tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace") as errors:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
            except OSError as error:
                raise DeviceError(f"cannot start '{script}' with {sys.executable}: {error}") from error
            stdout = _wait(process, script, timeout_s, on_line)
            errors.seek(0)
            return CompletedRun(process.returncode, stdout, errors.read())

    def facts(self) -> DeviceFacts:
        return DeviceFacts(
            name="host",
            kind="computer",
            model=_first_line(Path("/sys/class/dmi/id/product_name")),
            os=platform.platform(terse=True),
            cpu=_cpu_model(),
            architecture=platform.machine() or NOT_MEASURED,
            num_cpus=_num_cpus(),
            memory_bytes=_memory_bytes(),
            governor=_first_line(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
            python=platform.python_version(),
        )

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise DeviceError("the host device is not open; use it in a `with` statement")
        return self._folder / inside_name(name)


def _sweep_dead(parent: Path) -> None:
    """Remove the folders of processes that were killed: this user's own, named by us, of a process that is no more."""
    for folder in parent.glob(f"{_PREFIX}*-*"):
        match = re.fullmatch(rf"{_PREFIX}(\d{{1,9}})-\w+", folder.name)
        try:
            is_ours = match is not None and not folder.is_symlink() and folder.stat().st_uid == os.getuid()
        except OSError:  # gone meanwhile
            continue
        if match is not None and is_ours and not is_alive(int(match[1])):
            shutil.rmtree(folder, ignore_errors=True)


def _wait(process: subprocess.Popen[str], script: str, timeout_s: float, on_line: Callable[[str], None] | None) -> str:
    """Read standard output to its end; past the time limit, or on any error here, the whole process group is ended."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        _kill_group(process)

    timer = threading.Timer(timeout_s, expire)
    timer.start()
    try:
        assert process.stdout is not None
        lines = _read_lines(process.stdout, on_line)
        process.wait()  # it may have closed its output before its end
    finally:
        timer.cancel()
        _kill_group(process)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    if expired.is_set():
        raise DeviceError(f"'{script}' ran past its limit of {timeout_s:g} s and was ended; give it more time")
    return "".join(lines)


def _read_lines(stream: IO[str], on_line: Callable[[str], None] | None) -> list[str]:
    lines = []
    for line in stream:
        lines.append(line)
        if on_line is not None:
            on_line(line.rstrip("\n"))
    return lines


def _kill_group(process: subprocess.Popen[str]) -> None:
    """End the script and everything it started; after a normal end, what it left running."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _copy(source: Path, destination: Path) -> None:
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, temporary)
            _remove(destination)  # a folder can only take the place of nothing
        else:
            shutil.copyfile(source, temporary)
        temporary.replace(destination)
    except OSError as error:
        raise DeviceError(f"cannot copy {source.name} to {destination}: {error.strerror or error}") from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[0].strip() or NOT_MEASURED
    except (OSError, IndexError):
        return NOT_MEASURED


def _cpu_model() -> str:
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        return found or NOT_MEASURED
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or NOT_MEASURED
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or NOT_MEASURED


def _num_cpus() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None

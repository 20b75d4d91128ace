"""The allocator of CPU trainings: freed memory stays in the process, and the switch leaves all as it was."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from icd_mobile.allocator import SWITCH, keep_freed_memory

# A block of 64 MiB is filled and freed, ten times: 16,384 pages of 4 KiB each time that they come from the kernel.
_CHURN = """
import resource
from icd_mobile.allocator import keep_freed_memory

was_set = keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    block = b"x" * (64 * 2**20)
    del block
print(int(was_set), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _churn(switch: str) -> tuple[int, int]:
    """Whether the allocator was set, and how many pages were faulted in."""
    environment = os.environ | {SWITCH: switch}
    done = subprocess.run([sys.executable, "-c", _CHURN], env=environment, capture_output=True, text=True, check=True)
    was_set, num_faults = done.stdout.split()
    return int(was_set), int(num_faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_taken_again_without_the_kernel() -> None:
    """One block of ten is faulted in, the other nine reuse it; huge pages make both counts smaller alike."""
    kept_set, kept_faults = _churn("")
    system_set, system_faults = _churn("system")
    assert (kept_set, system_set) == (1, 0)
    assert kept_faults < system_faults / 5


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()

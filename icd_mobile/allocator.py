"""Memory that PyTorch frees on a CPU and takes again at the next step stays with the process.

glibc gives large blocks back to the system and has every page zeroed anew; in training that is more than half of the
time. Large blocks are kept in the heap instead (`M_MMAP_MAX` 0), the heap is never trimmed, and grows in large steps.
Source: mallopt(3).
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
TOP_PAD_BYTES = 256 * 2**20


def keep_freed_memory() -> bool:
    """Ask glibc for it, before PyTorch allocates; False where there is another C library."""
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, TOP_PAD_BYTES))
    taken = [libc.mallopt(name, value) for name, value in settings]  # each is asked for, whatever came of the others
    return all(taken)

"""Memory that PyTorch frees on a CPU and takes again at the next step stays with the process.

glibc gives large blocks back to the system, which clears every page of them anew; in training that is much of the time.
Large blocks are kept in the heap instead (`M_MMAP_MAX` 0), the heap is never trimmed, and grows in large steps. No
number changes: it is the same memory. Source: mallopt(3).
"""

from __future__ import annotations

import ctypes
import os
import platform

SWITCH = "ICD_MOBILE_ALLOCATOR"  # `system` leaves the allocator as it comes, to measure the difference
TOP_PAD_BYTES = 256 * 2**20
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # <malloc.h>


def keep_freed_memory() -> bool:
    """Ask glibc for it, for this process and those it forks; False where there is another C library.

    Before the first large tensor: what has a mapping of its own by then is given back when it is freed.
    """
    if os.environ.get(SWITCH) == "system" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, TOP_PAD_BYTES))
    taken = [libc.mallopt(name, value) for name, value in settings]  # each is asked for, whatever came of the others
    return all(taken)

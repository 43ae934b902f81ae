"""Settings of glibc's malloc that speed up training on a CPU."""

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Constants of glibc's malloc.h."""
NAMES = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Keep freed memory in this process for its next allocation, if glibc manages it.

    Otherwise every large tensor of every step is requested from the system and returned, and the
    system clears it page by page: a quarter of the time of a training step of small convolutions
    on a processor (docs/log.md, 2026-11-25). The process is as large as at its peak until it
    ends, so this is for the command line, not for a function of a library.

    Returns:
        Whether it was set; never if the environment sets malloc itself.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in NAMES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))


def trim_memory() -> None:
    """Return what is free now to the system, if glibc manages it; later blocks are kept again."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def return_freed_memory() -> bool:
    """Return what was freed, and large blocks at once from now on, if glibc manages memory.

    Where large blocks come and go whose sum would not fit, as gathered parameters do.

    Returns:
        Whether it was set; never if the environment sets malloc itself.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in NAMES):
        return False
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    return bool(libc.mallopt(M_MMAP_MAX, 65536)) and bool(libc.mallopt(M_MMAP_THRESHOLD, 2**20))

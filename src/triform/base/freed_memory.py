"""Memory that was given back and is needed again at once."""

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Numbers of the two settings in glibc's malloc.h."""
NAMES = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next allocation, where glibc manages it.

    Otherwise every large tensor of every step is asked of the system and given back, and the
    system clears it page by page: a quarter of the time of a training step of small convolutions
    on a processor (docs/log.md, 2026-11-25). The process is as large as at its peak until it
    ends, so this is for whoever owns the process: the command line, not a function of a library.

    Returns:
        Whether that is so; never where the environment names other settings.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in NAMES):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, -1))

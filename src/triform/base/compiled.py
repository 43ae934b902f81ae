"""Numba's compiler, with a folder for compiled code that can be written to.

Numba refuses to import a cached function where neither the package's folder nor the user's cache
folder can be written, as for a package of the system and a user without a home.
"""

import os
from pathlib import Path

from triform.base.paths import cache_dir

# Read by numba when it is imported.
if "NUMBA_CACHE_DIR" not in os.environ and not os.access(Path(__file__).parents[1], os.W_OK):
    os.environ["NUMBA_CACHE_DIR"] = str(cache_dir() / "numba")

from numba import njit

__all__ = ["njit"]

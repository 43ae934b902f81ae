"""Converts one CAD file to GLB in a process of its own; run by `cad.py`, never imported.

Open CASCADE crashes or hangs on damaged files, which must not end the reading of a thousand others.
"""

from __future__ import annotations

import sys
from pathlib import Path

MAX_MEMORY = 4 * 2**30
# Tessellation of curves: largest deviation as a share of the edge's length, and largest angle in
# radians (24 segments around a circle).
RELATIVE_DEVIATION, MAX_ANGLE = 0.005, 0.25


def main(source: str, target: str, file_type: str, seconds: str) -> int:
    """Convert a file; return 0, or 1 if nothing in it has faces."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
        # Processor time, so that the load of the machine does not decide what can be read.
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # not every system has such limits
        pass
    import cascadio

    glb = cascadio.load(
        Path(source).read_bytes(),
        file_type="iges" if file_type == "iges" else "step",
        tol_linear=RELATIVE_DEVIATION,
        tol_angular=MAX_ANGLE,
        tol_relative=True,
        use_parallel=False,
    )
    Path(target).write_bytes(glb)
    return 0 if glb else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

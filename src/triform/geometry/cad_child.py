"""One CAD file becomes GLB, in a process of its own: run by `cad.py`, never imported.

The geometry kernel behind it (Open CASCADE) crashes or runs for ever on damaged files, which must
not happen to who reads a thousand of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

LARGEST_MEMORY = 4 * 2**30
# Flat pieces leave a curve by at most this share of the edge's length, and turn by at most this
# angle (radians): 24 around a circle, however large the thing is.
DEVIATION, LARGEST_TURN = 0.005, 0.25


def main(source: str, target: str, file_type: str, seconds: str) -> int:
    """Convert a file; 0 where there is something in it."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
        # Processor time: a busy machine must not decide what can be read.
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # not every system has such limits
        pass
    import cascadio

    glb = cascadio.load(
        Path(source).read_bytes(),
        file_type="iges" if file_type == "iges" else "step",
        tol_linear=DEVIATION,
        tol_angular=LARGEST_TURN,
        tol_relative=True,
        use_parallel=False,
    )
    Path(target).write_bytes(glb)
    return 0 if glb else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Lets these tests import the fuzzer, which is no package."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE.parent / "geometry", HERE.parent / "hostile", HERE):
    sys.path.insert(0, str(folder))

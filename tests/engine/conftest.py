"""Lets the engine's tests import their toy systems."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

"""Lets these tests import what they share, and gives them its fixtures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from hostile_place import model, place, refused, trained

__all__ = ["model", "place", "refused", "trained"]

"""Lets these tests import what they share, and gives them its fixtures."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "images"))

from hostile_library import lib
from hostile_place import boxes, model, place, refused, trained

__all__ = ["boxes", "lib", "model", "place", "refused", "trained"]

"""Hints for mistyped names."""

from triform.base.settings.nearest import closest_name, nearest

KNOWN = ["none", "ReduceLROnPlateau", "CosineAnnealingLR", "batch_size"]


def test_hints() -> None:
    """A part of a name, letters in common, or nothing."""
    assert nearest("plateau", KNOWN) == "; perhaps you meant ReduceLROnPlateau"
    assert nearest("batch_sise", KNOWN, prefix="--") == "; perhaps you meant --batch_size"
    assert nearest("xyz", KNOWN) == ""


def test_letters_in_common_up_to_the_cutoff() -> None:
    """Of ten letters nine are the same: a similarity of 0.9."""
    assert closest_name("batch_sise", KNOWN, cutoff=0.9) == "batch_size"
    assert closest_name("batch_sise", KNOWN, cutoff=0.91) is None

"""Conditions from flags."""

import os

import pytest

from triform.base.errors import UsageError
from triform.search.conditions import Range, StartsWith
from triform.systems.clip.gallery.filters import conditions, date_range, formats
from triform.systems.clip.verb_config import SearchConfig


@pytest.mark.parametrize(
    ("text", "first", "after"),
    [
        ("", "", ""),
        ("2024", "2024-01-01", "2025-01-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2024-12", "2024-12-01", "2025-01-01"),
        ("2024-02-29", "2024-02-29", "2024-03-01"),
        ("2024-12-31", "2024-12-31", "2025-01-01"),
    ],
)
def test_dates(text, first, after):
    assert date_range("--taken_to", text) == (first, after)


@pytest.mark.parametrize(
    "text", ["24", "2024-13", "2023-02-29", "May", "2024-5", "9999", "2024-05-"]
)
def test_wrong_dates(text):
    with pytest.raises(UsageError, match=f"--taken_from {text}: expected a year"):
        date_range("--taken_from", text)


def test_formats():
    assert formats(["jpg", ".PNG", "heic", "tif", "jpeg"]) == ["JPEG", "PNG", "HEIF", "TIFF"]
    assert {"NEF", "CR2"} < set(formats(["raw"])) and {"MP4", "MOV"} < set(formats(["video"]))
    with pytest.raises(UsageError, match=r"--format jepg: not known.*JPEG"):
        formats(["jepg"])


def test_all_conditions():
    settings = SearchConfig(
        query=("a",),
        folder="photos",
        taken_from="2020",
        taken_to="2021-05",
        min_width=5,
        min_bytes=10,
        max_bytes=99,
        format=("png",),
    )
    assert conditions(settings) == {
        "folder": StartsWith(os.path.join(os.getcwd(), "photos", "")),
        "taken": Range("2020-01-01", "2021-06-01"),
        "width": Range(5, None),
        "bytes": Range(10, 100),
        "format": ["PNG"],
    }
    assert conditions(SearchConfig(query=("a",))) == {}

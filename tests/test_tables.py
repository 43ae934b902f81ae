"""Every table of results has a baseline and an interval, and says what was looked at.

A figure alone says little: a README's results stand beside the strongest simple baseline, carry a
95 % interval, and name the part of the data that was looked at while the system was made.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SYSTEMS = ROOT / "src" / "triform" / "systems"
CARDS = ROOT / "src" / "triform" / "pretrained" / "weights"
PAGES = [*sorted(SYSTEMS.glob("*/README.md")), ROOT / "docs" / "generators.md"]
SECTION = re.compile(r"^## (?:Results|Measured)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
INTERVAL = re.compile(r"± ?\d|\[-?\d[\d.]* ?%?, -?\d[\d.]* ?%?\]")
BASELINE = re.compile(r"\bbaselines?\b", re.IGNORECASE)  # and not stable-baselines3
LOOKED_AT = re.compile(
    r"(?:looked at|used)(?: many times)? (?:while|during)|selected on", re.IGNORECASE
)
SHARE = re.compile(r"\d+(?:\.\d+)? %")


def problems(text: str) -> list[str]:
    """What results say too little of; each in a few words."""
    found = []
    if not BASELINE.search(text):
        found.append("no baseline")
    if not INTERVAL.search(text):
        found.append("no interval (± 0.1 or [0.1, 0.2])")
    if not LOOKED_AT.search(text):
        found.append("nothing about what was looked at while it was made")
    return found


def bare_tables(text: str) -> list[str]:
    """First lines of tables with a row or column of a baseline, and no interval at all."""
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return [
        table.splitlines()[0]
        for table in tables
        if BASELINE.search(table) and not INTERVAL.search(table)
    ]


def results(path: Path) -> str:
    """The section of results of a README; all of any other page."""
    text = path.read_text("utf-8")
    if path.name != "README.md":
        return text
    sections = SECTION.findall(text)
    assert sections, f"{path}: no section Results or Measured"
    return "\n".join(sections)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_results_have_baseline_interval_and_split(path):
    text = results(path)
    assert not problems(text)
    assert not bare_tables(text)


@pytest.mark.parametrize("path", sorted(CARDS.glob("*.md")), ids=lambda path: path.stem)
def test_cards_have_baseline_and_interval(path):
    text = path.read_text("utf-8")
    missing = [each for each in problems(text) if not each.startswith("nothing about")]
    assert not missing


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_the_front_page_quotes_no_share_without_its_interval(name):
    for line in (ROOT / name).read_text("utf-8").splitlines():
        assert not SHARE.search(line) or INTERVAL.search(line), line


def test_what_is_missing_is_found():
    good = "The baseline has 0.5. Ours: 0.7 ± 0.1. Validation was looked at while making it."
    assert problems(good) == []
    assert problems(good.replace("baseline", "other")) == ["no baseline"]
    assert problems(good.replace("baseline", "stable-baselines3")) == ["no baseline"]
    assert problems(good.replace("± 0.1", "")) == ["no interval (± 0.1 or [0.1, 0.2])"]
    assert problems(good.replace("± 0.1", "[0.6, 0.8]")) == []
    assert problems(good.replace("± 0.1", "[60 %, 80 %]")) == []
    assert problems(good.replace("± 0.1", "see [dcgan](../dcgan)")) != []
    assert problems(good.replace("looked at while making it", "large")) == [
        "nothing about what was looked at while it was made"
    ]
    bare = "| | ours | baseline |\n|---|---|---|\n| share | 0.7 | 0.5 |\n"
    assert bare_tables(bare) == ["| | ours | baseline |"]
    assert bare_tables(bare.replace("0.7", "0.7 ± 0.1")) == []

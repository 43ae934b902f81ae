"""Text of strangers, fit for a terminal."""

import json
import unicodedata

import pytest

from triform.base.printable import escape_json, printable, shorten_middle

# What a terminal, a log or an eye acts upon, and how it is shown.
DANGEROUS = [
    ("\x1b[2J", r"\x1b[2J"),
    ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
    ("\x9b31m", r"\x9b31m"),  # the 8-bit form of ESC [
    ("\x9d0;t\x9c", r"\x9d0;t\x9c"),
    ("a\nb", r"a\nb"),
    ("a\r\nb", r"a\r\nb"),
    ("\x08\x08", r"\x08\x08"),
    ("\x00", r"\x00"),
    ("\x7f", r"\x7f"),
    ("\x85", r"\x85"),
    ("\u2028\u2029", r"\u2028\u2029"),
    ("\u202egnp.exe", r"\u202egnp.exe"),
    ("\u2066x\u2069", r"\u2066x\u2069"),
    ("\u200e\u200f", r"\u200e\u200f"),
    ("\u200b\ufeff", r"\u200b\ufeff"),
    ("\U000e0041", r"\U000e0041"),  # a tag character: invisible text
    ("\ud800", r"\ud800"),
    ("\ue000", r"\ue000"),
]
HARMLESS = ["a chair", "стул", "椅子", "naïve", "🪑", "👩\u200d🔧", "می\u200cخواهم", "a\\nb", ""]


@pytest.mark.parametrize(("text", "shown"), DANGEROUS)
def test_what_acts_is_shown(text: str, shown: str) -> None:
    assert printable(f"<{text}>") == f"<{shown}>"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_text_stays(text: str) -> None:
    assert printable(text) == text


def test_spaces_become_plain() -> None:
    assert printable("10\xa0000\u3000m\u2009!") == "10 000 m !"


def test_line_breaks_stay_where_they_are_meant() -> None:
    assert printable("a\n\tb\r\x1b\n", line_breaks=True) == "a\n\tb\\r\\x1b\n"


def test_every_character_of_unicode() -> None:
    """Nothing of the classes of controls, formats, surrogates and separators comes through."""
    for number in range(0x110000):
        actual = printable(chr(number))
        if unicodedata.category(chr(number)) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            assert actual.isascii() or number in (0x200C, 0x200D), hex(number)
        assert len(actual.splitlines()) == 1 and "\x1b" not in actual, hex(number)


@pytest.mark.parametrize("text", [text for text, _ in DANGEROUS] + HARMLESS)
def test_json_is_exact_and_shown(text: str) -> None:
    data = {text: [text]}
    actual = escape_json(json.dumps(data, indent=2, ensure_ascii=False))
    assert json.loads(actual) == data
    assert all(c.isprintable() or c == "\n" for c in actual)


def test_shortened() -> None:
    assert shorten_middle("x" * 100, 100) == "x" * 100
    text = shorten_middle("a" * 500 + "b" * 500, 100)
    assert len(text) == 100 and text.startswith("aaa") and text.endswith("bbb")

"""Tokens of names and captions, and queries that are never FTS5's syntax."""

import sqlite3

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triform.search.words import TOKENIZER, fold, index_tokens, query_words


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("PinHeader_1x02", ["pinheader", "pin", "header", "1x02", "1x2"]),
        ("LED_D5.0mm", ["led", "d5.0mm", "d5mm", "5mm"]),
        ("P2.54mm", ["p2.54mm", "2.54mm"]),
        ("SOT-23", ["sot-23", "sot", "23"]),
        ("LM7805", ["lm7805"]),
        ("2,5", ["2.5", "2", "5"]),
        ("5 mm", ["5mm"]),
        ("10 \u00d7 20.50cm", ["10", "x", "20.50cm", "20.5cm"]),
        ("USB3", ["usb3", "usb", "3"]),
        ("HTMLParser", ["htmlparser", "html", "parser"]),
        ("caf\u00e9 na\u00efve", ["cafe", "naive"]),
        (
            "\u0401\u043b\u043a\u0430 \u041c\u041e\u0419",
            ["\u0435\u043b\u043a\u0430", "\u043c\u043e\u0439"],
        ),
        (
            "\u041a\u0440\u0443\u0433\u043b\u044b\u0439\u0421\u0442\u043e\u043b",
            [
                "\u043a\u0440\u0443\u0433\u043b\u044b\u0439\u0441\u0442\u043e\u043b",
                "\u043a\u0440\u0443\u0433\u043b\u044b\u0439",
                "\u0441\u0442\u043e\u043b",
            ],
        ),
        ("stra\u00dfe \ufb01le \u6905\u5b50", ["strasse", "file", "\u6905\u5b50"]),
        ("don't C++", ["dont", "don", "t", "c++", "c"]),
        ("photos/2024/beach", ["photos", "2024", "beach"]),
        ("a.b.obj", ["a.b.obj", "a", "b", "obj"]),
        (" _-.()\0 ", []),
    ],
)
def test_tokens(text, tokens):
    assert index_tokens(text) == tokens


def test_words_of_a_query():
    def expressions(text):
        return [word.expression() for word in query_words(text)]

    assert expressions("the Pins") == ['("pins" OR "pins" * OR "pin" *)']
    assert expressions("pin header") == [
        '("pin" OR "pinheader" OR "pin" * OR "pinheader" *)',
        '("header" OR "pinheader" OR "header" * OR "pinheader" *)',
    ]
    assert expressions("5.0 mm") == ['("5.0mm" OR "5mm" OR "5.0mm" * OR "5mm" *)']
    assert expressions("SOT-23") == ['("sot-23" OR "sot-23" * OR (("sot" OR "sot" *) AND ("23")))']
    assert len(expressions("of the")) == 2  # nothing else was said
    assert expressions(" *\"' ") == []


def database(texts):
    connection = sqlite3.connect(":memory:")
    connection.execute(f'CREATE VIRTUAL TABLE words USING fts5(tokens, tokenize = "{TOKENIZER}")')
    rows = [(number, " ".join(index_tokens(text))) for number, text in enumerate(texts)]
    connection.executemany("INSERT INTO words (rowid, tokens) VALUES (?, ?)", rows)
    return connection


def found(connection, text):
    words = query_words(text)
    if not words:
        return []
    find = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY bm25(words), rowid"
    expression = " AND ".join(word.expression() for word in words)
    rows = [row[0] for row in connection.execute(find, (expression,))]
    for row, tokens in connection.execute("SELECT rowid, tokens FROM words"):
        assert all(word.is_met(tokens.split(" ")) for word in words) == (row in rows)
    return rows


@settings(max_examples=150, deadline=None)
@example('" OR x NOT y* NEAR(a b, 3) AND {tokens} : ^z + -q')
@example("tokens:pin")
@example("\ud7ff\uffff\U0001f9ff e\u0301")
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_finds_itself_and_is_no_syntax(text):
    connection = database(["quite another thing", text])
    has_words = bool(index_tokens(text))
    assert (1 in found(connection, text)) == has_words
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("pin header", ["PinHeader_1x02_P2.54mm", "Pin_D0.7mm_Header", "pinheader"]),
        ("1x2", ["PinHeader_1x02_P2.54mm"]),
        ("2.54mm", ["PinHeader_1x02_P2.54mm"]),
        ("2.54 MM", ["PinHeader_1x02_P2.54mm"]),
        ("5mm led", ["LED_D5.0mm"]),
        ("D5.0mm", ["LED_D5.0mm"]),
        ("resist", ["Resistor_THT"]),
        ("resistors", ["Resistor_THT"]),
        ("\u0441\u0442\u0443\u043b", ["\u0421\u0442\u0443\u043b\u044c\u044f"]),
        ("lm78", ["LM7805"]),
        ("7805", []),
        ("54mm", []),
    ],
)
def test_what_is_found(query, names):
    texts = [
        "PinHeader_1x02_P2.54mm",
        "Pin_D0.7mm_Header",
        "pinheader",
        "LED_D5.0mm",
        "Resistor_THT",
        "\u0421\u0442\u0443\u043b\u044c\u044f",
        "LM7805",
    ]
    assert {texts[row] for row in found(database(texts), query)} == set(names)


def test_a_whole_word_comes_before_a_longer_one():
    assert found(database(["pins", "pin", "other"]), "pin")[0] == 1

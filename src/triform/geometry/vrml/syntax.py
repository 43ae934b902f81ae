"""The grammar of VRML 2.0 (VRML97): a text becomes nodes, names and prototypes looked up.

What a node means is no concern of this module: all are read alike, known or not. Depth costs no
recursion, and memory is proportional to the text.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from triform.geometry.limits import LARGEST_DEPTH, LARGEST_ITEM_COUNT
from triform.geometry.mesh import MeshError

_BLANK = re.compile(rb"[\s,]+")
_COMMENT = re.compile(rb"#[^\r\n]*")
_WORD = re.compile(rb'[^\s,{}\[\]"#]+')
_TEXT = re.compile(rb'[^"\\]*')
_NUMBERS = re.compile(rb"[\s,0-9eE+\-.]+")
_FIRST = b"0123456789+-."
_ENDS = (b" ", b"\n", b"\t", b"\r", b",")
_BLOCK = 2**20  # bytes of numbers that are split at once
# A value costs a few hundred bytes, and two characters of text are enough for one.
LARGEST_VALUE_COUNT = 5_000_000

# A part of the grammar yields the parts that it consists of, and is sent what they give.
Part = Generator[Any, Any, Any]


@dataclass(frozen=True)
class Reference:
    """The value of a field that is set where the prototype around it is used (`IS name`)."""

    name: str


@dataclass(eq=False, repr=False)
class Node:
    """One node: its type, its fields, and its prototype where it has one.

    A field is an array of numbers, a `Reference`, or a list of nodes, texts (bytes), booleans and
    None; a field without brackets is a list of one.
    """

    type: str
    fields: dict[str, Any] = field(default_factory=dict)
    prototype: Prototype | None = None


@dataclass(eq=False, repr=False)
class Prototype:
    """A kind of node made of others: the defaults of its fields, and what it consists of."""

    defaults: dict[str, Any]
    body: list[Any]


def parse_vrml(data: bytes) -> list[Node]:
    """Read the nodes of a file.

    Raises:
        MeshError: the line at fault and why.
    """
    parser = _Parser(data)
    nodes: list[Any] = parser.run(parser.nodes(b""))
    return [node for node in nodes if isinstance(node, Node)]


class _Parser:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.number_count = 0
        self.value_count = 0
        # Names live in the file, or in the body of one prototype.
        self.names: list[dict[str, Node]] = [{}]
        self.prototypes: dict[str, Prototype | None] = {}

    def run(self, part: Part) -> Any:
        """Read a part of the grammar, and the parts in it, on a stack of our own."""
        stack, value = [part], None
        while stack:
            try:
                stack.append(stack[-1].send(value))
                value = None
            except StopIteration as end:
                stack.pop()
                value = end.value
            if len(stack) > 3 * LARGEST_DEPTH:  # a node, its field, the list in it
                raise self.error(f"nested more than {LARGEST_DEPTH} levels deep")
        return value

    def nodes(self, closing: bytes) -> Part:
        """The nodes and statements of a file or a prototype, up to its end."""
        found = []
        while self.peek() != closing:
            if not self.peek():
                raise self.error("the file ends in the middle")
            word = self.word()
            if not (yield self.statement(word)):
                found.append((yield self.node(word)))
        return found

    def statement(self, word: str) -> Part:
        """What stands between nodes and fields; False where the word begins none of it."""
        if word == "ROUTE":
            for _ in range(3):
                self.word()
        elif word == "EXTERNPROTO":
            name = self.word()
            yield self.interface()
            yield self.value()  # where it lies; it is not fetched
            self.prototypes[name] = None
        elif word == "PROTO":
            name = self.word()
            defaults = yield self.interface()
            self.expect(b"{")
            self.names.append({})
            body = yield self.nodes(b"}")
            self.names.pop()
            self.expect(b"}")
            # Known from here on, so that none contains itself.
            self.prototypes[name] = Prototype(defaults, body)
        else:
            return False
        return True

    def interface(self) -> Part:
        """The fields of a prototype with their defaults."""
        defaults = {}
        self.expect(b"[")
        while self.peek() != b"]":
            kind, _, name = self.word(), self.word(), self.word()
            self.count_value()
            # Those of an EXTERNPROTO have no defaults.
            if kind in ("field", "exposedField") and not self.ahead(("field", "exposed", "event")):
                defaults[name] = yield self.value()
        self.expect(b"]")
        return defaults

    def node(self, word: str) -> Part:
        """A node that begins with a word that is read already."""
        self.count_value()
        if word == "NULL":
            return None
        if word == "USE":
            name = self.word()
            if name not in self.names[-1]:
                raise self.error(f"it uses {name!r}, which is not defined before")
            return self.names[-1][name]
        name = ""
        if word == "DEF":
            name, word = self.word(), self.word()
        node = Node(word, {}, self.prototypes.get(word))
        self.expect(b"{")
        while self.peek() != b"}":
            word = self.word()
            if (yield self.statement(word)):
                continue
            if word in ("eventIn", "eventOut", "field", "exposedField"):  # of a Script
                event = word.startswith("event")
                self.word()
                word = self.word()
                if event:
                    if self.ahead(("IS",)):
                        self.word(), self.word()
                    continue
            node.fields[word] = yield self.value()
        self.expect(b"}")
        # Known from here on, so that none contains itself.
        if name:
            self.names[-1][name] = node
        return node

    def value(self) -> Part:
        """The value of a field."""
        self.count_value()
        if self.peek() != b"[":
            item = yield self.item()
            if not isinstance(item, np.ndarray):
                return item if isinstance(item, Reference) else [item]
            items = [item]
            while self.peek() and self.peek() in _FIRST:
                items.append(self.numbers())
            return np.concatenate(items)
        self.expect(b"[")
        items = []
        while self.peek() != b"]":
            items.append((yield self.item()))
        self.expect(b"]")
        if items and all(isinstance(item, np.ndarray) for item in items):
            return np.concatenate(items)
        return items

    def item(self) -> Part:
        """One value, or as many numbers as follow one another."""
        self.count_value()
        char = self.peek()
        if char == b'"':
            return self.text()
        if char and char in _FIRST:
            return self.numbers()
        word = self.word()
        if word == "IS":
            return Reference(self.word())
        if word in ("TRUE", "FALSE"):
            return word == "TRUE"
        return (yield self.node(word))

    def peek(self) -> bytes:
        """The next character that counts; empty at the end."""
        while True:
            blank = _BLANK.match(self.data, self.at)
            self.at = blank.end() if blank else self.at
            comment = _COMMENT.match(self.data, self.at)
            if comment is None:
                return self.data[self.at : self.at + 1]
            self.at = comment.end()

    def ahead(self, words: tuple[str, ...]) -> bool:
        """Tell whether one of these words, or a closing bracket, comes next."""
        rest = self.data[self.at : self.at + 16] if self.peek() else b""
        return rest.startswith((b"]", *(word.encode() for word in words)))

    def expect(self, char: bytes) -> None:
        if self.peek() != char:
            raise self.unexpected(repr(char.decode()))
        self.at += 1

    def word(self) -> str:
        self.peek()
        found = _WORD.match(self.data, self.at, self.at + 1000)
        if found is None:
            raise self.unexpected("a name")
        self.at = found.end()
        return found[0].decode("utf-8", "replace")

    def text(self) -> bytes:
        parts = []
        self.at += 1
        while True:
            found = _TEXT.match(self.data, self.at)
            parts.append(found[0] if found else b"")
            self.at += len(parts[-1])
            char = self.data[self.at : self.at + 1]
            if not char:
                raise self.error("a text without an end")
            if char == b'"':
                self.at += 1
                return b"".join(parts)
            parts.append(self.data[self.at + 1 : self.at + 2])
            self.at += 2

    def numbers(self) -> np.ndarray:
        """The numbers up to whatever is none, or up to a megabyte of them."""
        end = min(self.at + _BLOCK, len(self.data))
        found = _NUMBERS.match(self.data, self.at, end)
        stop = found.end() if found else self.at
        if stop < len(self.data) and self.data[stop : stop + 1] not in (b"]", b"}", b"#", b'"'):
            # Cut short within a word: "1 2 3 emissive" or a block's end.
            while stop > self.at and self.data[stop - 1 : stop] not in _ENDS:
                stop -= 1
        words = self.data[self.at : stop].replace(b",", b" ").split()
        if not words:
            # A hexadecimal number, or none.
            word = self.word()
            try:
                return np.array([int(word, 16) if "x" in word.lower() else float(word)], float)
            except (ValueError, OverflowError):
                raise self.error(f"{word[:40]!r} is no number") from None
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError as error:
            raise self.error(str(error)) from None
        self.at = stop
        self.number_count += len(values)
        if self.number_count > LARGEST_ITEM_COUNT:
            raise self.error(f"more than {LARGEST_ITEM_COUNT} numbers")
        return values

    def count_value(self) -> None:
        self.value_count += 1
        if self.value_count > LARGEST_VALUE_COUNT:
            raise self.error(f"more than {LARGEST_VALUE_COUNT} values")

    def unexpected(self, wanted: str) -> MeshError:
        seen = self.peek().decode("latin-1")
        return self.error(f"{wanted} expected, found {repr(seen) if seen else 'the end'}")

    def error(self, reason: str) -> MeshError:
        return MeshError(f"line {self.data.count(b'%c' % 10, 0, self.at) + 1}: {reason}")

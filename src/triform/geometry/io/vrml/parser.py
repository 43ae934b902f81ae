"""Parser of VRML 2.0 (VRML97): a text becomes nodes, with names and prototypes resolved.

All types of nodes are parsed alike. Memory is proportional to the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from triform.geometry.io.limits import MAX_CORNER_COUNT, MAX_DEPTH
from triform.geometry.mesh import MeshError

GAP = re.compile(rb"[\s,]+|#[^\r\n]*")
WORD = re.compile(rb'[^\s,{}\[\]"#]+')
STRING_CHARACTERS = re.compile(rb'[^"\\]*')
NUMBERS = re.compile(rb"[\s,0-9eE+\-.]+")
NUMBER_STARTS = b"0123456789+-."
SEPARATORS = (b" ", b"\n", b"\t", b"\r", b",")
NUMBER_BLOCK_SIZE = 2**20  # bytes of numbers that are split at once
# A value takes a few hundred bytes of memory, and as little as two characters of text.
MAX_VALUE_COUNT = 5_000_000


@dataclass(frozen=True)
class Reference:
    """A field whose value is a field of the enclosing prototype (`IS name`)."""

    name: str


@dataclass(eq=False, repr=False)
class Node:
    """A node: its type, its fields, and its prototype or None.

    A field is an array of numbers, a `Reference`, or a list of nodes, strings (bytes), booleans and
    None; a field without brackets is a list of one.
    """

    type: str
    fields: dict[str, Any] = field(default_factory=dict)
    prototype: Prototype | None = None


@dataclass(eq=False, repr=False)
class Prototype:
    """A type of node defined by a file: the defaults of its fields, and the nodes of its body."""

    defaults: dict[str, Any]
    body: list[Any]


def parse_vrml(data: bytes) -> list[Node]:
    """Read the nodes of a file.

    Raises:
        MeshError: a syntax error, with its line.
    """
    parser = _Parser(data)
    try:
        nodes = parser.nodes(b"")
    except RecursionError:  # called from deep within another program
        raise parser.too_deep() from None
    return [node for node in nodes if isinstance(node, Node)]


class _Parser:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.depth = 0
        self.num_numbers = 0
        self.num_values = 0
        # DEF names by scope: the file, and the bodies of nested prototypes.
        self.names: list[dict[str, Node]] = [{}]
        self.prototypes: dict[str, Prototype | None] = {}

    def nodes(self, closing: bytes) -> list[Node | None]:
        """The nodes and statements of a file or a prototype, up to its end."""
        nodes = []
        while self.peek() != closing:
            if not self.peek():
                raise self.error("the file ends in the middle")
            word = self.word()
            if not self.statement(word):
                nodes.append(self.node(word))
        return nodes

    def statement(self, word: str) -> bool:
        """A ROUTE, PROTO or EXTERNPROTO; False if the word begins none of them."""
        if word == "ROUTE":
            for _ in range(3):
                self.word()
        elif word == "EXTERNPROTO":
            name = self.word()
            self.interface()
            self.value()  # its URL; it is not read
            self.prototypes[name] = None
        elif word == "PROTO":
            name = self.word()
            defaults = self.interface()
            self.open(b"{")
            self.names.append({})
            body = self.nodes(b"}")
            self.names.pop()
            self.close()
            # Registered after its body, so that no prototype contains itself.
            self.prototypes[name] = Prototype(defaults, body)
        else:
            return False
        return True

    def interface(self) -> dict[str, Any]:
        """The fields of a prototype with their defaults."""
        defaults = {}
        self.open(b"[")
        while self.peek() != b"]":
            access, _, name = self.word(), self.word(), self.word()
            self.count_value()
            # Those of an EXTERNPROTO have no defaults.
            if access in ("field", "exposedField") and not self.next_is(
                ("field", "exposed", "event")
            ):
                defaults[name] = self.value()
        self.close()
        return defaults

    def node(self, word: str) -> Node | None:
        """A node whose first word has been read."""
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
        self.open(b"{")
        while self.peek() != b"}":
            word = self.word()
            if self.statement(word):
                continue
            if word in ("eventIn", "eventOut", "field", "exposedField"):  # of a Script
                event = word.startswith("event")
                self.word()
                word = self.word()
                if event:
                    if self.next_is(("IS",)):
                        self.word(), self.word()
                    continue
            node.fields[word] = self.value()
        self.close()
        # Registered after its fields, so that no node contains itself.
        if name:
            self.names[-1][name] = node
        return node

    def value(self) -> Any:
        """The value of a field."""
        self.count_value()
        if self.peek() != b"[":
            element = self.element()
            if not isinstance(element, np.ndarray):
                return element if isinstance(element, Reference) else [element]
            elements = [element]
            while self.peek() and self.peek() in NUMBER_STARTS:
                elements.append(self.numbers())
            return np.concatenate(elements)
        self.position += 1
        elements = []
        while self.peek() != b"]":
            elements.append(self.element())
        self.position += 1
        if elements and all(isinstance(element, np.ndarray) for element in elements):
            return np.concatenate(elements)
        return elements

    def element(self) -> Any:
        """One value, or a run of numbers."""
        self.count_value()
        character = self.peek()
        if character == b'"':
            return self.string()
        if character and character in NUMBER_STARTS:
            return self.numbers()
        word = self.word()
        if word == "IS":
            return Reference(self.word())
        if word in ("TRUE", "FALSE"):
            return word == "TRUE"
        return self.node(word)

    def peek(self) -> bytes:
        """The next character after white space and comments; empty at the end."""
        while gap := GAP.match(self.data, self.position):
            self.position = gap.end()
        return self.data[self.position : self.position + 1]

    def next_is(self, words: tuple[str, ...]) -> bool:
        """Whether one of these words, or a closing bracket, comes next."""
        following = self.data[self.position : self.position + 16] if self.peek() else b""
        return following.startswith((b"]", *(word.encode() for word in words)))

    def open(self, bracket: bytes) -> None:
        """The bracket that opens a level of nesting."""
        if self.peek() != bracket:
            raise self.unexpected_token(repr(bracket.decode()))
        self.position += 1
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.too_deep()

    def close(self) -> None:
        """The bracket, already seen, that closes a level."""
        self.position += 1
        self.depth -= 1

    def word(self) -> str:
        self.peek()
        match = WORD.match(self.data, self.position, self.position + 1000)
        if match is None:
            raise self.unexpected_token("a name")
        self.position = match.end()
        return match[0].decode("utf-8", "replace")

    def string(self) -> bytes:
        parts = []
        self.position += 1
        while True:
            match = STRING_CHARACTERS.match(self.data, self.position)
            parts.append(match[0] if match else b"")
            self.position += len(parts[-1])
            character = self.data[self.position : self.position + 1]
            if not character:
                raise self.error("a text without an end")
            if character == b'"':
                self.position += 1
                return b"".join(parts)
            parts.append(self.data[self.position + 1 : self.position + 2])
            self.position += 2

    def numbers(self) -> np.ndarray:
        """A run of numbers, up to a megabyte of text."""
        end = min(self.position + NUMBER_BLOCK_SIZE, len(self.data))
        match = NUMBERS.match(self.data, self.position, end)
        stop = match.end() if match else self.position
        if stop < len(self.data) and self.data[stop : stop + 1] not in (b"]", b"}", b"#", b'"'):
            # The match ended inside a word: "1 2 3 emissive", or at the end of a block.
            while stop > self.position and self.data[stop - 1 : stop] not in SEPARATORS:
                stop -= 1
        words = self.data[self.position : stop].replace(b",", b" ").split()
        if not words:
            # A hexadecimal number, or a syntax error.
            word = self.word()
            try:
                return np.array([int(word, 16) if "x" in word.lower() else float(word)], float)
            except (ValueError, OverflowError):
                raise self.error(f"{word[:40]!r} is no number") from None
        try:
            values = np.array(words, dtype=np.float64)
        except ValueError as error:
            raise self.error(str(error)) from None
        self.position = stop
        self.num_numbers += len(values)
        if self.num_numbers > MAX_CORNER_COUNT:
            raise self.error(f"more than {MAX_CORNER_COUNT} numbers")
        return values

    def count_value(self) -> None:
        self.num_values += 1
        if self.num_values > MAX_VALUE_COUNT:
            raise self.error(f"more than {MAX_VALUE_COUNT} values")

    def too_deep(self) -> MeshError:
        return self.error(f"nested more than {MAX_DEPTH} levels deep")

    def unexpected_token(self, expected: str) -> MeshError:
        character = self.peek().decode("latin-1")
        return self.error(
            f"{expected} expected, found {repr(character) if character else 'the end'}"
        )

    def error(self, reason: str) -> MeshError:
        return MeshError(f"line {self.data.count(b'%c' % 10, 0, self.position) + 1}: {reason}")

"""First step of the readers of text formats: encodings, line ends, continued lines, names."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator

# Longer marks first: that of UTF-32 begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# A line that ends in a backslash goes on; a comment does not, it may end in a Windows folder.
_CONTINUED = re.compile(rb"(?m)(?:^[^#\n]*\\[ \t]*(?:\n|\Z))+[^\n]*")
_CONTINUATION = re.compile(rb"\\[ \t]*(?:\n|\Z)")
_QUOTED = re.compile(rb'\s*"([^"]*)"\s*(?:#.*)?')
# Code pages of systems before Unicode; the one that gives a name on disk is right.
_CODE_PAGES = ("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp932", "gbk", "big5", "cp949")
_OEM_CODE_PAGES = ("cp437", "cp850", "cp866", "koi8-r", "latin-1")


def normalize_text(data: bytes) -> bytes:
    """Return text as UTF-8 without byte-order mark and NULs, with lines that end in a line feed.

    UTF-16 is recognized with or without its mark. Other encodings are left as they are: numbers
    and keywords are ASCII, names are decoded by `decode_name`.
    """
    marked = [entry for entry in _BYTE_ORDER_MARKS if data.startswith(entry[0])]
    mark, encoding = marked[0] if marked else (b"", _unmarked_encoding(data[:8]))
    if encoding != "utf-8":
        data = data[len(mark) :].decode(encoding, errors="replace").encode(errors="replace")
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\0" in data:
        data = data.replace(b"\0", b"")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data


def join_continued_lines(data: bytes) -> bytes:
    """Join lines that end in a backslash; empty lines keep the numbers of those that follow."""
    if _CONTINUATION.search(data) is None:
        return data

    def join(match: re.Match[bytes]) -> bytes:
        text, count = _CONTINUATION.subn(b" ", match[0])
        return text + b"\n" * count

    return _CONTINUED.sub(join, data)


def decode_name(name: bytes) -> str:
    """Decode a name without quotes; bytes that are no UTF-8 become surrogates, as in paths."""
    if quoted := _QUOTED.fullmatch(name):
        name = quoted[1]
    return name.strip().decode("utf-8", errors="surrogateescape")


def strip_comment(name: str) -> str:
    """Return a name without the comment behind it, which begins after a space."""
    return re.sub(r"\s+#.*", "", name)


def file_name_spellings(name: str) -> Iterator[str]:
    """Yield what a model may mean by the name of a file, the most literal first.

    A comment or an absolute path of another machine may be part of it, and its bytes may be in an
    older code page.
    """
    spellings: set[str] = set()
    for text in (name, strip_comment(name)):
        for decoded in _decodings(text):
            for spelling in (decoded, decoded.replace("\\", "/").rpartition("/")[2]):
                if spelling and spelling not in spellings:
                    spellings.add(spelling)
                    yield spelling


def match_key(name: str) -> str:
    """Return a key that is equal for names of one file on systems that ignore letter case."""
    return unicodedata.normalize("NFC", name).casefold()


def _decodings(name: str) -> Iterator[str]:
    yield name
    if name.isascii() or not any("\udc80" <= character <= "\udcff" for character in name):
        return
    raw = name.encode("utf-8", errors="surrogateescape")
    for code_page in (*_CODE_PAGES, *_OEM_CODE_PAGES):
        try:
            yield raw.decode(code_page)
        except UnicodeDecodeError:
            continue


def _unmarked_encoding(start: bytes) -> str:
    """Recognize UTF-16 by the NULs of the ASCII characters that a file begins with."""
    even, odd = start[::2], start[1::2]
    if len(odd) > 1 and any(even) != any(odd):
        return "utf-16-le" if any(even) else "utf-16-be"
    return "utf-8"

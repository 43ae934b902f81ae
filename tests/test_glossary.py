"""Identifiers use the words of docs/glossary.md and none of its "not" column."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "triform"
GLOSSARY = ROOT / "docs" / "glossary.md"
MODULES = sorted(SOURCE.rglob("*.py"))

# Terms of the field that contain a word of the column: where they come from.
TERMS = {
    "point_cloud": "trimesh, Open3D",
    "in_place": "torch",
    "look_at": "camera matrices",
    "look_up": "to find in a table",
    "morton_codes": "Morton order",
}
# (module, identifier): reason. Names that a library or a format gives, where ours would be wrong.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("base/archive.py", "tell"): "method of Python's file objects",
}


def terms() -> dict[str, str]:
    """Word of the "not" column -> the glossary's word, out of all tables."""
    found = {}
    for line in GLOSSARY.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[2].strip("-") not in ("", "not"):
            found |= {word.strip(" `"): cells[0] for word in cells[2].split(",")}
    return found


def parts(identifier: str) -> list[str]:
    """Words of an identifier in snake_case or CamelCase, in lower case."""
    spaced = re.sub(r"([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3_\2", identifier)
    return [part for part in spaced.lower().split("_") if part]


def forbidden(identifier: str, words: dict[str, str]) -> list[str]:
    """Words of the "not" column in an identifier; a word of several parts is a run of them."""
    joined = f"_{'_'.join(parts(identifier))}_"
    for term in TERMS:
        joined = joined.replace(f"_{term}_", "__")
    return [word for word in words if f"_{word}_" in joined]


def identifiers(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module defines; uses of other people's names are not."""
    yield 1, path.parent.name if path.stem == "__init__" else path.stem
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield getattr(node, "lineno", 1), node.asname
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield node.lineno, node.name


def violations(path: Path, words: dict[str, str]) -> list[tuple[int, str, str]]:
    """Line, identifier and word of the "not" column, for each that a module defines."""
    module = path.relative_to(SOURCE).as_posix()
    return [
        (line, name, word)
        for line, name in identifiers(path)
        if (module, name) not in EXCEPTIONS
        for word in forbidden(name, words)
    ]


def test_the_glossary_is_read():
    words = terms()
    assert len(words) > 60 and words["picture"] == "image" and words["judge"] == "classifier"
    assert not set(words) & set(words.values())  # no word is both right and wrong


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("load_picture", ["picture"]),
        ("PictureFacts", ["picture", "facts"]),
        ("_KEPT", ["kept"]),
        ("depicture", []),
        ("aquasaid", []),
        ("HTMLPicture", ["picture"]),
        ("PointCloud", []),
        ("point_cloud_of_cloud", ["cloud"]),
    ],
)
def test_whole_parts_of_identifiers_are_compared(identifier, expected):
    assert sorted(forbidden(identifier, terms())) == sorted(expected)


def test_every_kind_of_definition_is_searched(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import a as said\nclass Odds:\n  kept: int = 0\n"
        "def made(asked, *, told=1, **facts):\n  self.cloud = [seen for seen in asked]\n"
        "  (wanted := 1)\n  x.item()\n"
    )
    names = {name for _, name in identifiers(path)}
    defined = {"said", "Odds", "kept", "made", "asked", "told", "facts", "cloud", "seen", "wanted"}
    assert names == {"module", *defined}


def test_no_identifier_is_of_the_not_column():
    words = terms()
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}: not {word!r} but {words[word]}"
        for path in MODULES
        for line, name, word in violations(path, words)
    ]
    assert not found, f"{len(found)} identifiers\n" + "\n".join(found)


def test_exceptions_are_needed():
    words = terms()
    for (module, name), reason in EXCEPTIONS.items():
        assert reason and forbidden(name, words), name
        assert name in {each for _, each in identifiers(SOURCE / module)}, f"{module}: {name}"

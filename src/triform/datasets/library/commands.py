"""``triform shapes``: prepare, check and show shape libraries."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from triform.base.config import parse
from triform.base.errors import UsageError
from triform.base.logging import write_answer
from triform.base.tables import table
from triform.datasets.library import config

SCREEN = """\
triform shapes: any meshes as training data for every 3D system

  triform shapes prepare MESHES LIBRARY --flags   pictures, cameras, points, voxels, captions
  triform shapes check LIBRARY --flags            what is wrong with a library, and where
  triform shapes show LIBRARY --flags             a contact sheet

flags of a verb: triform shapes VERB --help; answers as JSON: --json"""
_VERBS = ("prepare", "check", "show")


def main(argv: Sequence[str]) -> int:
    """Runs ``triform shapes ...``; returns the exit status."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        write_answer(SCREEN)
        return 0
    verb, *words = argv
    if verb not in _VERBS:
        close = difflib.get_close_matches(verb, _VERBS, n=1)
        hint = f"perhaps you meant {close[0]}" if close else f"known: {', '.join(_VERBS)}"
        raise UsageError(f"triform shapes: unknown verb {verb!r}: {hint}")
    as_json = "--json" in words
    words = [word for word in words if word != "--json"]
    prog = f"triform shapes {verb}"
    answer: Any
    status = 0
    if verb == "prepare":
        settings = parse(config.PrepareSettings, _places(words, many=True), prog=prog)
        from triform.datasets.library import prepare

        answer = prepare.run(settings)
    elif verb == "check":
        checking = parse(config.CheckSettings, _places(words), prog=prog)
        from triform.datasets.library import check

        answer, status = check.run(checking)
        if not as_json:
            answer = check.describe(answer, checking.most)
    else:
        showing = parse(config.ShowSettings, _places(words), prog=prog)
        from triform.datasets.library import show

        answer = show.run(showing)
    write_answer(answer if as_json else table(answer), as_json=as_json)
    return status


def _places(words: list[str], *, many: bool = False) -> list[str]:
    """Turn the words before the first flag into the flags that they stand for."""
    count = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    places, flags = words[:count], words[count:]
    if not places and not flags:
        usage = "prepare MESHES LIBRARY" if many else "name a library, then flags"
        raise UsageError(f"triform shapes: nothing is given; {usage}")
    if not places:
        return flags
    if many and len(places) > 1:
        return ["--meshes", *places[:-1], "--library", places[-1], *flags]
    if many and "--library" not in flags:
        raise UsageError(
            f"triform shapes prepare: only {places[0]!r} is given; "
            "name the meshes and then the library: prepare MESHES LIBRARY"
        )
    if many:
        return ["--meshes", *places, *flags]
    if len(places) > 1:
        raise UsageError(f"unexpected {places[1]!r}: name one library, then flags")
    return ["--library", places[0], *flags]

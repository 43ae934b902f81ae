"""Results of verbs: what is printed of them."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from triform.base.settings.command import Verb, plain, run_verb
from triform.base.settings.config import Settings


@dataclass(frozen=True)
class Thing:
    """An object with fields, as a mesh is."""

    size: int


class Nothing(Settings):
    """No settings."""


def test_arrays_and_objects_are_for_python_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """Data is printed whole, files as a list; the rest is what the caller gets."""
    rows = [{"name": "a", "files": ["a.obj", "a.glb"], "mesh": Thing(3), "pixels": np.zeros(3)}]
    verb = Verb(Nothing, lambda _: rows)
    assert run_verb("triform test", verb, ["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"name": "a", "files": ["a.obj", "a.glb"]}]
    assert run_verb("triform test", verb, []) == 0
    assert capsys.readouterr().out == "name  files\na     a.obj, a.glb\n"
    assert plain({"a": {"b": np.zeros(1), "c": 1}, "d": None}) == {"a": {"c": 1}, "d": None}
    assert plain("text") == "text" and plain(None) is None

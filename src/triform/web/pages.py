"""The pages, and which verbs of which systems each of them shows.

A page stands for a task. It finds its systems by their verbs and settings, so that a system that
is added is on its page without a word here; a page without a system does not exist.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from triform import systems
from triform.base.settings.config import Settings
from triform.pretrained import shipped_weights
from triform.tasks.shape_generation.config import MeshOutputConfig
from triform.web import demo
from triform.web.forms import is_usable
from triform.web.initial_weights import shipped_name

WEIGHTS = {"checkpoint", "transmitter"}
"""Settings that name trained weights: a verb with one of them needs some."""
Test = Callable[[str, type[Settings]], bool]


def _makes_shapes(verb: str, settings: type[Settings]) -> bool:
    return issubclass(settings, MeshOutputConfig) and "prompt" in settings.model_fields


def _finds(verb: str, settings: type[Settings]) -> bool:
    fields = settings.model_fields.keys()
    return "index_file" in fields or (verb == "search" and {"gallery", "text"} <= fields)


def _describes(verb: str, settings: type[Settings]) -> bool:
    return systems.captions_images(verb, settings)


def _makes_images(verb: str, settings: type[Settings]) -> bool:
    return verb == "generate" and {"prompt", "num_images"} <= settings.model_fields.keys()


def _trains(verb: str, settings: type[Settings]) -> bool:
    return verb == "train"


def _explores(verb: str, settings: type[Settings]) -> bool:
    others = (_makes_shapes, _finds, _describes, _makes_images, _trains)
    hidden = ("embed", "submit", "config", "train_classifier")
    return verb not in hidden and not any(test(verb, settings) for test in others)


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        name: Its name in addresses.
        test: Whether it shows a verb, by the verb's name and settings.
    """

    name: str
    test: Test


PAGES = (
    Page("shape", _makes_shapes),
    Page("find", _finds),
    Page("describe", _describes),
    Page("image", _makes_images),
    Page("explore", _explores),
    Page("train", _trains),
)


def _opens_later(page: str, row: Mapping[str, Any]) -> bool:
    """Whether a page does not open with the system of a row."""
    return page not in demo.opens(row["system"])


@functools.cache
def verbs_by_page() -> dict[str, list[dict[str, Any]]]:
    """Page -> its verbs: a page opens with its first one, which works without a training.

    Systems whose weights ship come first, each kind in falling order of names; before them those
    that say so.

    Returns:
        For each verb `system`, `verb`, `about` (first line of its help), `ships` (whether it has
        weights without a training, or needs none), `presets` of a training.
    """
    result: dict[str, list[dict[str, Any]]] = {page.name: [] for page in PAGES}
    shipped = shipped_weights.names()
    falling = sorted(systems.names(), reverse=True)
    for name in sorted(falling, key=lambda name: name not in shipped):
        entry = systems.load(name)
        verbs: Mapping[str, type[Settings]] = entry.config.VERBS
        for verb, settings in verbs.items():
            if not is_usable(settings):
                continue
            about = (settings.__doc__ or "").strip().partition("\n")[0]
            presets = sorted(path.stem for path in entry.presets.glob("*.yaml"))
            row: dict[str, Any] = {
                "system": name,
                "verb": verb,
                "about": about,
                "summary": entry.summary,
            }
            row["presets"] = presets if verb == "train" else []
            row["ships"] = bool(shipped_name(name)) or not WEIGHTS & settings.model_fields.keys()
            for page in PAGES:
                if page.test(verb, settings):
                    result[page.name].append(row)
    for name, rows in result.items():  # the sort is stable: all else keeps its order
        rows.sort(key=functools.partial(_opens_later, name))
    result["train"].sort(key=lambda row: (row["system"] not in shipped, row["system"]))
    result["explore"].sort(key=lambda row: (row["system"] not in shipped, row["system"]))
    return {page: rows for page, rows in result.items() if rows}

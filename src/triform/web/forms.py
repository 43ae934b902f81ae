"""Forms from settings: bounds become sliders, choices become lists, descriptions become hints.

A setting takes part by what it is. Numbers, switches and choices always do. Texts do where their
name says what they hold (`ROLES`); a name of a file never does: files are written where the
server says, and read by reference (`access.py`). So a new verb has a form without a word here.
"""

from __future__ import annotations

import math
import typing
from typing import Any, Literal

import pydantic
from pydantic.fields import FieldInfo

from triform.base.settings.flags import Flag, FlagTable

Role = Literal[
    "text",
    "line",
    "query",
    "dataset",
    "images",
    "meshes",
    "gallery",
    "weights",
    "initial_weights",
    "environment",
    "folder",
    "index",
    "subfolder",
    "model",
]
TEXTS = ("prompt", "text", "labels", "classes", "where", "templates", "without", "format")
ROLES: dict[str, Role] = {
    **dict.fromkeys(TEXTS, "text"),
    **dict.fromkeys(("like", "taken_from", "taken_to"), "line"),
    "query": "query",
    **dict.fromkeys(("dataset", "library", "query_dataset"), "dataset"),
    **dict.fromkeys(("images", "image"), "images"),
    "mesh": "meshes",
    "gallery": "gallery",
    **dict.fromkeys(("checkpoint", "resume_from"), "weights"),
    "initial_weights": "initial_weights",
    "environment": "environment",
    **dict.fromkeys(("examples", "folders"), "folder"),
    "index_file": "index",
    "folder": "subfolder",
    "model": "model",
}
"""Last part of a setting's name -> what its text is."""
HIDDEN_GROUPS = ("wandb",)
HIDDEN = {"use_wandb", "tensorboard", "show", "rebuild", "device", "parallel", "overwrite"}
HIDDEN |= {"follow_links"}
"""Switches that a page does not offer: they open windows, send data away, replace files, or lead
out of a folder."""
CAPS = {
    "num_samples": 256,
    "num_images": 256,
    "num_workers": 2,
    "workers": 2,
    "top_k": 200,
    "batch_size": 1024,
    "episodes": 1000,
    "seed": 2**53 - 1,  # what a browser counts exactly
}
"""Largest values that are taken from a page, below those of the command line."""
SLIDER_STEPS = 400
"""Most values of a slider; a longer range is a field for a number."""
MAX_TEXTS, MAX_TEXT = 32, 1000


def form(settings: type[pydantic.BaseModel]) -> list[dict[str, Any]]:
    """The fields of a form, in the order of the settings.

    Returns:
        For each: `name` (dotted path), `flag`, `label`, `hint`, `group`, `kind` (`switch`,
        `choice`, `slider`, `number`, or a role), `default`, and by its kind `choices`, `min`,
        `max`, `step`, `whole`, `many`, `required`, `optional`.
    """
    table = FlagTable(settings)
    fields = [field(flag, _default(settings, flag.path)) for flag in table.flags]
    offered = [each for each in fields if each is not None]
    names = {each["name"] for each in offered}
    # An index is named by its folders, and the formats of meshes are for the server to say.
    reasons = {"folders": "index_file", "size_mm": "format"}
    hidden = {name for reason, name in reasons.items() if reason in names}
    return [each for each in offered if each["name"] not in hidden]


def is_usable(settings: type[pydantic.BaseModel]) -> bool:
    """Whether a form has all that a verb cannot do without."""
    names = {each["name"] for each in form(settings)}
    flags = FlagTable(settings).flags
    return bool(names) and all(
        ".".join(flag.path) in names for flag in flags if flag.field.is_required()
    )


def field(flag: Flag, default: Any) -> dict[str, Any] | None:
    """One field of a form; None for a setting that no page offers."""
    leaf = flag.path[-1]
    if leaf in HIDDEN or set(flag.path) & set(HIDDEN_GROUPS):
        return None
    extra = flag.field.json_schema_extra
    if isinstance(extra, dict) and extra.get("offered") is False:
        return None
    if flag.path == ("training", "checkpoint"):  # where a training writes, not what a verb reads
        return None
    kind = _without_none(flag.field.annotation)
    values: dict[str, Any] = {
        "name": ".".join(flag.path),
        "flag": flag.name,
        "label": leaf.replace("_", " "),
        "hint": flag.field.description or "",
        "group": ".".join(flag.path[:-1]),
        "default": default,
        "required": flag.field.is_required(),
        "optional": kind is not flag.field.annotation,
    }
    if kind is bool:
        return {**values, "kind": "switch"}
    if typing.get_origin(kind) is Literal:
        return {**values, "kind": "choice", "choices": list(typing.get_args(kind))}
    if kind in (int, float):
        return {**values, **_number(leaf, kind, flag.field.metadata, default)}
    element = _element(kind)
    if element is not kind and typing.get_origin(element) is Literal:
        return {**values, "kind": "choice", "choices": list(typing.get_args(element)), "many": True}
    role = ROLES.get(leaf)
    if role is None or not _is_text(element):
        return None
    if role == "model":  # a name may lead anywhere: only those that the settings give are offered
        choices = list(flag.field.examples or ())
        return {**values, "kind": role, "choices": choices} if choices else None
    return {**values, "kind": role, "many": element is not kind}


def _number(leaf: str, kind: type, metadata: list[Any], default: Any) -> dict[str, Any]:
    """Bounds of a number; a slider where it has two that are near."""
    low, high = _bounds(metadata, whole=kind is int)
    if leaf in CAPS:
        high = min(CAPS[leaf], math.inf if high is None else high)
        high = max(high, default or 0) if isinstance(default, int | float) else high
    whole = kind is int
    values: dict[str, Any] = {"kind": "number", "whole": whole, "min": low, "max": high}
    if low is None or high is None:
        return {**values, "step": 1 if whole else None}
    step = 1.0 if whole else 10.0 ** math.floor(math.log10((high - low) / 50))
    if whole and high - low > SLIDER_STEPS:
        return {**values, "step": 1}
    return {**values, "kind": "slider", "step": int(step) if whole else step}


def _bounds(metadata: list[Any], *, whole: bool) -> tuple[float | None, float | None]:
    """Least and largest value."""
    low: float | None = None
    high: float | None = None
    unit = 1 if whole else 0
    for bound in metadata:  # pydantic keeps each bound as an object with one of these names
        if (value := getattr(bound, "ge", None)) is not None:
            low = value
        elif (value := getattr(bound, "gt", None)) is not None:
            low = value + unit
        elif (value := getattr(bound, "le", None)) is not None:
            high = value
        elif (value := getattr(bound, "lt", None)) is not None:
            high = value - unit
    return low, high


def _default(settings: type[pydantic.BaseModel], path: tuple[str, ...]) -> Any:
    """Default of a setting, that of the group's default if it sets another; None without one."""
    value: Any = settings
    for name in path:
        if not isinstance(value, type):
            value = getattr(value, name)
            continue
        info: FieldInfo = getattr(value, "model_fields")[name]  # noqa: B009, known by no type
        if not info.is_required():
            value = info.get_default(call_default_factory=True)
        elif isinstance(info.annotation, type) and name != path[-1]:
            value = info.annotation  # a group without a default of its own
        else:
            return None
    return list(value) if isinstance(value, tuple) else value


def _without_none(kind: Any) -> Any:
    """The type of a value that may also be None; without its annotations."""
    members = [each for each in typing.get_args(kind) if each is not type(None)]
    if type(None) in typing.get_args(kind) and len(members) == 1:
        return _without_none(members[0])
    if typing.get_origin(kind) is typing.Annotated:
        return _without_none(typing.get_args(kind)[0])
    return kind


def _element(kind: Any) -> Any:
    """Type of the elements of a tuple of any length; else the type itself."""
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _without_none(arguments[0])
    return kind


def _is_text(kind: Any) -> bool:
    """Whether values of a type are texts or paths."""
    return isinstance(kind, type) and kind.__name__ in ("str", "Path")

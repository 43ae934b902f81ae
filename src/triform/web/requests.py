"""From a request to a job: checks the values of a form and adds what the server decides."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from triform import systems
from triform.base.errors import UsageError
from triform.base.printable import printable, shorten
from triform.base.settings.config import Settings
from triform.base.settings.config_errors import describe_problems
from triform.base.settings.flags import FlagTable
from triform.base.settings.nearest import nearest
from triform.base.settings.yaml_file import read_yaml
from triform.engine.config import SHIPPED
from triform.web.access import Access
from triform.web.forms import CAPS, MAX_TEXT, MAX_TEXTS, form
from triform.web.inputs import SENT, Inputs, input_names
from triform.web.server_values import DECIDED, ServerFolders, server_values

DATASET = re.compile(r"[A-Za-z0-9][\w.\-+:]{0,80}(/\d{1,6})?")
ENVIRONMENT = re.compile(r"[A-Za-z0-9][\w\-]{0,80}")
CLASS_NAME = re.compile(r"[\w][\w.\- ]{0,59}")
MAX_CLASSES = 20
"""Classes of example images that are sent, and not a folder of the server."""
PATH = re.compile(r"(?:^|[\s:+\-])(?:~|/|\.{1,2}[/\\]|[A-Za-z]:\\)|[/\\]\S*\.\w{2,5}(?:$|\s)")
"""What a query would take for the path of an image."""
WORDS = ("text", "line")


@dataclass(frozen=True)
class Request:
    """A request that was checked.

    Attributes:
        system: Name of the system.
        verb: Its verb.
        values: Values by dotted name, references still unresolved.
        settings_class: Class of the settings.
        preset: File of a preset that the values change.
    """

    system: str
    verb: str
    values: Mapping[str, Any]
    settings_class: type[Settings]
    preset: Path | None = None

    @property
    def title(self) -> str:
        """A few words to know the result by: its texts; empty where it has none."""
        for name in ("prompt", "text", "labels", "query"):
            texts = self.values.get(name)
            words = [texts] if isinstance(texts, str) else texts or []
            if words := [text for text in words if not text.startswith((*SENT, "result:"))]:
                return shorten(", ".join(words), 80)
        return ""

    @property
    def references(self) -> dict[str, Any]:
        """The values that may name files: all but texts, in which a prefix means nothing."""
        kinds = {each["name"]: each["kind"] for each in form(self.settings_class)}
        return {name: value for name, value in self.values.items() if kinds[name] not in WORDS}

    @property
    def units(self) -> int:
        """Number of shapes or images that are asked for."""
        prompts = self.values.get("prompt") or [""]
        count = self.values.get("num_samples") or self.values.get("num_images") or 1
        return int(count) * (1 if isinstance(prompts, str) else len(prompts))


def read_request(system: str, verb: str, values: Mapping[str, Any], preset: str = "") -> Request:
    """Check what a page or a program has sent, without looking anything up.

    Raises:
        UsageError: No such system or verb, a setting that is not offered, or a wrong value.
    """
    entry = systems.load(system)
    verbs: Mapping[str, type[Settings]] = entry.config.VERBS
    if verb not in verbs:
        raise UsageError(f"{system} has no verb {shorten(verb)!r}{nearest(verb, verbs)}")
    fields = {each["name"]: each for each in form(verbs[verb])}
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in fields:
            raise UsageError(f"{shorten(name)!r}: no setting of this form{nearest(name, fields)}")
        checked[name] = _check(name, value, fields[name])
    presets = {path.stem: path for path in entry.presets.glob("*.yaml")}
    if preset and preset not in presets:
        raise UsageError(f"{shorten(preset)!r}: no preset{nearest(preset, presets)}")
    return Request(system, verb, checked, verbs[verb], presets.get(preset))


def _check(name: str, value: Any, field: Mapping[str, Any]) -> Any:
    """A value of the kind of its field; whether it is allowed is for the settings to say."""
    if value is None:
        return None
    kind = field["kind"]
    if kind in ("switch", "slider", "number"):
        expected = bool if kind == "switch" else int | float
        if not isinstance(value, expected) or (kind != "switch" and isinstance(value, bool)):
            raise UsageError(f"{name}: {shorten(repr(value))} is not a {kind}")
        limit = field.get("max") if name.rpartition(".")[2] in CAPS else None
        if limit is not None and value > limit:
            raise UsageError(f"{name}: {value} is more than {limit}, the most that a page takes")
        return value
    if kind == "folder" and isinstance(value, dict):
        return _check_classes(name, value, field)
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, list) and not field.get("many"):
        raise UsageError(f"{name}: several values, where one is expected")
    if len(texts) > MAX_TEXTS:
        raise UsageError(f"{name}: {len(texts)} values; at most {MAX_TEXTS} are taken")
    for text in texts:
        if isinstance(text, int) and kind == "choice" and text in field["choices"]:
            continue
        if not isinstance(text, str):
            raise UsageError(f"{name}: {shorten(repr(text))} is not a text")
        if len(text) > MAX_TEXT:
            raise UsageError(f"{name}: {len(text)} characters; at most {MAX_TEXT} are taken")
        if text != printable(text, line_breaks=kind == "text"):
            raise UsageError(f"{name}: {shorten(printable(text))!r} holds invisible characters")
    return texts if field.get("many") else texts[0]


def _check_classes(name: str, value: dict[str, Any], field: Mapping[str, Any]) -> dict[str, Any]:
    """Example images of classes: name of a class -> references."""
    if not 2 <= len(value) <= MAX_CLASSES:
        raise UsageError(f"{name}: {len(value)} classes; from 2 to {MAX_CLASSES} are taken")
    for title in value:
        if not CLASS_NAME.fullmatch(title):
            raise UsageError(f"{name}: {shorten(repr(title))} cannot be the name of a class")
    checked = {}
    for title, texts in value.items():
        if not isinstance(texts, list) or not texts:
            raise UsageError(f"{name}: class {title!r} has no images; send some")
        checked[title] = _check(name, texts, {**field, "kind": "images", "many": True})
    return checked


def build_settings(
    request: Request, access: Access, folder: Path, server_folders: ServerFolders
) -> Settings:
    """Resolve references and add what the server decides; validate.

    Args:
        request: The checked request.
        access: Looks references up.
        folder: Folder of the result: uploads are copied into it, files go into `files`.
        server_folders: Folders of the server.

    Raises:
        UsageError: A value is not allowed, in one line.
    """
    table = FlagTable(request.settings_class)
    fields = {each["name"]: each for each in form(request.settings_class)}
    nested = _base_values(request, access)
    files = Inputs(access, folder, input_names(request.references, access))
    for name, value in request.values.items():
        if value is not None:
            _set(nested, name, _resolve(value, name, fields[name], files))
    decided = server_values(request.system, table, folder, server_folders, request.values)
    for name, value in decided.items():
        _set(nested, name, value)
    try:
        return request.settings_class.model_validate(nested)
    except pydantic.ValidationError as error:
        problems = list(describe_problems(error, table, set(), None))
        raise UsageError("; ".join(problems)) from error


def _base_values(request: Request, access: Access) -> dict[str, Any]:
    """Values that those of the request change: of a preset, or of the run that is resumed."""
    source, settings_class = request.preset, request.settings_class
    run = request.values.get("training.resume_from")
    if isinstance(run, str) and run:
        flag_values: dict[tuple[str, ...], Any] = {
            ("training", "resume_from"): str(access.resolve(run))
        }
        source = settings_class.base_file(flag_values)
    if source is None:
        return {}
    values, _ = settings_class.adapt_file(read_yaml(source))
    settings_class.check_file(values, {}, source, is_explicit=False)
    return values


def _resolve(value: Any, name: str, field: Mapping[str, Any], files: Inputs) -> Any:
    """A value with its references looked up, and names checked."""
    kind = field["kind"]
    if kind in ("switch", "slider", "number", "choice"):
        return value
    if isinstance(value, dict):
        return files.folder_of_classes(name, value)
    texts = [value] if isinstance(value, str) else list(value)
    if kind in WORDS:
        resolved = [text for text in texts if text.strip()]
    else:
        resolved = [_resolve_one(text, name, field, files) for text in texts]
    if field.get("many"):
        return resolved
    return resolved[0] if resolved else None if field["optional"] else ""


def _resolve_one(text: str, name: str, field: Mapping[str, Any], files: Inputs) -> str:
    kind = field["kind"]
    if kind == "query" and not text.startswith((*SENT, "result:")):
        if PATH.search(text):
            raise UsageError(f"{name}: {shorten(text)!r} names a file; send the image instead")
        return text
    if kind == "index":
        path = files.access.resolve(text) if text.startswith("folder:") else None
        if path is None or not path.is_dir():
            raise UsageError(f"{name}: {shorten(text)!r} is not taken; write folder:NAME")
        return text
    if kind == "model":
        known = [*field["choices"], *files.access.models]
        if text and text not in known:
            raise UsageError(
                f"{name}: {shorten(text)!r} is not taken; known: {', '.join(known)}; others can be "
                "named by --model of `triform serve`"
            )
        return text
    if kind == "subfolder":
        path = files.access.resolve(text) if text.startswith("folder:") else None
        if text and (path is None or not path.is_dir()):
            raise UsageError(f"{name}: {shorten(text)!r} is not taken; write folder:NAME/PART")
        return text if path is None else str(path)
    if files.access.is_reference(text):
        return str(files.path(text))
    if kind == "initial_weights" and text in ("", SHIPPED):
        return text
    if kind in ("dataset", "gallery") and (not text or DATASET.fullmatch(text)):
        return text
    if kind == "environment" and ENVIRONMENT.fullmatch(text):
        return text
    raise UsageError(
        f"{name}: {shorten(text)!r} is not taken: send a file and write upload:ID, or name a "
        "folder of the server as folder:NAME, or a run as run:SYSTEM/NAME"
    )


def command_line(request: Request, settings: Settings) -> str:
    """The command that does the same, with the settings that differ from the defaults."""
    table = FlagTable(request.settings_class)
    words = ["triform", request.system, request.verb]
    if request.preset is not None:
        words += ["--config", request.preset.stem]
    for flag in table.flags:
        name = ".".join(flag.path)
        value: Any = settings
        for part in flag.path:
            value = getattr(value, part)
        is_decided = flag.path[-1] in DECIDED
        if value is None or not (request.values.get(name) is not None or is_decided):
            continue
        if flag.is_switch:
            words.append(f"--{flag.name}" if value else f"--no_{flag.name}")
        elif isinstance(value, list | tuple):
            words += [f"--{flag.name}", *map(str, value)] if value else []
        else:
            words += [f"--{flag.name}", str(value)]
    return shlex.join(words)


def _set(nested: dict[str, Any], name: str, value: Any) -> None:
    *groups, leaf = name.split(".")
    for group in groups:
        nested = nested.setdefault(group, {})
    nested[leaf] = value

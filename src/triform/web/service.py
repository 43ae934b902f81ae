"""What the application can do, without a word of HTTP: the pages and the API call this."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from triform import systems
from triform.base.errors import UsageError, UserError
from triform.base.logging import get_logger
from triform.base.printable import shorten
from triform.base.settings.config import Settings, write_yaml
from triform.base.settings.yaml_file import read_yaml
from triform.engine.config import SHIPPED
from triform.web.access import Access
from triform.web.command_results import PREFIX, CommandResults
from triform.web.config import ServeConfig
from triform.web.demo import examples, label, note, translated
from triform.web.forms import form
from triform.web.galleries import delete_unused, mark_used
from triform.web.history import HISTORY_FIELDS, matching_entries
from triform.web.initial_weights import fitting_presets, shipped_name
from triform.web.inputs import lasting
from triform.web.jobs import JobService
from triform.web.pages import verbs_by_page
from triform.web.record import Record
from triform.web.requests import build_settings, command_line, read_request
from triform.web.results import ResultStore
from triform.web.runs import RunList
from triform.web.server_values import ServerFolders
from triform.web.uploads import Uploads
from triform.web.worker_process import PROGRAM

logger = get_logger(__name__)

WARM_UP_PROMPT = "a chair"
PER_PAGE = 60
LOOKING_SECONDS = 2.0
"""From the first page to the import of what later pages need: it must not slow down the first."""
Language = Literal["en", "ru"]
MEGABYTE = 1e6
SPARED_SECONDS = 600.0
"""Time that an index is spared beyond the longest job."""
INPUTS = ("images", "image", "mesh", "meshes", "query")
"""Settings whose files give a result its title, where it has no words."""
HERE = ("ready", "made here", "generated when first used")
"""States of data sets that need no download."""


class Service:
    """Results, jobs, uploads and what may be read.

    Args:
        config: Settings of the server.
        program: Arguments of Python that start a worker.

    Raises:
        UserError: The folder of the results cannot be used, or a named folder is not there.
    """

    def __init__(self, config: ServeConfig, program: Sequence[str] = PROGRAM):
        for folder in config.folder:
            if not folder.is_dir():
                raise UserError(f"--folder {folder}: no such folder")
        self.config = config
        self.store = ResultStore(config.results)
        self.server_folders = ServerFolders(
            runs=config.runs_dir.absolute(),
            datasets=config.download_path.absolute(),
            galleries=self.store.root / ".galleries",
        )
        self.server_folders.galleries.mkdir(exist_ok=True)
        self.runs = RunList(self.server_folders.runs)
        limits = config.limits
        self.uploads = Uploads(
            self.store.root / ".uploads",
            limits.max_upload_mb * MEGABYTE,
            limits.max_uploads_mb * MEGABYTE,
        )
        self.access = Access(config.folder, config.runs_dir, self.uploads, self.store, config.model)
        self.pages = verbs_by_page()
        self.commands = CommandResults(self.access, self.pages)
        self.jobs = JobService(self.store, limits, program, runs=self.server_folders.runs)
        self._datasets: list[dict[str, Any]] | None = None
        self._readers: threading.Timer | None = None
        self._lock = threading.Lock()
        if config.warm_up:
            self._warm_up()

    def close(self) -> None:
        """Stop jobs and workers."""
        if self._readers is not None:
            self._readers.cancel()
        self.jobs.close()
        self.store.close()

    def _warm_up(self) -> None:
        """Let the worker make a first shape, so that the first of a user is quick."""
        rows = self.pages.get("shape", [])
        if not rows:
            return
        folder = self.store.root / ".warm-up"
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("files", "inputs"):
            (folder / name).mkdir(parents=True)
        row = rows[0]
        request = read_request(row["system"], row["verb"], {"prompt": [WARM_UP_PROMPT]})
        settings = build_settings(request, self.access, folder, self.server_folders)
        self.jobs.warm_up(
            {
                "system": row["system"],
                "verb": row["verb"],
                "settings": settings.model_dump(mode="json"),
                "folder": str(folder),
            }
        )

    def state(self, language: Language = "en") -> dict[str, Any]:
        """What a page needs to know first: pages with their verbs, folders, limits."""
        self._load_readers_soon()
        limits = self.config.limits
        return {
            "pages": {
                page: [_row_in(language, row) for row in rows] for page, rows in self.pages.items()
            },
            "folders": list(self.access.folders),
            "models": list(self.access.models),
            "max_upload_mb": limits.max_upload_mb,
        }

    def _load_readers_soon(self) -> None:
        """Import readers of data sets and uploads while the user looks at the first page."""
        with self._lock:
            if not self.config.warm_up or self._readers is not None:
                return
            self._readers = threading.Timer(LOOKING_SECONDS, self.datasets)
            self._readers.daemon = True
            self._readers.start()

    def form(self, system: str, verb: str, language: Language = "en") -> list[dict[str, Any]]:
        """Fields of the form of a verb; labels and hints in a language, `heading` of the group.

        Initial weights have the `choices` that need no run.

        Raises:
            UsageError: There is none.
        """
        fields = form(read_request(system, verb, {}).settings_class)
        for each in fields:
            if each["kind"] == "initial_weights":
                each["choices"] = [SHIPPED] if shipped_name(system) else []
        return [
            {
                **each,
                "label": label(each["label"], system, language),
                "hint": translated(each["hint"], system, language),
                "heading": " · ".join(
                    label(part, system, language).replace("_", " ")
                    for part in each["group"].split(".")
                ),
            }
            for each in fields
        ]

    def presets(self, system: str) -> dict[str, dict[str, Any]]:
        """Preset -> values by dotted name, of the training of a system."""
        entry = systems.load(system)
        names = {each["name"] for each in form(entry.config.VERBS["train"])}
        return {
            path.stem: {
                name: value for name, value in _flatten(read_yaml(path)).items() if name in names
            }
            for path in sorted(entry.presets.glob("*.yaml"))
        }

    def fitting_presets(self, system: str, weights: str) -> list[str]:
        """Presets of a training that fit initial weights; an empty name means the defaults.

        Raises:
            UserError: No such system or weights.
        """
        return fitting_presets(system, weights, self.access)

    def datasets(self) -> list[dict[str, Any]]:
        """Known data sets with their state; read once."""
        with self._lock:
            if self._datasets is None:
                from triform.datasets.commands import ListSettings, list_all

                rows = list_all(ListSettings(download_path=self.server_folders.datasets)).data
                keys = ("name", "objects", "state", "about", "licence")
                self._datasets = [
                    {**{key: row[key] for key in keys}, "is_here": row["state"] in HERE}
                    for row in rows
                ]
            return self._datasets

    def submit(
        self,
        system: str,
        verb: str,
        values: Mapping[str, Any],
        *,
        preset: str = "",
        page: str = "",
        user: str = "",
    ) -> Record:
        """Check a request and put it into the queue.

        Raises:
            UsageError: A wrong system, verb or value.
            Refused: The queue is full.
        """
        request = read_request(system, verb, values, preset)
        seed = values.get("seed")
        record = self.store.create(
            system=system,
            verb=verb,
            page=page if page in self.pages else "",
            settings=dict(values),
            preset=preset,
            title=request.title or f"{system} {verb}",
            seed=seed if isinstance(seed, int) else None,
            units=request.units,
        )
        folder = self.store.folder(record.id)
        try:
            settings = build_settings(request, self.access, folder, self.server_folders)
            check_index(settings)
            self._use_gallery(settings)
            references = lasting(request.references, self.access, record.id)
            lasting_values = {**request.values, **references}
            write_yaml(settings, folder / "settings.yaml")
        except BaseException:
            self.store.update(record.id, state="failed", finished=time.time())
            self.store.delete(record.id)
            raise
        record = self.store.update(
            record.id,
            settings=lasting_values,
            title=request.title
            or self._title_of_inputs(lasting_values)
            or _default_prompt(settings)
            or f"{system} {verb}",
            command=command_line(request, settings),
            seed=getattr(settings, "seed", None),
        )
        message = {
            "system": system,
            "verb": verb,
            "settings": settings.model_dump(mode="json"),
            "folder": str(folder),
        }
        return self.jobs.submit(message, record, user, training=verb.startswith("train"))

    def _use_gallery(self, settings: Settings) -> None:
        """Note which index is used, and delete others where they are too many."""
        for name in ("index", "index_file"):
            if isinstance(path := getattr(settings, name, None), str | Path) and path:
                mark_used(Path(path))
        limits = self.config.limits
        delete_unused(
            self.server_folders.galleries,
            limits.max_galleries_mb * MEGABYTE,
            keep_seconds=60 * limits.max_job_minutes + SPARED_SECONDS,
        )

    def _title_of_inputs(self, values: Mapping[str, Any]) -> str:
        """Names of the images and meshes of a request; of a hit of a search, what was found."""
        names = []
        for field in INPUTS:
            inputs = values.get(field)
            for reference in [inputs] if isinstance(inputs, str) else inputs or []:
                kind, _, name = str(reference).partition(":")
                if kind == "result":
                    result, _, file = name.partition("/")
                    names.append(self._name_of_hit(result, file))
                elif kind in ("input", "example"):
                    names.append(Path(name).stem.replace("_", " "))
        return shorten(", ".join(names), 80)

    def _name_of_hit(self, result: str, file: str) -> str:
        """Caption or file of the hit whose small image is this file of a result."""
        answer = self.store.get(result).answer
        for row in answer if isinstance(answer, list) else []:
            if isinstance(row, dict) and row.get("tile") == file:
                return Path(str(row.get("caption") or row.get("id") or row.get("file"))).name
        return Path(file).name

    def show(self, name: str) -> dict[str, Any]:
        """The record of a result, with its place in the queue while it is not ended."""
        record = self.record(name)
        values = record.model_dump(mode="json")
        status = {} if record.origin else self.jobs.status(name)
        return {**values, "seconds": record.seconds, "status": status}

    def record(self, name: str) -> Record:
        """A result of the server or of the command line.

        Raises:
            NoSuchResult: There is none.
        """
        return self.commands.get(name) if name.startswith(PREFIX) else self.store.get(name)

    def file(self, name: str, path: str) -> Path:
        """A file of a result by its listed name.

        Raises:
            NoSuchResult: There is none.
        """
        return (self.commands if name.startswith(PREFIX) else self.store).file(name, path)

    def delete(self, name: str) -> None:
        """Delete a result that is ended.

        Raises:
            NoSuchResult: There is none.
            UserError: It is not ended, or lies in a named folder, in which nothing is changed.
        """
        if name.startswith(PREFIX):
            record = self.commands.get(name)
            raise UserError(f"it lies in the folder {record.origin}, where nothing is deleted here")
        self.store.delete(name)

    def history(self, start: int, text: str = "", count: int = PER_PAGE) -> dict[str, Any]:
        """Results of the server and of the command line and training runs, the newest first.

        Args:
            start: Index of the first.
            text: Only those whose title, system or verb has it.
            count: How many.
        """
        records = [*self.store.all(), *self.commands.all()]
        entries = matching_entries(records, self.runs.all(), text)
        page = [self._history_row(entry) for entry in entries[start : start + count]]
        return {"total": len(entries), "start": start, "entries": page}

    def _history_row(self, entry: Record | dict[str, Any]) -> dict[str, Any]:
        """What a page shows of a result or a run before it is opened."""
        if isinstance(entry, dict):
            return {**entry, "sample": self.runs.last_sample(entry["name"])}
        row = {**entry.model_dump(mode="json", include=HISTORY_FIELDS), "kind": "result"}
        row["sample"] = self.runs.last_sample(entry.run) if entry.run else ""
        row["image"] = self.commands.image(entry) if entry.origin else ""
        return row


def _default_prompt(settings: Settings) -> str:
    """The prompt that a verb has where none is given."""
    prompt = getattr(settings, "prompt", None)
    return shorten(", ".join(prompt), 80) if isinstance(prompt, list | tuple) else ""


def check_index(settings: Settings) -> None:
    """Check that the photos which a verb reads from an index were indexed.

    Raises:
        UsageError: They were not, or not by this model.
    """
    index = getattr(settings, "index_file", None)
    if index and not hasattr(settings, "folders") and not Path(index).exists():
        raise UsageError("this folder was not indexed yet, or not by this model; index it first")


def _row_in(language: Language, row: Mapping[str, Any]) -> dict[str, Any]:
    """A verb of a page with its texts in a language, and its examples."""
    system = row["system"]
    texts = {name: translated(row[name], system, language) for name in ("about", "summary")}
    verb = row["verb"]
    return {
        **row,
        **texts,
        "note": note(system, verb, language),
        "examples": examples(system, verb, language),
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted name -> value."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def static_folder() -> Path:
    """Folder of the files of the pages."""
    return Path(__file__).parent / "static"

"""The record of a job: what was asked, what came of it. One JSON file in the job's folder."""

from __future__ import annotations

import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["queued", "running", "done", "failed", "stopped", "interrupted"]
ENDED: tuple[State, ...] = ("done", "failed", "stopped", "interrupted")
FileKind = Literal["mesh", "image", "video", "table", "other"]
KINDS: dict[str, FileKind] = {
    **dict.fromkeys((".glb", ".obj", ".stl", ".ply", ".3mf", ".mtl"), "mesh"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".webp", ".gif"), "image"),
    ".mp4": "video",
    **dict.fromkeys((".csv", ".json", ".jsonl"), "table"),
}


class ResultFile(BaseModel):
    """A file of a result.

    Attributes:
        name: Path below the folder `files`, with forward slashes.
        kind: What a page can do with it.
        bytes: Its size.
    """

    name: str
    kind: FileKind
    bytes: int


class Record(BaseModel):
    """A job and its result.

    Attributes:
        id: Name of its folder.
        state: Where it is; `interrupted` if the server ended before it did.
        system: Name of the system.
        verb: What the system does.
        page: Page of the application that it was sent from.
        settings: Settings that differ from the defaults, as the user gave them.
        preset: Preset of a training, which the settings change.
        title: A few words to know it by.
        seed: Seed of everything random; None where the verb has none.
        command: The command line that does the same.
        created: Time of its arrival, seconds since 1970; `started` and `finished` likewise.
        error: Why it failed, in one line.
        messages: Warnings and notices of the job, the last ones.
        answer: What the verb returned, without arrays and objects.
        files: What it wrote.
        thumbnail: Whether there is a small image of it.
        run: Run directory of a training, as SYSTEM/NAME.
        origin: Named folder with the outputs of a command; empty for a job of the server.
        is_repeatable: Whether a page can send the settings again.
        units: Size of the job, for estimates: shapes or images to generate.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    state: State = "queued"
    system: str
    verb: str
    page: str = ""
    settings: dict[str, Any] = Field(default_factory=dict)
    preset: str = ""
    title: str = ""
    seed: int | None = None
    command: str = ""
    created: float = Field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    error: str = ""
    messages: tuple[str, ...] = ()
    answer: Any = None
    files: tuple[ResultFile, ...] = ()
    thumbnail: bool = False
    run: str = ""
    origin: str = ""
    is_repeatable: bool = True
    units: int = 1

    @property
    def is_ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in ENDED

    @property
    def seconds(self) -> float | None:
        """Time that it took; None before its end, or where it never began."""
        if self.started is None or self.finished is None:
            return None
        return self.finished - self.started

"""The HTTP interface: what the pages use, and programs as well. Described at /openapi.json."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Body, Header, Path, Query, Request
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from triform.web.record import KINDS
from triform.web.runs import curves, sample_files, show_run
from triform.web.service import PER_PAGE, Language, Service
from triform.web.uploads import UploadRefused

CHUNK = 2**18
SHOWN = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".glb": "model/gltf-binary",
}
"""Types of files that a page shows; every other one is saved by the browser."""
FILE_HEADERS = {"content-security-policy": "default-src 'none'; sandbox"}
Name = Annotated[str, Path(max_length=60, description="Id of a result.")]


class JobRequest(BaseModel):
    """What is to be done."""

    model_config = ConfigDict(extra="forbid")

    system: str = Field(max_length=60, description="Name of the system.", examples=["voxel_gan"])
    verb: str = Field(max_length=60, description="What it is to do.", examples=["generate"])
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="Settings by dotted name, as in the form of the verb; files and folders by "
        "reference: upload:ID, folder:NAME, run:SYSTEM/NAME.",
        examples=[{"prompt": ["a round table with four legs"], "seed": 7}],
    )
    preset: str = Field("", max_length=60, description="Preset of a training; settings win.")
    page: str = Field("", max_length=20, description="Page that it is sent from; empty for none.")


def router(service: Service) -> APIRouter:
    """All paths below /api."""
    api = APIRouter(prefix="/api")

    @api.get("/state", summary="Pages with their verbs, named folders, limits")
    def state(language: Language = "en") -> dict[str, Any]:
        return service.state(language)

    @api.get("/datasets", summary="Known data sets")
    def datasets() -> list[dict[str, Any]]:
        return service.datasets()

    @api.get("/folders", summary="Named folders and the folders in them")
    def folders() -> list[str]:
        return service.access.subfolders()

    @api.get("/forms/{system}/{verb}", summary="Settings of a verb, as fields of a form")
    def form(system: str, verb: str, language: Language = "en") -> list[dict[str, Any]]:
        return service.form(system, verb, language)

    @api.get("/presets/{system}", summary="Presets of the training of a system")
    def presets(system: str) -> dict[str, dict[str, Any]]:
        return service.presets(system)

    @api.get("/presets/{system}/fitting", summary="Presets whose networks fit initial weights")
    def fitting(
        system: str, weights: Annotated[str, Query(max_length=200, examples=["shipped"])]
    ) -> list[str]:
        return service.fitting_presets(system, weights)

    @api.post("/jobs", status_code=202, summary="Start a job; answers with its record")
    def submit(
        request: Request,
        job: Annotated[JobRequest, Body()],
        x_triform_user: Annotated[str, Header(max_length=64)] = "",
    ) -> dict[str, Any]:
        user = _user(request, x_triform_user)
        record = service.submit(
            job.system, job.verb, job.settings, preset=job.preset, page=job.page, user=user
        )
        return service.show(record.id)

    @api.get("/jobs", summary="Jobs that are not ended, those that run first")
    def queue() -> list[dict[str, Any]]:
        return [service.show(name) for name in service.jobs.queue()]

    @api.delete("/jobs", summary="Stop all jobs of this user")
    def stop_all(
        request: Request, x_triform_user: Annotated[str, Header(max_length=64)] = ""
    ) -> dict[str, int]:
        return {"stopped": service.jobs.stop_all(_user(request, x_triform_user))}

    @api.delete("/jobs/{name}", summary="Stop a job")
    def stop(name: Name) -> dict[str, Any]:
        service.store.get(name)
        return {"stopped": service.jobs.stop(name)}

    @api.get("/results", summary="Results and training runs, the newest first")
    def results(
        start: Annotated[int, Query(ge=0, le=10**7)] = 0,
        text: Annotated[str, Query(max_length=100)] = "",
        count: Annotated[int, Query(ge=1, le=200)] = PER_PAGE,
    ) -> dict[str, Any]:
        return service.history(start, text, count)

    @api.get("/results/{name}", summary="The record of a job, with its place in the queue")
    def result(name: Name) -> dict[str, Any]:
        return service.show(name)

    @api.delete("/results/{name}", summary="Delete a result")
    def delete(name: Name) -> dict[str, bool]:
        service.delete(name)
        return {"deleted": True}

    @api.get("/results/{name}/files/{path:path}", summary="A file of a result")
    def file(name: Name, path: str) -> FileResponse:
        return _file(service.file(name, path))

    @api.get("/results/{name}/inputs/{file}", summary="A file that was sent for a result")
    def input_file(name: Name, file: str) -> FileResponse:
        return _file(service.store.input(name, file))

    @api.get("/results/{name}/thumbnail", summary="A small image of a result")
    def thumbnail(name: Name) -> Any:
        target = service.store.folder(name) / "thumbnail.webp"
        if not target.is_file():
            return JSONResponse({"error": "it has no image"}, 404)
        # Written once, at the end of the job: the history need not ask for it again.
        headers = {**FILE_HEADERS, "cache-control": "private, max-age=604800, immutable"}
        return FileResponse(target, media_type="image/webp", headers=headers)

    @api.get("/results/{name}/archive", summary="All files of a result as a ZIP file")
    def archive(name: Name) -> StreamingResponse:
        record = service.record(name)
        packed = tempfile.TemporaryFile()  # noqa: SIM115, closed when it is sent
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
            for each in record.files:
                target.write(service.file(name, each.name), each.name)
        headers = {"content-disposition": f'attachment; filename="triform-{name}.zip"'}
        return StreamingResponse(_chunks(packed), media_type="application/zip", headers=headers)

    @api.post("/uploads", status_code=201, summary="Send an image or a mesh, as the body")
    async def upload(
        request: Request, name: Annotated[str, Query(max_length=300)]
    ) -> dict[str, Any]:
        limit = service.uploads.max_bytes
        with tempfile.TemporaryFile() as body:
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
                if size > limit:
                    raise UploadRefused(f"larger than the limit of {limit / 1e6:g} MB")
                body.write(chunk)
            body.seek(0)
            return await run_in_threadpool(service.uploads.add, name, _chunks(body, close=False))

    @api.get("/runs", summary="Training runs, the newest first")
    def runs() -> list[dict[str, Any]]:
        return service.runs.all()

    @api.get("/runs/{system}/{run}", summary="A training run")
    def run(system: str, run: str) -> dict[str, Any]:
        return show_run(service.access.run(f"{system}/{run}"))

    @api.get("/runs/{system}/{run}/curves", summary="Logged numbers of a run by their names")
    def run_curves(system: str, run: str) -> dict[str, Any]:
        return curves(service.access.run(f"{system}/{run}"))

    @api.get("/runs/{system}/{run}/samples/{sample}", summary="An image that a run drew")
    def run_sample(system: str, run: str, sample: str) -> Any:
        files = {path.name: path for path in sample_files(service.access.run(f"{system}/{run}"))}
        if sample not in files:
            return JSONResponse({"error": "the run has no such sample"}, 404)
        return _file(files[sample])

    return api


def _user(request: Request, name: str) -> str:
    """Whose job it is: who logged in, else what the browser calls itself, else its address."""
    logged_in: str = request.scope.get("user") or ""
    return logged_in or name or (request.client.host if request.client else "")


def _file(path: Any) -> FileResponse:
    """A file: shown by the page if it is an image, a video or a GLB, else to be saved."""
    suffix = path.suffix.lower()
    shown = suffix in SHOWN and suffix in KINDS
    return FileResponse(
        path,
        media_type=SHOWN.get(suffix, "application/octet-stream"),
        filename=path.name,
        content_disposition_type="inline" if shown else "attachment",
        headers=FILE_HEADERS,
    )


def _chunks(file: IO[bytes], *, close: bool = True) -> Iterator[bytes]:
    """Bytes of a file from its beginning."""
    file.seek(0)
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    finally:
        if close:
            file.close()

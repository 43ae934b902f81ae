"""The ASGI application: the API, the files of the pages, and the guard in front of both."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

import triform
from triform.base.errors import UserError, one_line
from triform.base.logging import get_logger
from triform.base.printable import printable
from triform.web.access import NotAllowed
from triform.web.api import router
from triform.web.guard import BodyTooLarge, Guard, allowed_hosts
from triform.web.jobs import Refused
from triform.web.results import NoSuchResult
from triform.web.service import Service, static_folder
from triform.web.uploads import UploadRefused

logger = get_logger(__name__)

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
}
STATUS: dict[type[Exception], int] = {
    NoSuchResult: 404,
    NotAllowed: 404,
    Refused: 429,
    UploadRefused: 415,
    BodyTooLarge: 413,
}
PAGES = ("shape", "find", "describe", "image", "explore", "train", "history")
TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI reports requests to OpenTelemetry where the environment says so; here it never does."""
ABOUT = "Everything that the pages do. Nothing is called at any other host."


def create_app(service: Service, users: dict[str, str]) -> ASGIApp:
    """The application with its guard.

    Args:
        service: What it does.
        users: Name -> password; empty where nobody logs in.
    """
    app = FastAPI(
        title="Triform",
        version=triform.__version__,
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        telemetry=TELEMETRY,
    )
    app.include_router(router(service))
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    # Read once: a request names an entry of a table, never a path.
    files = {path.name: path.read_bytes() for path in static_folder().iterdir() if path.is_file()}
    types = {name: TYPES[name[name.rindex(".") :]] for name in files}

    def page() -> Response:
        return Response(files["index.html"], media_type=types["index.html"])

    for name in ("", *PAGES):
        app.get(f"/{name}", include_in_schema=False)(page)

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file")
        headers = {"cache-control": "no-cache"}
        return Response(files[name], media_type=types[name], headers=headers)

    limit = service.config.limits.max_upload_mb * 1e6
    return Guard(app, allowed_hosts(service.config.host), users, limit)


def _user_error(request: Request, error: Exception) -> JSONResponse:
    """An error that the user can do something about."""
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 400)
    return JSONResponse({"error": printable(str(error))}, status)


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    """A request of another form than the API describes."""
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    text = printable(one_line(f"{where}: {first['msg']}"))
    return JSONResponse({"error": text}, 400)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    """No such path, or a wrong method."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """A fault of the program: logged, and not shown."""
    logger.error("%s %s", request.method, request.url.path, exc_info=error)
    return JSONResponse({"error": "a fault of the server; its log has more"}, 500)

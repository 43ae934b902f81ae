"""`triform serve`: the web application in a browser on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from triform.base.errors import UserError
from triform.base.logging import NOTICE, get_logger
from triform.base.settings.command import Verb, run_verb
from triform.web.config import ServeConfig

logger = get_logger(__name__)

MAX_CONNECTIONS = 200
IDLE_SECONDS = 10
MAX_HEADER_BYTES = 16_384


def main(argv: Sequence[str]) -> int:
    """Run `triform serve`; returns the exit status."""
    return run_verb("triform serve", Verb(ServeConfig, serve), argv)


def serve(settings: ServeConfig) -> None:
    """Serve the pages and the API until Ctrl-C or SIGTERM.

    Raises:
        UsageError: Others could reach the address, and there is no `--auth`.
        UserError: The address cannot be listened at, or a folder is not there.
    """
    from triform.web.guard import is_loopback, read_users

    users = read_users(settings.auth, settings.host)
    # No library that is imported from here on may ask or tell another host anything.
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    listener = listen(settings.host, settings.port)
    logger.log(NOTICE, "starting")
    import uvicorn

    from triform.web.app import create_app
    from triform.web.service import Service

    service = Service(settings)
    try:
        app = create_app(service, users)
        work = service.store.root / ".work"
        work.mkdir(exist_ok=True)
        os.chdir(work)  # a relative name that slips through leads into an empty folder
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        logger.log(NOTICE, "open http://%s:%d in a browser; Ctrl-C ends it", shown, port)
        if not is_loopback(settings.host):
            logger.warning("others can read along: put a proxy with TLS in front of it")
        config = uvicorn.Config(
            app,
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=IDLE_SECONDS,
            timeout_graceful_shutdown=2,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            http="h11",
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        logger.log(NOTICE, "ending; a training saves first")
        service.close()
        listener.close()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: The address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"--host {host} --port {port}: {reason}; choose another port") from error
    return listener

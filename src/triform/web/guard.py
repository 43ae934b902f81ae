"""What stands before every request: host, origin, login, size; and headers of every answer.

A server on the loopback address is reached by every page that is open in a browser on the same
machine. Hence: the Host header must name this server (a name that an attacker lets point here
does not), a request that changes something must come from its own pages, and no other site may
read an answer or show it in a frame.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triform.base.errors import UsageError, UserError
from triform.base.files import read_regular

MAX_JSON_BYTES = 200_000
MIN_PASSWORD = 12
MAX_FAILURES, FAILURE_SECONDS = 20, 60.0
"""Wrong logins in a time, of all users, after which none is looked at."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class BodyTooLarge(UserError):
    """A body that goes on beyond its limit."""


class Guard:
    """Middleware that answers a request itself unless all about it is right.

    Args:
        app: The application behind it.
        hosts: Names in the Host header that are this server; None for any address and its name.
        users: Name -> password; empty where nobody logs in.
        max_upload_bytes: Largest body of an upload.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: frozenset[str] | None,
        users: Mapping[str, str],
        max_upload_bytes: float,
    ):
        self.app, self.hosts, self.users = app, hosts, users
        self.max_upload_bytes = max_upload_bytes
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES)
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check a request, then pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets here
        headers = Headers(scope=scope)
        limit = self.max_upload_bytes if scope["path"] == "/api/uploads" else MAX_JSON_BYTES
        status, error = self._check(scope, headers, limit)
        if error:
            await refuse(send, status, error)
            return
        scope["user"] = self.user(headers)
        received = 0

        async def limited() -> Message:
            """Receive a body that was announced smaller than it is only up to the limit."""
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise BodyTooLarge(f"more than the limit of {limit / 1e6:g} MB")
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
                if scope["path"].startswith("/api"):
                    answer.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, limited, with_headers)

    def _check(self, scope: Scope, headers: Headers, limit: float) -> tuple[int, str]:
        """Status and message of a request that is refused; an empty message if it is not."""
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self._is_host(host):
            return 421, "this server has another name; use the address that it printed"
        if not self._is_same_origin(scope["method"], headers, host):
            return 403, "a request from another site"
        if self.users and self.user(headers) is None:
            with self._lock:
                now = time.monotonic()
                recent = [each for each in self._failures if now - each < FAILURE_SECONDS]
                if len(recent) >= MAX_FAILURES:
                    return 429, "too many wrong logins; wait a minute"
                if headers.get("authorization"):
                    self._failures.append(now)
            return 401, "log in with a name and a password"
        if scope["method"] not in ("GET", "HEAD", "POST", "DELETE"):
            return 405, "only GET, HEAD, POST and DELETE"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > limit:
            return 413, f"more than the limit of {limit / 1e6:g} MB"
        return 0, ""

    def _is_host(self, header: str) -> bool:
        """Whether a Host header names this server."""
        try:
            name = (urlsplit(f"//{header}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if self.hosts is not None:
            return name in self.hosts
        return _is_address(name) or name in ("localhost", socket.gethostname().lower())

    @staticmethod
    def _is_same_origin(method: str, headers: Headers, host: str) -> bool:
        """Whether a request comes from a page of this server, or from no page."""
        if method in ("GET", "HEAD"):
            return headers.get("sec-fetch-site") != "cross-site" or (
                headers.get("sec-fetch-mode") == "navigate"
                and headers.get("sec-fetch-dest") == "document"
            )
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = headers.get("origin")
        return origin is None or origin in (f"http://{host}", f"https://{host}")

    def user(self, headers: Headers) -> str | None:
        """Name of the user who is logged in; empty without logins, None for a wrong one."""
        if not self.users:
            return ""
        kind, _, value = headers.get("authorization", "").partition(" ")
        found: str | None = None
        if kind.lower() == "bearer":
            for name, password in self.users.items():
                if hmac.compare_digest(password.encode(), value.strip().encode()):
                    found = name
        elif kind.lower() == "basic":
            try:
                text = base64.b64decode(value, validate=True).decode()
            except (binascii.Error, ValueError):
                return None
            name, _, password = text.partition(":")
            expected = self.users.get(name, "")
            same = hmac.compare_digest(expected.encode(), password.encode())
            found = name if same and expected else None
        return found


async def refuse(send: Send, status: int, error: str) -> None:
    """Answer with an error in words."""
    body = json.dumps({"error": error}).encode()
    headers = {**HEADERS, "content-type": "application/json", "content-length": str(len(body))}
    if status == 401:
        headers["www-authenticate"] = 'Basic realm="triform", charset="UTF-8"'
    if status in (413, 421):
        headers["connection"] = "close"
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def allowed_hosts(host: str) -> frozenset[str] | None:
    """Names of a server that listens at an address; None if it listens at all of them."""
    if is_loopback(host):
        return frozenset({"127.0.0.1", "localhost", "::1", host.lower()})
    if host in ("0.0.0.0", "::"):
        return None
    return frozenset({host.lower()})


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine only."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def read_users(path: Path | None, host: str) -> dict[str, str]:
    """Users of the file of `--auth`.

    Raises:
        UsageError: No such file for an address that others can reach.
        UserError: A line of the file is wrong.
    """
    if path is None:
        if not is_loopback(host):
            raise UsageError(
                f"--host {host}: others could reach it, so it needs --auth FILE, a file with a "
                "line NAME:PASSWORD for each user"
            )
        return {}
    users: dict[str, str] = {}
    lines = read_regular(path, MAX_JSON_BYTES).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.strip().partition(":")
        if not colon or not name or len(password) < MIN_PASSWORD:
            raise UserError(
                f"--auth {path}: line {number}: write NAME:PASSWORD, with {MIN_PASSWORD} or more "
                "characters in the password"
            )
        users[name] = password
    if not users:
        raise UserError(f"--auth {path}: no user in it; write a line NAME:PASSWORD")
    return users

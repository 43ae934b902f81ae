"""Which machines are asked for a download."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from triform.base.addresses import PUBLIC, Policy, is_public
from triform.base.download import download
from triform.base.errors import UserError

LOCAL = Policy(("http", "https"), lambda address: address == "127.0.0.1")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "255.255.255.255",
        "240.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "ff0e::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:224.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.fixture
def server() -> Iterator[tuple[int, list[str], dict[str, str]]]:
    """A server on this machine: its port, what it was asked for, where its paths redirect to."""
    requested: list[str] = []
    targets: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            self.send_response(302 if self.path in targets else 200)
            self.send_header("Content-Length", "0" if self.path in targets else "4")
            if self.path in targets:
                self.send_header("Location", targets[self.path])
            self.end_headers()
            self.wfile.write(b"" if self.path in targets else b"data")

        def log_message(self, *_: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_port, requested, targets
    running.shutdown()
    running.server_close()


def resolve_as(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name lead to these addresses."""

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every connection fail the test."""

    def connect(self: socket.socket, where: Any) -> None:
        pytest.fail(f"connected to {where}")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"],
)
def test_this_machine_is_never_asked(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever way its address is written."""
    no_connection(monkeypatch)
    with pytest.raises(UserError, match="of this machine or of a private network") as error:
        download(f"https://{host}/file", tmp_path / "f")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "fe80::1"])
@pytest.mark.parametrize("first", [(), ("93.184.215.14",)])
def test_a_name_that_leads_inside_is_refused(
    address: str, first: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a public address stands beside it."""
    no_connection(monkeypatch)
    resolve_as(monkeypatch, *first, address)
    with pytest.raises(UserError, match=address):
        download("https://data.example/file", tmp_path / "f")


def test_the_address_that_was_checked_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that gives another answer the second time is not asked a second time."""
    requested, connected = [], []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        requested.append(host)
        address = "93.184.215.14" if len(requested) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(self: socket.socket, where: Any) -> None:
        connected.append(where)
        raise OSError("far away")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(UserError, match="far away"):
        download("https://data.example/file", tmp_path / "f")
    assert requested == ["data.example"] and connected == [("93.184.215.14", 443)]


@pytest.mark.parametrize(
    "target",
    [
        "ftp://example.com/file",
        "file:///etc/passwd",
        "data:text/plain,x",
        "gopher://example.com",
        "https://10.0.0.1/file",
        "https://[::1]/file",
        "https://169.254.169.254/latest",
        "//10.0.0.1/file",
    ],
)
def test_a_redirect_leads_nowhere_else(
    server: tuple[int, list[str], dict[str, str]], target: str, tmp_path: Path
) -> None:
    """Each step is held against the same rules as the first."""
    port, requested, targets = server
    targets["/start"] = target
    with pytest.raises(UserError) as error:
        download(f"http://127.0.0.1:{port}/start", tmp_path / "f", policy=LOCAL)
    assert "only http:// and https://" in str(error.value) or "private" in str(error.value)
    assert requested == ["/start"] and list(tmp_path.iterdir()) == []


def test_https_is_not_left(server: tuple[int, list[str], dict[str, str]], tmp_path: Path) -> None:
    """The policy of the house takes neither http at once nor by a redirect."""
    port, requested, _ = server
    with pytest.raises(UserError, match="only https:// addresses"):
        download(f"http://127.0.0.1:{port}/file", tmp_path / "f")
    assert PUBLIC.schemes == ("https",) and requested == []
    with pytest.raises(UserError, match="only https:// addresses"):
        PUBLIC.check_url("http://example.com/file")


def test_redirects_end(server: tuple[int, list[str], dict[str, str]], tmp_path: Path) -> None:
    port, requested, targets = server
    targets.update({f"/{n}": f"/{n + 1}" for n in range(50)})
    with pytest.raises(UserError, match="redirect"):
        download(f"http://127.0.0.1:{port}/0", tmp_path / "f", policy=LOCAL)
    assert len(requested) <= 7


def test_what_stands_at_the_end_of_good_redirects_is_brought(
    server: tuple[int, list[str], dict[str, str]], tmp_path: Path
) -> None:
    port, _, targets = server
    targets.update({"/a": "/b", "/b": f"http://127.0.0.1:{port}/c"})
    path = download(f"http://127.0.0.1:{port}/a", tmp_path / "f", policy=LOCAL)
    assert path.read_bytes() == b"data"


@pytest.mark.parametrize("url", ["https:///file", "https://", "https://[::1", "HTTP://x/", "x"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(UserError, match="only https"):
        PUBLIC.check_url(url)

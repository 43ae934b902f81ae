"""Downloads against a server on this machine that misbehaves in every way we know."""

import hashlib
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from triform.base import download as module
from triform.base.addresses import Policy
from triform.base.errors import UserError

DATA = bytes(range(256)) * 4096  # 1 MiB
SHA = hashlib.sha256(DATA).hexdigest()
HALF = len(DATA) // 2
TAG = '"one"'
# The server of these tests is on this machine, which nothing but this parameter allows.
LOCAL = Policy(schemes=("http", "https"), is_allowed=lambda address: address == "127.0.0.1")

Answer = Callable[["Handler", int], None]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        server.requests.append(dict(self.headers))  # type: ignore[attr-defined]
        server.answer(self, len(server.requests))  # type: ignore[attr-defined]
        self.close_connection = True

    def send(self, status: int, body: bytes, length: int | None = -1, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length == -1 else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def send_ranges(self, tag: str = TAG, stop: int | None = None) -> None:
        """A good server: ranges and If-Range are honoured; ``stop`` cuts the connection there."""
        expected = self.headers.get("Range")
        start = int(expected.split("=")[1].rstrip("-")) if expected else 0
        if self.headers.get("If-Range") not in (None, tag):
            start = 0
        body = DATA[start:stop]
        length = len(DATA) - start
        if start:
            where = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
            self.send(206, body, length, ETag=tag, Content_Range=where)
        else:
            self.send(200, body, length, ETag=tag)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], tuple[str, list[dict[str, str]]]]]:
    servers = []

    def start(answer: Answer) -> tuple[str, list[dict[str, str]]]:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.answer, server.requests = answer, []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/file.bin", server.requests  # type: ignore[attr-defined]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def download(url: str, path: Path, **settings: Any) -> Path:
    return module.download(url, path, policy=LOCAL, **settings)


def leftovers(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_downloads_and_leaves_nothing_else(serve, tmp_path: Path) -> None:
    url, requests = serve(lambda handler, _: handler.send_ranges())
    path = download(url, tmp_path / "deep" / "f.bin", sha256=SHA, size=len(DATA))
    assert path.read_bytes() == DATA
    assert leftovers(path.parent) == {"f.bin"}
    download(url, path, sha256=SHA)
    assert len(requests) == 1  # what is there and right is not fetched again


def test_a_wrong_file_that_is_there_is_replaced(serve, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    url, _ = serve(lambda handler, _: handler.send_ranges())
    assert download(url, tmp_path / "f", sha256=SHA).read_bytes() == DATA


def test_goes_on_after_a_lost_connection(serve, tmp_path: Path) -> None:
    url, requests = serve(lambda handler, n: handler.send_ranges(stop=HALF if n == 1 else None))
    assert download(url, tmp_path / "f").read_bytes() == DATA
    assert requests[1]["Range"] == f"bytes={HALF}-"
    assert requests[1]["If-Range"] == TAG


def test_a_later_call_resumes(serve, tmp_path: Path) -> None:
    url, requests = serve(
        lambda handler, n: (
            handler.send_ranges(stop=HALF)
            if n == 1
            else handler.send(503, b"busy")
            if n == 2
            else handler.send_ranges()
        )
    )
    with pytest.raises(UserError, match=r"answered 503"):
        download(url, tmp_path / "f")
    assert (tmp_path / "f.part").stat().st_size == HALF
    assert not (tmp_path / "f").exists()
    assert download(url, tmp_path / "f", sha256=SHA).read_bytes() == DATA
    assert requests[-1]["Range"] == f"bytes={HALF}-"
    assert leftovers(tmp_path) == {"f"}


def test_connection_that_brings_nothing_more_ends_in_one_line(serve, tmp_path: Path) -> None:
    url, _ = serve(
        lambda handler, n: handler.send(200, DATA[:HALF], len(DATA), ETag=TAG) if n == 1 else None
    )
    with pytest.raises(UserError, match=r"524,288 bytes are kept") as error:
        download(url, tmp_path / "f")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "f").exists()


def test_server_without_ranges_starts_over(serve, tmp_path: Path) -> None:
    url, _ = serve(
        lambda handler, n: handler.send(200, DATA[:HALF] if n == 1 else DATA, len(DATA), ETag=TAG)
    )
    assert download(url, tmp_path / "f", sha256=SHA).read_bytes() == DATA


def test_changed_file_is_not_glued_to_the_old_part(serve, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"x" * HALF)
    (tmp_path / "f.part.version").write_text('"old"')
    url, _ = serve(lambda handler, _: handler.send_ranges())
    assert download(url, tmp_path / "f").read_bytes() == DATA


def test_part_of_unknown_version_is_not_used(serve, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(b"x" * HALF)
    url, requests = serve(lambda handler, _: handler.send_ranges())
    assert download(url, tmp_path / "f").read_bytes() == DATA
    assert "Range" not in requests[0]


def test_wrong_range_is_refused(serve, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(DATA[:HALF])
    (tmp_path / "f.part.version").write_text(TAG)
    url, _ = serve(lambda handler, _: handler.send(206, DATA[:10], Content_Range="bytes 0-9/100"))
    with pytest.raises(UserError, match=r"requested bytes from"):
        download(url, tmp_path / "f")


def test_range_not_satisfiable_starts_over(serve, tmp_path: Path) -> None:
    (tmp_path / "f.part").write_bytes(DATA + b"more")
    (tmp_path / "f.part.version").write_text(TAG)
    url, _ = serve(lambda handler, n: handler.send(416, b"") if n == 1 else handler.send_ranges())
    assert download(url, tmp_path / "f").read_bytes() == DATA


def test_wrong_checksum_is_thrown_away(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, _: handler.send(200, DATA[::-1]))
    with pytest.raises(UserError, match=r"sha256 is [0-9a-f]{64}, [0-9a-f]{64} is expected"):
        download(url, tmp_path / "f", sha256=SHA)
    assert not (tmp_path / "f").exists()
    assert not (tmp_path / "f.part").exists()


def test_other_size_than_expected(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, _: handler.send(200, DATA))
    with pytest.raises(UserError, match=r"1,048,576 bytes, 10 are expected"):
        download(url, tmp_path / "f", size=10)
    assert not (tmp_path / "f").exists()


def test_truncated_body_without_length(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, _: handler.send(200, DATA[:HALF], None))
    with pytest.raises(UserError, match=r"524,288 bytes, 1,048,576 are expected"):
        download(url, tmp_path / "f", size=len(DATA))
    assert not (tmp_path / "f").exists()


def test_endless_body_is_cut_off(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, _: handler.send(200, DATA * 4, None))
    with pytest.raises(UserError, match=r"more than the 1,048,576 bytes"):
        download(url, tmp_path / "f", size=len(DATA))
    assert (tmp_path / "f.part").stat().st_size <= len(DATA)


def test_body_without_length_and_expectation(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, _: handler.send(200, DATA, None))
    assert download(url, tmp_path / "f").read_bytes() == DATA


def test_not_found(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, _: handler.send(404, b"no"))
    with pytest.raises(UserError, match=r"answered 404"):
        download(url, tmp_path / "f")
    assert leftovers(tmp_path) == set()


def test_redirect_is_followed(serve, tmp_path: Path) -> None:
    target, _ = serve(lambda handler, _: handler.send_ranges())
    url, _ = serve(lambda handler, _: handler.send(302, b"", Location=target))
    assert download(url, tmp_path / "f", sha256=SHA).read_bytes() == DATA


def test_redirect_to_a_file_is_refused(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, _: handler.send(302, b"", Location="file:///etc/passwd"))
    with pytest.raises(UserError):
        download(url, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the download failed"):
        download("http://127.0.0.1:9/file", tmp_path / "f")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "/etc/passwd", ""])
def test_only_http(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only http"):
        download(url, tmp_path / "f")


def test_length_without_an_expectation_is_limited(serve, tmp_path: Path) -> None:
    """By what the server says, and by what arrives where it says nothing."""
    url, _ = serve(lambda handler, _: handler.send_ranges())
    with pytest.raises(UserError, match=r"1,048,576 bytes, more than 1,000"):
        download(url, tmp_path / "f", max_bytes=1000)
    assert not (tmp_path / "f.part").exists()
    url, _ = serve(lambda handler, _: handler.send(200, DATA, None))
    with pytest.raises(UserError, match=r"more than 300,000 bytes arrive"):
        download(url, tmp_path / "f", max_bytes=300_000)
    assert (tmp_path / "f.part").stat().st_size <= 300_000 and not (tmp_path / "f").exists()


@pytest.mark.parametrize("name", ["f", "f.part", "f.part.version"])
def test_links_are_not_followed(serve, name: str, tmp_path: Path) -> None:
    """Somebody else lays a link to a file of ours where the download will be."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / name).symlink_to(victim)
    url, _ = serve(lambda handler, _: handler.send_ranges())
    with pytest.raises(UserError, match="a link"):
        download(url, folder / "f", sha256=SHA)
    assert victim.read_bytes() == b"mine" and (folder / name).is_symlink()


def test_a_part_with_a_second_name_is_left_alone(serve, tmp_path: Path) -> None:
    """A hard link to a file of ours is not written into."""
    victim = tmp_path / "victim"
    victim.write_bytes(DATA[:HALF])
    (tmp_path / "f.part").hardlink_to(victim)
    (tmp_path / "f.part.version").write_text(TAG)
    url, requests = serve(lambda handler, _: handler.send_ranges())
    assert download(url, tmp_path / "f").read_bytes() == DATA
    assert victim.read_bytes() == DATA[:HALF] and "Range" not in requests[0]


def test_the_part_is_private_and_the_file_is_not(serve, tmp_path: Path) -> None:
    url, _ = serve(lambda handler, n: handler.send(200, DATA[:HALF], len(DATA), ETag=TAG))
    with pytest.raises(UserError):
        download(url, tmp_path / "f")
    assert (tmp_path / "f.part").stat().st_mode & 0o777 == 0o600
    url, _ = serve(lambda handler, _: handler.send_ranges())
    mask = os.umask(0o022)
    os.umask(mask)
    download(url, tmp_path / "f")
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o666 & ~mask


def test_an_attempt_that_brings_nothing_is_the_last(serve, tmp_path: Path) -> None:
    """Whoever gets nothing gives up at once; whoever gets a little tries four times."""
    url, requests = serve(
        lambda handler, n: handler.send(200, DATA[:HALF], len(DATA), ETag=TAG) if n == 1 else None
    )
    with pytest.raises(UserError, match="524,288 bytes are kept"):
        download(url, tmp_path / "f")
    assert len(requests) == 2

    def a_little(handler: Handler, number: int) -> None:
        handler.send_ranges(stop=number * 1000)

    url, requests = serve(a_little)
    with pytest.raises(UserError, match="4,000 bytes are kept"):
        download(url, tmp_path / "g")
    assert [request.get("Range") for request in requests] == [
        None,
        "bytes=1000-",
        "bytes=2000-",
        "bytes=3000-",
    ]

"""Two hundred requests that nobody sends in good faith: all refused in words, the server lives."""

import contextlib
import http.client
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from live_server import LiveServer

SECRET = "the secret of the test"
TARGETS = ("secret.txt", "../secret.txt", "../../secret.txt", "/etc/passwd", "serve.log", ".lock")
DISGUISES = (
    lambda path: path,
    lambda path: quote(path, safe=""),
    lambda path: quote(quote(path, safe=""), safe=""),
    lambda path: path.replace("/", "\\"),
    lambda path: path.replace("../", "....//"),
    lambda path: path.replace("..", "%2e%2e"),
    lambda path: f"x/../{path}",
    lambda path: f"{path}%00.png",
)
DOORS = ("static/", "api/results/{name}/files/", "api/runs/vae/run_1/samples/", "")
STRANGE = (
    b"[]",
    b"null",
    b"1e999",
    b'{"system": 1}',
    b'{"system": "voxel_gan"}',
    b'{"system": "voxel_gan", "verb": "generate", "settings": []}',
    b'{"system": "voxel_gan", "verb": "generate", "settings": {}, "more": 1}',
    b'{"system": "voxel_gan", "verb": "generate", "settings": {"seed": 1e400}}',
    b'{"system": "voxel_gan", "verb": "generate", "settings": {"seed": -1}}',
    b'{"system": "voxel_gan", "verb": "generate", "settings": {"seed": null, "x": 1}}',
    b'{"system": "voxel_gan", "verb": "generate", "settings": {"prompt": {"$ne": 1}}}',
    b'{"system": "voxel_gan", "verb": "__class__", "settings": {}}',
    b'{"system": "__init__", "verb": "train", "settings": {}}',
    b'{"system": "voxel_gan/../vae", "verb": "train", "settings": {}}',
    b'{"system": "voxel_gan", "verb": "train", "preset": "../../secret", "settings": {}}',
    b"{" * 5000,
    b"[" * 100_000,
    b'{"system": "' + b"x" * 100_000 + b'", "verb": "x"}',
    b"x" * 300_000,
    b"\xff\xfe\x00",
    b"",
)
BROKEN_FILES = (
    ("a.png", b"\x89PNG\r\n\x1a\n" + os.urandom(64)),
    ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x06\0\0\0"),
    ("a.gif", b"GIF89a\xff\xff\xff\xff"),
    ("a.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50),
    ("a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 "),
    ("a.obj", b"f 1 2 3\n"),
    ("a.obj", b"v nan nan nan\n" * 3 + b"f 1 2 3\n"),
    ("a.obj", b"mtllib /etc/passwd\nv 0 0 0\nf 9 9 9\n"),
    ("a.stl", b"solid\nfacet\n"),
    ("a.stl", b"\0" * 80 + b"\xff\xff\xff\x7f"),
    ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 999999999\nend_header\n"),
    ("a.glb", b"glTF\x02\0\0\0\xff\xff\xff\xff"),
    ("a.3mf", b"PK\x03\x04" + b"\0" * 30),
    ("a.off", b"OFF\n1000000000 1000000000 0\n"),
    ("a.dae", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    ("a.svg", b"<svg onload=alert(1)>"),
    ("a.html", b"<script>alert(1)</script>"),
    ("a.pth", b"\x80\x04."),
    ("a.png", b""),
    ("a.exe.", b"MZ"),
    ("", b"x"),
    ("/", b"x"),
    ("a" * 301 + ".png", b"x"),
)
HEADER_TRICKS = (
    {"Host": "evil.example"},
    {"Host": ""},
    {"Host": "127.0.0.1:1, evil"},
    {"X-Forwarded-Host": "evil.example", "Host": "evil.example"},
    {"Origin": "http://evil.example"},
    {"Content-Length": "-1"},
    {"Content-Length": "99999999999999999999"},
    {"Content-Length": "abc"},
    {"Content-Length": "٣"},
    {"Transfer-Encoding": "chunked, chunked"},
    {"Transfer-Encoding": "gzip"},
    {"X-Long": "x" * 70_000},
    {"Authorization": "Basic " + "x" * 1000, "Host": "evil.example"},
)


PARAMETERS = (
    "state?language=../../secret.txt",
    "state?language=en&language=%00",
    "forms/voxel_gan/generate?language=ru'--",
    "forms/..%2f..%2fsecret.txt/generate",
    "results?start=-1",
    "results?count=100000",
    "results?text=" + "x" * 101,
    "results?start=1e400",
)


def test_they_are_two_hundred():
    paths = len(DOORS) * len(TARGETS) * len(DISGUISES)
    others = (STRANGE, BROKEN_FILES, HEADER_TRICKS, PARAMETERS)
    assert paths + sum(map(len, others)) >= 200


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "secret.txt").write_text(SECRET)
    (folder / "shapes").mkdir()
    (folder / "shapes" / "link.png").symlink_to(folder / "secret.txt")
    run = folder / "runs" / "vae" / "run_1"
    (run / "samples").mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 1\n")
    (run / "samples" / "secret.png").symlink_to(folder / "secret.txt")
    one = LiveServer(folder, "--no_warm_up", "--folder", "shapes", "--max_upload_mb", "1")
    yield one
    one.process.kill()
    one.process.wait()


def ask(server, method, path, body=None, headers=None):
    """Send a request as it is written; returns status and answer."""
    host, port = server.address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=300)
    try:
        connection.putrequest(method, path, skip_host="Host" in (headers or {}))
        for name, value in (headers or {}).items():
            connection.putheader(name, value.encode())
        if body is not None and "Content-Length" not in (headers or {}):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        if body:
            with contextlib.suppress(OSError):  # refused before all of it was sent
                connection.send(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (http.client.HTTPException, ConnectionError, UnicodeError, ValueError):
        return 0, b""  # the connection was closed
    finally:
        connection.close()


def check(server, status, content):
    assert status == 0 or 400 <= status < 500, (status, content[:200])
    assert SECRET.encode() not in content and b"root:" not in content
    assert b"Traceback" not in content and str(server.folder).encode() not in content
    if content.startswith(b"{"):
        assert json.loads(content)["error"]


def alive(server):
    assert server.process.poll() is None
    assert server.get("state")["folders"] == ["shapes"]


def test_paths(server):
    name = server.post(
        "jobs",
        {"system": "voxel_gan", "verb": "generate", "settings": {"prompt": ["a"]}},
    )["id"]
    server.until(name, ["done"])
    for door in DOORS:
        for target in TARGETS:
            for disguise in DISGUISES:
                path = disguise(target).replace(" ", "%20")
                check(server, *ask(server, "GET", f"/{door.format(name=name)}{path}"))
    check(server, *ask(server, "GET", "/api/runs/vae/run_1/samples/secret.png"))
    for method in ("PUT", "PATCH", "TRACE", "CONNECT", "OPTIONS"):
        check(server, *ask(server, method, "/api/state"))
    alive(server)


def test_bodies(server):
    json_type = {"Content-Type": "application/json"}
    for body in STRANGE:
        check(server, *ask(server, "POST", "/api/jobs", body, json_type))
    assert server.get("jobs") == []
    alive(server)


def test_parameters(server):
    for path in PARAMETERS:
        check(server, *ask(server, "GET", f"/api/{path}"))
    alive(server)


def test_broken_files_at_once(server):
    def send(file):
        return ask(server, "POST", f"/api/uploads?name={quote(file[0])}", file[1])

    with ThreadPoolExecutor(4) as pool:
        for answer in pool.map(send, BROKEN_FILES):
            check(server, *answer)
    check(server, *ask(server, "POST", "/api/uploads?name=a.png", b"x" * 2_000_000))
    check(server, *ask(server, "POST", "/api/uploads", b"x"))
    assert list((server.folder / "results" / ".uploads").iterdir()) == []
    alive(server)


def test_headers(server):
    for headers in HEADER_TRICKS:
        check(server, *ask(server, "POST", "/api/jobs", b"{}", headers))
    alive(server)


def test_raw_bytes(server):
    host, port = server.address.removeprefix("http://").split(":")
    for data in (
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Content-Length: 6\r\n\r\nabcdef",
        b"A" * 100_000,
    ):
        with socket.create_connection((host, int(port)), timeout=300) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(100_000)
            except ConnectionError:
                continue
            assert answer == b"" or answer.split()[1].startswith(b"4"), answer[:200]
    alive(server)


def test_many_at_once(server):
    job = json.dumps(
        {"system": "voxel_gan", "verb": "generate", "settings": {"prompt": ["slow"]}}
    ).encode()
    json_type = {"Content-Type": "application/json"}

    def send(index):
        user = {"X-Triform-User": str(index % 3)}
        return ask(server, "POST", "/api/jobs", job, {**json_type, **user})[0]

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(send, range(40)))
    assert set(statuses) == {202, 429} and statuses.count(202) <= 13
    for index in range(3):
        ask(server, "DELETE", "/api/jobs", None, {"X-Triform-User": str(index)})
    alive(server)

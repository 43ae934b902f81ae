import base64
from pathlib import Path

import pytest

from triform.base.errors import UsageError, UserError
from triform.web.guard import HEADERS, allowed_hosts, is_loopback, read_users

USERS = {"anna": "correct horse battery"}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("[::1]:7860", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1@evil.example", 421),
        ("", 421),
        ("[", 421),
        ("10.0.0.1", 421),
    ],
)
def test_the_host_header_names_this_server(client, host, status):
    """A page whose name an attacker lets point to 127.0.0.1 (DNS rebinding) gets nothing."""
    answer = client.get("/api/state", headers={"host": host})
    assert answer.status_code == status and ("pages" in answer.json()) == (status == 200)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_change_nothing(client, headers):
    for method, path in (("POST", "/api/jobs"), ("DELETE", "/api/jobs"), ("POST", "/api/uploads")):
        answer = client.request(method, path, headers=headers)
        assert answer.status_code == 403 and answer.json()["error"]
    own = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert client.delete("/api/jobs", headers=own).status_code == 200


def test_other_sites_read_and_frame_nothing(client):
    answer = client.get("/api/state", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    embedded = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert client.get("/api/state", headers=embedded).status_code == 403
    for path in ("/", "/static/app.js", "/api/state", "/api/nothing"):
        headers = client.get(path).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
    policy = HEADERS["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy


def test_nothing_on_a_page_comes_from_elsewhere():
    """No address of another host in any file of the pages."""
    from triform.web.service import static_folder

    for path in static_folder().iterdir():
        text = path.read_text(encoding="latin-1").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text.replace("HTTP API", "") and "//cdn" not in text, path.name
        assert "innerHTML" not in text and "eval(" not in text, path.name


def test_with_users_nothing_is_open(make_client):
    client = make_client(USERS)
    for path in ("/", "/static/app.js", "/api/state", "/openapi.json", "/api/results"):
        answer = client.get(path)
        assert answer.status_code == 401 and "pages" not in answer.text
        assert answer.headers["www-authenticate"].startswith("Basic")
    good = base64.b64encode(b"anna:correct horse battery").decode()
    assert client.get("/api/state", headers={"authorization": f"Basic {good}"}).status_code == 200
    key = {"authorization": "Bearer correct horse battery"}
    assert client.get("/api/state", headers=key).status_code == 200
    for wrong in ("Basic !", "Basic " + base64.b64encode(b"anna:").decode(), "Bearer", "Bearer x"):
        answer = client.get("/api/state", headers={"authorization": wrong})
        assert answer.status_code == 401


def test_passwords_cannot_be_tried_out(make_client):
    client = make_client(USERS)
    wrong = {"authorization": "Bearer wrong"}
    assert [client.get("/", headers=wrong).status_code for _ in range(21)] == [401] * 20 + [429]
    key = {"authorization": "Bearer correct horse battery"}
    assert client.get("/", headers=key).status_code == 200  # who knows it is let in


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "example.org", "::"])
def test_another_host_needs_logins(host, tmp_path):
    with pytest.raises(UsageError, match="needs --auth FILE"):
        read_users(None, host)
    path = tmp_path / "users"
    path.write_text("# users\nanna:correct horse battery\n")
    assert read_users(path, host) == USERS


@pytest.mark.parametrize(
    "text", ["", "# nobody\n", "anna\n", "anna:short\n", ":correct horse battery\n"]
)
def test_files_of_users_that_are_refused(text, tmp_path):
    path = tmp_path / "users"
    path.write_text(text)
    with pytest.raises(UserError, match="--auth"):
        read_users(path, "127.0.0.1")
    with pytest.raises(UserError, match="not there"):
        read_users(Path("nowhere"), "127.0.0.1")


def test_loopback():
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "localhost", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "10.0.0.1", "::", "localhost.evil", "")))
    assert read_users(None, "::1") == {}
    assert allowed_hosts("0.0.0.0") is None and "::1" in allowed_hosts("localhost")


def test_any_address_is_a_host_where_it_listens_at_all(make_client):
    client = make_client(USERS, host="0.0.0.0")
    key = {"authorization": "Bearer correct horse battery"}
    assert client.get("/api/state", headers={"host": "10.0.0.1", **key}).status_code == 200
    assert client.get("/api/state", headers={"host": "evil.org", **key}).status_code == 421

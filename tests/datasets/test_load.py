"""Data sets by name: downloaded from a server on this machine, made, found, cleared."""

import dataclasses
import functools
import http.server
import io
import json
import os
import re
import sys
import threading
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from triform.base.addresses import Policy
from triform.base.download import download
from triform.base.errors import UsageError, UserError
from triform.datasets import debian, load
from triform.datasets.images import mnist
from triform.datasets.listing import list_shapes
from triform.datasets.load import (
    DATASET_LINKS,
    clear_dataset_cache,
    list_datasets,
    load_dataset,
    select_local_dataset,
)

OFF = b"OFF\n4 4 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"


def modelnet(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(f"ModelNet10/{name}.off", OFF)
    return stream.getvalue()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Serves an archive as modelnet10; returns the list of requests."""
    running: list[http.server.HTTPServer] = []

    def start(body: bytes, status: int = 200) -> list[str]:
        requests: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        running.append(http_server)
        url = f"http://127.0.0.1:{http_server.server_port}/ModelNet10.zip"
        for name in ("modelnet10", "chairs", "tables"):
            known = dataclasses.replace(load.DATASETS[name], url=url, size=None, sha256=None)
            monkeypatch.setitem(load.DATASETS, name, known)
        policy = Policy(("http",), lambda address: address == "127.0.0.1")
        monkeypatch.setattr(load, "download", functools.partial(download, policy=policy))
        return requests

    yield start
    for http_server in running:
        http_server.shutdown()
        http_server.server_close()


ARCHIVE = modelnet(
    "chair/train/chair_0001", "chair/test/chair_0900", "table/train/table_0001", "bed/train/bed_1"
)


def test_known_names() -> None:
    assert {"chairs", "tables", "modelnet10", "modelnet40", "shapenetcore"} <= set(DATASET_LINKS)
    assert DATASET_LINKS["modelnet40"] == "https://modelnet.cs.princeton.edu/ModelNet40.zip"
    assert all(link.startswith("https://") for link in DATASET_LINKS.values())


def test_every_archive_has_a_size_and_a_checksum() -> None:
    for known in (known for known in load.DATASETS.values() if known.url.endswith(".zip")):
        assert known.size and re.fullmatch("[0-9a-f]{64}", known.sha256 or ""), known
    files = [*mnist.MNIST_FILES.values(), *mnist.FASHION_FILES.values()]
    assert len(files) == 8 and all(re.fullmatch("[0-9a-f]{64}", sha256) for _, sha256 in files)
    assert all(url[:8] == "https://" for url in (mnist.MNIST_URL, mnist.FASHION_URL))


def test_another_archive_of_the_same_name_is_thrown_away(
    server: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server(ARCHIVE)
    other = dataclasses.replace(load.DATASETS["modelnet10"], sha256="0" * 64)
    monkeypatch.setitem(load.DATASETS, "modelnet10", other)
    with pytest.raises(UserError, match=r"0{64} is expected"):
        load_dataset("modelnet10", tmp_path)
    assert os.listdir(tmp_path) == [".modelnet10.lock"]


def test_the_network_of_this_machine_is_not_asked(
    server: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = server(ARCHIVE)
    monkeypatch.setattr(load, "download", download)
    with pytest.raises(UserError, match="only https://"):
        load_dataset("modelnet10", tmp_path)
    assert requests == []


def test_a_link_where_a_data_set_is_made_leads_nowhere(
    server: Callable[..., list[str]], tmp_path: Path
) -> None:
    server(ARCHIVE)
    victim, root = tmp_path / "victim", tmp_path / "shared"
    root.mkdir()
    (victim / "mine").mkdir(parents=True)
    (root / ".modelnet10.making").symlink_to(victim)
    load_dataset("modelnet10", root)
    assert os.listdir(victim) == ["mine"] and not (root / "modelnet10").is_symlink()


def test_download_once_unpack_and_share(server: Callable[..., list[str]], tmp_path: Path) -> None:
    requests = server(ARCHIVE)
    chairs, tables = load_dataset(["Chairs", "TABLES"], tmp_path)
    assert chairs == tmp_path / "modelnet10" / "ModelNet10" / "chair"
    assert [s.object_id for s in list_shapes([tables])] == [
        "modelnet10/ModelNet10/table/train/table_0001"
    ]
    everything = load_dataset("modelnet10", tmp_path)
    assert len(list_shapes([*everything, chairs])) == 4
    assert {s.split for s in list_shapes([chairs])} == {"train", "test"}
    assert "research" in list_shapes([chairs])[0].licence
    assert requests == ["/ModelNet10.zip"]
    assert sorted(os.listdir(tmp_path)) == [".modelnet10.lock", "modelnet10"]


def test_a_damaged_download_is_not_kept(server: Callable[..., list[str]], tmp_path: Path) -> None:
    server(ARCHIVE[: len(ARCHIVE) // 2])
    with pytest.raises(UserError, match="damaged"):
        load_dataset("modelnet10", tmp_path)
    assert os.listdir(tmp_path) == [".modelnet10.lock"]
    server(ARCHIVE)
    assert len(list_shapes(load_dataset("modelnet10", tmp_path))) == 4


def test_an_interrupted_unpacking_is_done_again(
    server: Callable[..., list[str]], tmp_path: Path
) -> None:
    server(ARCHIVE)
    half = tmp_path / ".modelnet10.making" / "ModelNet10" / "chair"
    half.mkdir(parents=True)
    (half / "chair_0001.off").write_bytes(OFF[:10])
    assert len(list_shapes(load_dataset("modelnet10", tmp_path))) == 4


def test_archive_without_the_folder(server: Callable[..., list[str]], tmp_path: Path) -> None:
    server(modelnet("bed/train/bed_1"))
    with pytest.raises(UserError, match=r"no folder ModelNet10/chair"):
        load_dataset("chairs", tmp_path)


def test_server_says_no(server: Callable[..., list[str]], tmp_path: Path) -> None:
    server(b"gone", 404)
    with pytest.raises(UserError, match="answered 404"):
        load_dataset("modelnet10", tmp_path)
    assert not (tmp_path / "modelnet10").exists()


def test_a_folder_of_the_users_own_is_used_and_never_removed(tmp_path: Path) -> None:
    own = tmp_path / "modelnet10" / "chair"
    own.mkdir(parents=True)
    (own / "mine.off").write_bytes(OFF)
    assert load_dataset("chairs", tmp_path) == [own]
    assert clear_dataset_cache(tmp_path) == []
    assert own.exists()


def test_a_folder_in_the_way_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "testdataset_2").mkdir()
    (tmp_path / "testdataset_2" / "diary.txt").write_text("mine")
    with pytest.raises(UserError, match="in the way"):
        load_dataset("testdataset:2", tmp_path)
    assert (tmp_path / "testdataset_2" / "diary.txt").read_text() == "mine"


def test_testdataset_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "DEFAULT_OBJECTS", 12)
    (default,) = load_dataset("TestDataset", tmp_path)
    assert default == tmp_path / "testdataset"
    stamp = (default / "captions.csv").stat().st_mtime_ns
    assert load_dataset("testdataset", tmp_path) == [default]
    assert (default / "captions.csv").stat().st_mtime_ns == stamp
    (more,) = load_dataset("testdataset:15", tmp_path)
    few, many = list_shapes([default]), list_shapes([more])
    assert len(few) == 12 and len(many) == 15
    assert {s.object_id for s in few} < {s.object_id for s in many}  # so that splits agree
    monkeypatch.setitem(load._GENERATED, "testdataset", (load.write_testdataset, 99))
    load_dataset("testdataset", tmp_path)
    assert (default / "captions.csv").stat().st_mtime_ns != stamp


@pytest.mark.parametrize("count", ["0", "-1", "x", "1e3", "99999999"])
def test_wrong_number(tmp_path: Path, count: str) -> None:
    with pytest.raises(UsageError, match=r"testdataset:.* from 1 to"):
        load_dataset(f"testdataset:{count}", tmp_path)


def test_paths_lists_and_commas(tmp_path: Path) -> None:
    for name in ("a", "b", "a,b"):
        (tmp_path / name).mkdir()
    a, b = tmp_path / "a", tmp_path / "b"
    assert load_dataset(a, tmp_path) == [a]
    assert load_dataset([str(a), b, a], tmp_path) == [a, b]
    assert load_dataset(f"{a},{b}", tmp_path) == [a, b]
    assert load_dataset(f"{tmp_path}/a,b", tmp_path) == [tmp_path / "a,b"]


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="perhaps you meant chairs"):
        load_dataset("chair", tmp_path)
    with pytest.raises(UsageError, match=r"known names: testdataset, sweethome3d"):
        load_dataset("/no/such/folder", tmp_path)
    for nothing in ([], "", " , "):
        with pytest.raises(UsageError):
            load_dataset(nothing, tmp_path)


@pytest.mark.parametrize("name", ["shapenetcore", "ShapeNetSem"])
def test_login_is_explained(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"needs a login.*sign in at https://shapenet\.org"):
        load_dataset(name, tmp_path)


def test_list(tmp_path: Path) -> None:
    load_dataset("testdataset:3", tmp_path)
    rows = {row["name"]: row for row in list_datasets(tmp_path)}
    assert set(rows) == set(load.DATASETS)
    assert rows["shapenetcore"]["state"] == "needs a login"
    assert rows["modelnet40"]["state"] == "to download"
    assert json.dumps(rows)


def test_clear_removes_only_what_was_brought(
    server: Callable[..., list[str]], tmp_path: Path
) -> None:
    server(ARCHIVE)
    load_dataset(["modelnet10", "testdataset:2"], tmp_path)
    (tmp_path / "ModelNet40.zip.part").write_bytes(b"half")
    (tmp_path / "mine.obj").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "testdataset_2")
    removed = {path.name for path in clear_dataset_cache(tmp_path)}
    assert {"modelnet10", "testdataset_2", "ModelNet40.zip.part"} <= removed
    assert sorted(os.listdir(tmp_path)) == ["link", "mine", "mine.obj"]
    assert clear_dataset_cache(tmp_path / "nowhere") == []


def test_pick_without_display_or_qt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UserError, match="no display"):
        select_local_dataset()
    monkeypatch.setenv("DISPLAY", ":0")
    for module in ("PyQt6", "PyQt6.QtWidgets", "PyQt5", "PyQt5.QtWidgets"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match="pip install PyQt6"):
        select_local_dataset()


@pytest.mark.parametrize("toolkit", ["PyQt5", "PyQt6"])
@pytest.mark.parametrize(("chosen", "summary"), [("/x/meshes", Path("/x/meshes")), ("", None)])
def test_pick(monkeypatch: pytest.MonkeyPatch, toolkit: str, chosen: str, summary: Path) -> None:
    class Application:
        def __init__(self, arguments: list[str]) -> None: ...

        @staticmethod
        def instance() -> None: ...

    dialog = types.SimpleNamespace(getExistingDirectory=lambda *_: chosen)
    widgets = types.SimpleNamespace(QApplication=Application, QFileDialog=dialog)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setitem(sys.modules, "PyQt6.QtWidgets", None)
    monkeypatch.setitem(sys.modules, toolkit, types.ModuleType(toolkit))
    monkeypatch.setitem(sys.modules, f"{toolkit}.QtWidgets", widgets)
    assert select_local_dataset() == summary


class TestDebian:
    """`apt-get` and friends played by a script on the PATH."""

    @pytest.fixture
    def tools(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        scripts = {
            "apt-get": 'echo "$@" >> "$LOG"; case "$*" in *download*) [ "$NO_INDEX" ] && '
            'case "$*" in *State*) ;; *) exit 100;; esac; '
            'printf deb > sweethome3d-furniture_1.9-1_all.deb;; *) [ "$OFFLINE" ] && '
            '{ echo "E: no network" >&2; exit 100; }; true;; esac',
            "apt-cache": 'echo "SHA256: $SUM"',
            "dpkg-deb": 'mkdir -p "$3/usr/share"; printf PK > "$3/usr/share/A.sh3f"',
        }
        for name, body in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{body}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.setenv("LOG", str(tmp_path / "log"))
        digest = "4b8f86eb3d6c95aeb1b2ae2d4e5b8e8e7f2b9f7b1d8b0ad38e34d3e5c5f0f0f0"
        monkeypatch.setenv("SUM", digest)
        return tmp_path / "log"

    @pytest.fixture
    def right_sum(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import hashlib

        monkeypatch.setenv("SUM", hashlib.sha256(b"deb").hexdigest())

    def test_brings_and_does_nothing_twice(
        self, tools: Path, right_sum: None, tmp_path: Path
    ) -> None:
        folder = debian.fetch(debian.FURNITURE, tmp_path / "data" / "furniture")
        assert os.listdir(folder) == ["A.sh3f"]
        assert os.listdir(tmp_path / "data") == ["furniture"]
        calls = tools.read_text()
        debian.fetch(debian.FURNITURE, folder)
        assert tools.read_text() == calls

    def test_index_of_its_own_without_root(
        self, tools: Path, right_sum: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NO_INDEX", "1")
        debian.fetch(debian.FURNITURE, tmp_path / "furniture")
        assert "update" in tools.read_text()

    def test_wrong_sum(self, tools: Path, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="sha256 is"):
            debian.fetch(debian.FURNITURE, tmp_path / "furniture")
        assert not (tmp_path / "furniture").exists()

    def test_offline(self, tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_INDEX", "1")
        monkeypatch.setenv("OFFLINE", "1")
        with pytest.raises(UserError, match=r"no network.*sweethome3d\.com"):
            debian.fetch(debian.FURNITURE, tmp_path / "furniture")

    def test_no_apt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UserError, match=r"no apt-get and dpkg-deb; download the libraries"):
            debian.fetch(debian.FURNITURE, tmp_path / "furniture")

    def test_known_name_finds_and_brings_it(
        self, tools: Path, right_sum: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            debian,
            "FURNITURE",
            dataclasses.replace(debian.FURNITURE, installed_folder=tmp_path / "installed"),
        )
        assert load_dataset("SweetHome3D", tmp_path) == [tmp_path / "sweethome3d"]
        assert {path.name for path in clear_dataset_cache(tmp_path)} >= {"sweethome3d"}
        (tmp_path / "installed").mkdir()
        (tmp_path / "installed" / "B.sh3f").write_bytes(b"")
        assert load_dataset("sweethome3d", tmp_path) == [tmp_path / "installed"]


def test_packages_of_debian_come_into_relative_folders_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Debian's tools run elsewhere: a relative path once named a file that was not there."""
    package = dataclasses.replace(debian.FURNITURE, pattern="*.data")

    def download(_: debian.Package, work: Path) -> Path:
        return work / "made.deb"

    def run(_: debian.Package, command: list[str], work: Path) -> str:
        os.chdir(work)  # as for a process of its own
        *_, source, target = command
        assert Path(source).parent.is_dir()
        Path(target).mkdir()
        (Path(target) / "a.data").write_text("1")
        os.chdir(tmp_path)
        return ""

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(debian.shutil, "which", lambda name: name)
    monkeypatch.setattr(debian, "_download", download)
    monkeypatch.setattr(debian, "_run", run)
    debian.fetch(package, Path("sub/packed"))
    assert (tmp_path / "sub" / "packed" / "a.data").read_text() == "1"

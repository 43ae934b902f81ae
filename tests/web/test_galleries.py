import os
import time

import pytest

from triform.web.galleries import delete_unused, mark_used


@pytest.fixture
def galleries(tmp_path):
    """Three indexes of 100 bytes, used four, three and two hours ago."""
    for hours, name in ((4, "a"), (3, "b"), (2, "c")):
        path = tmp_path / f"{name}.gallery"
        path.write_bytes(b"x" * 100)
        os.utime(path, (time.time() - 3600 * hours,) * 2)
        (tmp_path / f".{name}.gallery.lock").touch()
    return tmp_path


def names(folder):
    return sorted(path.name[0] for path in folder.glob("[!.]*.gallery"))


def test_those_go_first_that_were_not_used_for_longest(galleries):
    assert delete_unused(galleries, 300, keep_seconds=60) == []
    before = (galleries / "a.gallery").stat().st_mtime
    mark_used(galleries / "a.gallery")
    mark_used(galleries / "none.gallery")
    assert (galleries / "a.gallery").stat().st_mtime == before  # it was not made anew
    assert delete_unused(galleries, 250, keep_seconds=60) == ["b.gallery"]
    assert names(galleries) == ["a", "c"]
    assert not (galleries / ".b.gallery.lock").exists()


def test_one_that_a_job_may_need_stays(galleries):
    assert delete_unused(galleries, 10, keep_seconds=9000) == ["a.gallery", "b.gallery"]
    assert names(galleries) == ["c"]


def test_a_job_keeps_its_own_index_and_deletes_another(make_client, tmp_path):
    client = make_client(max_galleries_mb=0.00015, max_job_minutes=1)
    client.service.access.folders["photos"] = tmp_path
    folder = client.service.server_folders.galleries
    for name in ("old", "photos_folder_photos@triform-clip"):
        (folder / f"{name}.gallery").write_bytes(b"x" * 100)
        os.utime(folder / f"{name}.gallery", (1e9, 1e9))
    settings = {"query": ["a dog"], "index_file": "folder:photos", "model": "triform-clip"}
    job = {"system": "clip", "verb": "search", "settings": settings}
    assert client.post("/api/jobs", json=job).status_code == 202
    assert [path.name for path in folder.glob("[!.]*")] == [
        "photos_folder_photos@triform-clip.gallery"
    ]

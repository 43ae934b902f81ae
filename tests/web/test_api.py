import io
import json
import shutil
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from triform import systems
from triform.pretrained import shipped_weights
from triform.web import pages
from triform.web.app import create_app
from triform.web.record import Record

JOB = {"system": "voxel_gan", "verb": "generate"}


def until(condition):
    """Wait until something is true, at most for a time that no machine needs."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def png():
    """A small image as a PNG file."""
    file = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(file, "PNG")
    return file.getvalue()


def run(client, **settings):
    """Send a job and wait for its end; returns its record."""
    answer = client.post("/api/jobs", json={**JOB, "settings": settings, "page": "shape"})
    assert answer.status_code == 202, answer.text
    client.service.jobs.wait(answer.json()["id"], 30)
    return client.get(f"/api/results/{answer.json()['id']}").json()


def test_a_job_from_request_to_files(client):
    record = run(client, prompt=["a chair"], seed=7, num_samples=2)
    assert (record["state"], record["seed"], record["title"]) == ("done", 7, "a chair")
    assert [row["seed"] for row in record["answer"]] == [7, 8]
    assert record["command"].startswith("triform voxel_gan generate --seed 7 --prompt 'a chair'")
    shown = client.get(f"/api/results/{record['id']}/files/0.glb")
    assert shown.content[:4] == b"glTF" and shown.headers["content-type"] == "model/gltf-binary"
    assert shown.headers["content-security-policy"] == "default-src 'none'; sandbox"
    saved = client.get(f"/api/results/{record['id']}/files/0.obj")
    assert saved.headers["content-disposition"].startswith("attachment")
    packed = client.get(f"/api/results/{record['id']}/archive").content
    assert len(zipfile.ZipFile(io.BytesIO(packed)).namelist()) == len(record["files"]) == 10
    folder = client.service.store.folder(record["id"])
    assert "prompt:\n- a chair" in (folder / "settings.yaml").read_text()
    assert client.delete(f"/api/results/{record['id']}").json() == {"deleted": True}
    assert client.get(f"/api/results/{record['id']}").status_code == 404 and not folder.exists()


def test_what_is_first_and_what_has_no_weights():
    rows = pages.verbs_by_page()
    assert rows["shape"][0]["system"] == "shape_flow"
    ships = {(row["system"], row["verb"]): row["ships"] for row in rows["explore"]}
    assert ships["vae", "interpolate"] and ships["voxel_gan", "analyze"]
    assert ships["shap_e", "encode"] and not ships["reinforce", "play"]


def send(client, verb, **settings):
    """The record of a job as it is sent."""
    system, verb = verb.split()
    job = {"system": system, "verb": verb, "settings": settings}
    return client.post("/api/jobs", json=job).json()


def test_a_result_is_named_by_what_was_sent(client):
    assert send(client, "text_to_image generate")["title"] == "a red apple"  # the default
    sent = client.post("/api/uploads?name=my chair.png", content=png()).json()["id"]
    record = send(client, "captioner caption", images=[f"upload:{sent}", "example:office_chair"])
    assert record["title"] == "my chair, office chair"
    image = client.get(f"/api/results/{record['id']}/inputs/my chair.png")
    assert image.content == png() and image.headers["content-type"] == "image/png"
    missing = client.get(f"/api/results/{record['id']}/inputs/other.png")
    assert missing.status_code == 404 and "was sent" in missing.json()["error"]
    assert send(client, "dcgan generate")["title"] == "dcgan generate"


def test_a_result_is_named_by_the_hit_that_it_continues(client):
    found = client.service.store.create(system="retrieval", verb="search")
    hit = client.service.store.folder(found.id) / "files" / "hits" / "0001.webp"
    hit.parent.mkdir()
    hit.write_bytes(png())
    files = [{"name": "hits/0001.webp", "kind": "image", "bytes": 9}]
    answer = [{"tile": "hits/0001.webp", "caption": "a desk"}]
    record = found.model_validate({**found.model_dump(), "files": files, "answer": answer})
    client.service.store.update(found.id, files=record.files, answer=record.answer)
    image = [f"result:{found.id}/hits/0001.webp"]
    assert send(client, "retrieval search", gallery=["furniture"], image=image)["title"] == "a desk"


def test_photos_must_be_indexed_before_they_are_searched(client, tmp_path):
    client.service.access.folders["photos"] = tmp_path
    settings = {"query": ["a dog"], "index_file": "folder:photos", "model": "triform-clip"}
    answer = send(client, "clip search", **settings)
    assert (
        answer["error"] == "this folder was not indexed yet, or not by this model; index it first"
    )
    galleries = client.service.server_folders.galleries
    (galleries / "photos_folder_photos@triform-clip.gallery").touch()
    assert send(client, "clip search", **settings)["title"] == "a dog"


def test_stop_and_queue(client):
    names = []
    for _ in range(3):
        answer = client.post("/api/jobs", json={**JOB, "settings": {"prompt": ["slow"]}})
        names.append(answer.json()["id"])
    assert [each["id"] for each in client.get("/api/jobs").json()] == names
    assert client.delete(f"/api/results/{names[0]}").status_code == 400  # it runs
    assert client.delete(f"/api/jobs/{names[0]}").json() == {"stopped": True}
    assert client.service.jobs.wait(names[0], 20).state == "stopped"
    assert client.delete("/api/jobs").json() == {"stopped": 2}
    assert client.delete("/api/jobs/20260101-000000-00000000").status_code == 404


def test_too_many_jobs_are_refused_in_words(make_client):
    client = make_client(max_waiting_per_user=1)
    lanes = client.service.jobs._lanes
    for status in (202, 202, 429):
        answer = client.post("/api/jobs", json={**JOB, "settings": {"prompt": ["slow"]}})
        assert answer.status_code == status
        if status == 202:  # the first one runs before the second is sent
            until(lambda: any(lane.running for lane in lanes.values()))
    assert "of yours wait already" in answer.json()["error"]
    client.delete("/api/jobs")


def test_the_api_is_described(client):
    paths = client.get("/openapi.json").json()["paths"]
    assert "/api/jobs" in paths and "/api/uploads" in paths
    assert all(operation["summary"] for methods in paths.values() for operation in methods.values())


def test_requests_are_reported_to_nobody(client, monkeypatch):
    """FastAPI reports to OpenTelemetry where a provider or the environment says so; not here."""

    def asked():
        raise AssertionError("a provider of telemetry was asked for")

    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    for name in ("trace.get_tracer_provider", "metrics.get_meter_provider"):
        monkeypatch.setattr(f"opentelemetry.{name}", asked)
    app = create_app(client.service, {})
    assert TestClient(app, base_url="http://127.0.0.1").get("/api/state").status_code == 200
    assert not app.app._telemetry["auto_configure"]


def test_readers_are_imported_while_the_first_page_is_read(client, monkeypatch):
    service, calls = client.service, []
    monkeypatch.setattr("triform.web.service.LOOKING_SECONDS", 0)
    monkeypatch.setattr(service, "datasets", lambda: calls.append("data sets"))
    monkeypatch.setattr(service, "config", service.config.model_copy(update={"warm_up": True}))
    for _ in range(3):
        assert client.get("/api/state").status_code == 200
    until(lambda: calls)
    assert calls == ["data sets"]


def test_a_page_opens_with_a_system_that_works_without_training(client):
    rows = client.get("/api/state").json()["pages"]
    for page in ("shape", "find", "describe", "explore"):
        assert rows[page][0]["system"] in shipped_weights.names(), page
    assert rows["shape"][0]["system"] == "shape_flow"


def test_pages_have_what_systems_can_do(client):
    pages = client.get("/api/state").json()["pages"]
    rows = {name: {(row["system"], row["verb"]) for row in each} for name, each in pages.items()}
    assert ("voxel_gan", "generate") in rows["shape"] and ("retrieval", "search") in rows["find"]
    assert ("captioner", "caption") in rows["describe"] and ("dqn", "play") in rows["explore"]
    assert ("vae", "train") in rows["train"]
    assert rows["image"] == {("text_to_image", "generate")}
    ships = {(row["system"], row["verb"]): row["ships"] for each in pages.values() for row in each}
    assert ships["dqn", "play"] and ships["voxel_gan", "generate"]  # dqn_cartpole, voxel_gan
    assert ships["clip", "duplicates"] and not ships["reinforce", "play"]
    assert not rows["explore"] & (rows["shape"] | rows["find"] | rows["train"])


def test_no_system_is_named():
    """A page finds its systems by their verbs, so that adding one edits nothing here."""
    for path in Path(pages.__file__).parent.rglob("*.*"):
        if path.suffix not in (".py", ".js"):
            continue
        text = path.read_text(encoding="utf-8").replace('examples=["voxel_gan"]', "")
        assert not [name for name in systems.names() if f'"{name}"' in text], path


def test_history_of_a_thousand_results_and_the_runs_of_the_command_line(client, tmp_path):
    store = client.service.store
    for index in range(1000):
        name = f"20250101-000000-{index:08x}"
        record = Record(id=name, system="vae", verb="generate", title=f"n{index}", created=index)
        store._records[name] = record.model_copy(update={"state": "done"})
    run_dir = tmp_path / "runs" / "vae" / "run_2026-01-31_12-00-00"
    run_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text("seed: 1\n")
    answer = client.get("/api/results").json()
    assert answer["total"] == 1001 and len(answer["entries"]) == 60
    first, second, *_ = answer["entries"]
    assert (first["kind"], first["name"]) == ("run", "vae/run_2026-01-31_12-00-00")
    assert second["title"] == "n999"
    assert client.get("/api/results?start=980").json()["entries"][-1]["title"] == "n0"
    assert client.get("/api/results?text=N77").json()["total"] == 11


def test_a_run_and_its_curves(client, tmp_path):
    run_dir = tmp_path / "runs" / "vae" / "run_1"
    (run_dir / "samples").mkdir(parents=True)
    (run_dir / "config.yaml").write_text("seed: 1\n")
    (run_dir / "samples" / "step_1.png").write_bytes(b"png")
    (run_dir / "samples" / "link.png").symlink_to("/etc/hostname")
    lines = [{"step": step, "epoch": 0, "train/loss": 1 / step} for step in (1, 2)]
    lines += [{"step": 2, "epoch": 0, "train/loss": float("nan"), "val/loss": float("inf")}]
    (run_dir / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"step": 3, "tr')
    assert client.get("/api/runs/vae/run_1/curves").json() == {"train/loss": [[1, 1.0], [2, 0.5]]}
    shown = client.get("/api/runs/vae/run_1").json()
    assert shown["samples"] == ["step_1.png"] and not shown["can_resume"]
    assert client.get("/api/runs/vae/run_1/samples/step_1.png").content == b"png"
    assert client.get("/api/runs/vae/run_1/samples/link.png").status_code == 404
    assert client.get("/api/runs/vae/run_2").status_code == 404


def test_an_upload_is_used_by_a_job(client, png):
    answer = client.post("/api/uploads?name=cat.png", content=png)
    assert answer.status_code == 201 and answer.json()["about"] == "8 x 8"
    job = {"system": "captioner", "verb": "caption"}
    job["settings"] = {"images": [f"upload:{answer.json()['id']}"]}
    record = client.post("/api/jobs", json=job).json()
    done = client.service.jobs.wait(record["id"], 30)
    assert done.answer[0]["image"].endswith("inputs/cat.png")
    # Again, when the upload is long gone.
    assert done.settings == {"images": [f"input:{done.id}/cat.png"]}
    shutil.rmtree(client.service.uploads.root)
    again = client.post("/api/jobs", json={**job, "settings": done.settings})
    assert again.status_code == 202
    copy = client.service.store.folder(again.json()["id"]) / "inputs" / "cat.png"
    assert copy.read_bytes() == png


def test_an_upload_that_is_too_large_is_refused(make_client):
    client = make_client(max_upload_mb=0.001)
    assert client.post("/api/uploads?name=a.png", content=b"x" * 1001).status_code == 413

    def chunks():
        for _ in range(100):
            yield b"x" * 1000

    refused = client.post("/api/uploads?name=a.png", content=chunks())
    assert refused.status_code == 413 and "0.001 MB" in refused.json()["error"]
    jobs = client.post("/api/jobs", content=(b" " * 1000 for _ in range(300)))
    assert jobs.status_code == 400 and jobs.json()["error"]


def test_a_fault_is_not_shown(client, monkeypatch):
    monkeypatch.setattr(client.service, "state", lambda: 1 / 0)
    answer = client.get("/api/state")
    assert answer.status_code == 500 and "fault of the server" in answer.json()["error"]
    assert "Zero" not in answer.text


@pytest.mark.parametrize(
    "name", ["", "shape", "find", "describe", "image", "explore", "train", "history"]
)
def test_pages_are_served(client, name):
    answer = client.get(f"/{name}")
    assert answer.status_code == 200 and "app.js" in answer.text


def test_an_example_image_is_served(client):
    answer = client.get("/static/example_table.webp")
    assert answer.headers["content-type"] == "image/webp" and answer.content[:4] == b"RIFF"

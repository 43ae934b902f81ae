import json
import shutil

from triform.base.files import atomic_write
from triform.web import runs
from triform.web.runs import RunList


def write_summary(run, step):
    with atomic_write(run / "summary.json", "w") as file:
        json.dump({"step": step}, file)


def test_a_summary_is_read_again_only_where_it_has_changed(tmp_path, monkeypatch):
    run = tmp_path / "vae" / "run_1"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text("seed: 1\n")
    read, describe = [], runs.describe
    monkeypatch.setattr(runs, "describe", lambda path: read.append(path) or describe(path))
    found = RunList(tmp_path)
    steps = []
    for step in (None, None, 5, 5, 6, 6):
        if step and step not in steps:
            write_summary(run, step)
        steps.append(step)
        assert [(row["name"], row["step"]) for row in found.all()] == [("vae/run_1", step)]
    assert read == [run] * 3
    assert [row["is_finished"] for row in found.all()] == [False]
    (run / "samples").mkdir()
    for name in ("000001.png", "000002.png", "notes.txt"):
        (run / "samples" / name).touch()
    assert found.last_sample("vae/run_1") == "000002.png"
    (run / "summary.json").write_text(json.dumps({"step": 6, "reason": "all epochs"}))
    assert [row["is_finished"] for row in found.all()] == [True]
    shutil.rmtree(run)
    assert found.last_sample("vae/run_1") == ""
    assert found.all() == []

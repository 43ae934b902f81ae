import os

import psutil
import pytest

from triform.web.durations import Durations
from triform.web.jobs import Refused
from triform.web.results import ResultStore
from triform.web.worker_process import POLL_SECONDS, Limits, WorkerProcess


def test_a_job_writes_its_result(service):
    record = service.wait(service.do("write"), 20)
    assert record.state == "done" and not record.error and record.seconds > 0
    assert [(file.name, file.kind, file.bytes) for file in record.files] == [
        ("answer.csv", "table", 8)
    ]
    assert record.messages == ("written into answer.csv",)
    assert service.store.file(record.id, "answer.csv").read_text() == "a,b\n1,2\n"
    assert service.status(record.id) == {} and not service.stop(record.id)


def test_the_worker_stays_and_works_in_an_empty_folder(service):
    first = service.wait(service.do("write"), 20).answer
    (service.store.root / ".work-quick" / "vae_gan_test.pth").write_text("from another job")
    second = service.wait(service.do("write"), 20).answer
    assert first["pid"] == second["pid"] != os.getpid()
    assert second["seen"] == [] and second["cwd"] == str(service.store.root / ".work-quick")


def test_a_worker_finds_the_newest_run(tmp_path):
    (tmp_path / "kept" / "vae").mkdir(parents=True)
    folder = tmp_path / "work"
    worker = WorkerProcess(folder, tmp_path / "log", runs=tmp_path / "kept")
    for _ in range(2):
        worker._empty_folder()
        assert [path.name for path in folder.iterdir()] == ["runs"]
        assert (folder / "runs" / "vae").is_dir()
    assert (tmp_path / "kept" / "vae").is_dir()


def test_the_time_of_loading_is_known_to_the_next_server(service):
    file = service.store.root / ".warm-up-seconds"
    message = {"do": "write", "folder": str(service.store.root / "loading"), "seconds": 0.3}
    (service.store.root / "loading" / "files").mkdir(parents=True)
    service.warm_up(message)
    name = service.do("write")
    first = service.status(name)
    assert first["position"] == 0 or first["wait_seconds"] is None
    service.wait(name, 30)
    assert float(file.read_text()) >= 0.3
    file.write_text("30")
    service.warm_up(message)
    name = service.do("write")
    assert 25 < service.status(name)["wait_seconds"] <= 30
    service.wait(name, 30)
    file.write_text("no number")
    service.warm_up(message)


def test_a_worker_that_was_killed_is_warmed_up_again(service):
    folder = service.store.root / "loading"
    (folder / "files").mkdir(parents=True)
    service.warm_up({"do": "write", "folder": str(folder)})
    assert service.wait(service.do("write"), 20).state == "done"
    (folder / "files" / "answer.csv").unlink()
    name = service.do("stubborn")
    deaf = service.store.folder(name) / "files" / ".deaf"
    service.until(name, lambda status: deaf.is_file())
    service.stop(name)
    assert service.wait(name, 20).state == "stopped"
    assert service.wait(service.do("write"), 20).state == "done"
    assert (folder / "files" / "answer.csv").is_file()


def test_progress_is_reported(service):
    name = service.do("count", steps=200, seconds=0.01)
    status = service.until(name, lambda status: status.get("progress", {}).get("done", 0) > 20)
    assert status["position"] == 0 and status["progress"]["total"] == 200
    assert status["progress"]["text"] == "counting"
    rest = status["elapsed"] / status["progress"]["done"] * (200 - status["progress"]["done"])
    assert status["seconds_left"] == pytest.approx(rest)
    service.stop(name)


def test_the_worker_is_killed_within_half_a_second():
    """Measured times are in the log; what is asserted is what they follow from."""
    limits = Limits(None, 1)
    assert limits.grace + limits.kill_after + 2 * POLL_SECONDS < 0.5


@pytest.mark.parametrize(("what", "file"), [("half", "half.csv"), ("stubborn", ".deaf")])
def test_a_stop_ends_any_job(service, what, file):
    service.wait(service.do("write"), 20)
    name = service.do(what)
    begun = service.store.folder(name) / "files" / file
    service.until(name, lambda status: begun.is_file())
    assert service.stop(name)
    record = service.wait(name, 20)
    assert record.state == "stopped" and record.seconds < 30  # of 60
    assert [file.name for file in record.files] == ["half.csv"] * (what == "half")
    assert service.wait(service.do("write"), 20).state == "done"


def test_a_stop_before_the_worker_has_started(service):
    """It must not be lost: a training would go on for as long as it may save."""
    name = service.do("save", training=True, seconds=0)
    service.until(name, lambda status: status["position"] == 0)
    service.stop(name)
    record = service.wait(name, 60)
    assert record.state == "stopped" and record.seconds < 60


def test_a_cooperative_stop_keeps_the_worker(service):
    before = service.wait(service.do("write"), 20).answer["pid"]
    name = service.do("half")
    service.until(name, lambda status: status["position"] == 0)
    service.stop(name)
    assert service.wait(name, 20).state == "stopped"
    assert service.wait(service.do("write"), 20).answer["pid"] == before


def test_a_training_has_time_to_save_and_blocks_nobody(service):
    name = service.do("save", training=True, seconds=1.0)
    service.until(name, lambda status: status["position"] == 0)
    assert service.wait(service.do("write"), 20).state == "done"
    assert service.status(name)["position"] == 0
    service.stop(name)
    assert service.until(name, lambda status: status.get("stopping", True))
    record = service.wait(name, 20)
    assert record.state == "stopped" and [file.name for file in record.files] == ["saved.csv"]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("refuse", "the file is not there"),
        ("crash", "KeyError: 'a bug'"),
        ("die", "its process ended unexpectedly (status 3)"),
    ],
)
def test_a_failure_says_why_and_the_next_job_runs(service, what, error):
    record = service.wait(service.do(what), 20)
    assert (record.state, record.error) == ("failed", error)
    assert service.wait(service.do("write"), 20).state == "done"


def test_what_a_verb_prints_is_no_event(service):
    assert service.wait(service.do("print"), 20).answer == "printed"


def test_a_worker_returns_the_memory_of_a_job(service):
    answer = service.wait(service.do("memory", bytes=200_000_000, seconds=0), 30).answer
    service.wait(service.do("write"), 20)  # by then the job before is cleaned up
    assert answer["rss"] - psutil.Process(answer["pid"]).memory_info().rss > 190_000_000


def test_limit_of_memory(make_service):
    service = make_service(max_memory_gb=0.4)
    record = service.wait(service.do("memory", bytes=600_000_000), 30)
    assert record.state == "failed"
    assert record.error.startswith("it needed 0.") and "the limit of 0.40 GB" in record.error


def test_limit_of_time(make_service):
    service = make_service(max_job_minutes=0.01)
    record = service.wait(service.do("half"), 20)
    assert record.state == "failed" and "longer than the limit of 0.01 minutes" in record.error


def test_the_queue_is_bounded_and_fair(make_service):
    service = make_service(max_waiting=4, max_waiting_per_user=2)
    running = service.do("half", user="first")
    service.until(running, lambda status: status["position"] == 0)
    greedy = [service.do("write", user="first") for _ in range(2)]
    with pytest.raises(Refused, match="2 jobs of yours wait already"):
        service.do("write", user="first")
    others = [service.do("write", user=user) for user in ("second", "third")]
    with pytest.raises(Refused, match="4 jobs wait already"):
        service.do("write", user="fourth")
    assert service.queue() == [running, *others, *greedy]
    assert [service.status(name)["position"] for name in others + greedy] == [1, 2, 3, 4]
    assert len(service.store.all()) == 5  # what was refused left nothing
    service.stop(greedy[0])
    assert service.store.get(greedy[0]).state == "stopped"
    assert service.stop_all("third") == 1 and service.stop_all() == 3


def test_estimates_are_those_of_former_jobs(service):
    service.durations.add("trial write", 4.0, 2)
    running = service.do("half")
    service.until(running, lambda status: status["position"] == 0)
    name = service.do("write", units=3)
    assert service.status(name)["wait_seconds"] is None  # that of the running one is not known
    service.durations.add("trial half", 100.0, 1)
    status = service.status(name)
    assert status["wait_seconds"] == pytest.approx(100, abs=5)
    assert status["seconds_left"] - status["wait_seconds"] == pytest.approx(6)
    service.stop_all()


def test_durations_are_read_from_former_results(service):
    name = service.do("write", units=2)
    seconds = service.wait(name, 20).seconds
    assert Durations(service.store.all()).estimate("trial write", 4) == pytest.approx(2 * seconds)
    assert Durations().estimate("trial write", 1) is None


def test_close_ends_workers_and_marks_jobs(make_service):
    service = make_service()
    running, waiting = service.do("half"), service.do("write")
    service.until(running, lambda status: status["position"] == 0)
    worker = service._lanes["quick"].worker
    service.until(running, lambda status: worker.pid is not None)
    pid = worker.pid
    service.close()
    assert not psutil.pid_exists(pid)
    assert {service.store.get(name).state for name in (running, waiting)} == {"stopped"}
    with pytest.raises(Refused, match="the server is ending"):
        service.do("write")


def test_what_a_dead_server_left_is_marked(make_service, tmp_path):
    service = make_service()
    name = service.do("half")
    half = tmp_path / "results" / name / "files" / "half.csv"
    service.until(name, lambda status: half.is_file())
    service.stop_all()
    service.wait(name, 20)
    # As it is on disk while it runs, and then nobody writes any more.
    service.store.update(name, state="running", finished=None, files=())
    service.store.close()
    unfinished = tmp_path / "results" / name / ".result.json.abcd1234.part"
    unfinished.write_text("{")
    again = ResultStore(tmp_path / "results")
    assert not unfinished.exists()
    record = again.get(name)
    assert record.state == "interrupted" and "the server ended before" in record.error
    assert [file.name for file in record.files] == ["half.csv"]
    again.close()

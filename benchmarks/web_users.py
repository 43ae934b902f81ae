"""Many users of `triform serve` at once: errors, fairness of the queue, times.

python benchmarks/web_users.py                     # 20 users, 2 minutes, on this machine alone
python benchmarks/web_users.py --users 2 --seconds 1 --gallery testdataset:4

Starts a server of its own at a free port of 127.0.0.1, with empty folders that are deleted
afterwards. Every user makes shapes as the page Make a shape does by default (its first system,
four models, 100 mm), then searches, and so on, each time waiting for the end as a page does. The
first user is greedy and always has four jobs in the queue: the others must not wait for them.
Beside the time of the clock stands the CPU time of the server with its worker. Exits with 1 if
anything failed.
"""

import argparse
import contextlib
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import psutil

POLL = 0.25  # as the pages do
GREEDY_JOBS = 4
MADE = {"num_samples": 4, "size_mm": 100}
"""What the page Make a shape sends where nothing is changed (static/page_shape.js)."""
PROMPTS = ("a round table with four legs", "an office chair", "a sofa", "a floor lamp")


class Server:
    """`triform serve` at a free port.

    Attributes:
        started: When the process was started, by the monotonic clock.
        port_opened: When it listened.
        address: Where.
    """

    def __init__(self, folder: Path, *flags: str):
        self._log = folder / "serve.log"
        self.started = time.perf_counter()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "triform", "serve", "--port", "0", *flags],
                cwd=folder,
                stdout=log,
                stderr=log,
                env={**os.environ, "NO_PROXY": "127.0.0.1"},
            )
        while not (found := re.search(r"open (http://\S+) in", self._log.read_text())):
            if self.process.poll() is not None:
                sys.exit(self._log.read_text())
            time.sleep(0.01)
        self.address = found[1]
        self.port_opened = time.perf_counter()

    def client(self, user: str = "benchmark") -> httpx.Client:
        return httpx.Client(
            base_url=f"{self.address}/api/", headers={"X-Triform-User": user}, timeout=60
        )

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()


def finish(api: httpx.Client, name: str, poll: float = POLL) -> dict:
    """The record of a job when it is ended."""
    while (record := api.get(f"results/{name}").raise_for_status().json())["state"] in (
        "queued",
        "running",
    ):
        time.sleep(poll)
    return record


class Load:
    """Jobs of many users until a time.

    Attributes:
        jobs: Number of finished jobs.
        done: User -> number of jobs that were finished in the time.
        seconds: Kind of job -> times from sending to the answer, of all but the greedy user.
        answers: Times of single requests.
        errors: What went wrong.
    """

    def __init__(self, server: Server, users: int, gallery: str):
        self.server, self.users, self.gallery = server, users, gallery
        with server.client() as api:
            row = api.get("state").raise_for_status().json()["pages"]["shape"][0]
        self.makes = {"system": row["system"], "verb": row["verb"]}
        self.jobs, self.done = 0, [0] * users
        self.seconds: dict[str, list[float]] = {"shape": [], "find": []}
        self.answers: list[float] = []
        self.errors: list[str] = []

    def job(self, kind: str, number: int) -> dict:
        prompt = PROMPTS[number % len(PROMPTS)]
        if kind == "shape":
            return {**self.makes, "settings": {**MADE, "prompt": [prompt], "seed": number}}
        settings = {"gallery": [self.gallery], "text": [prompt]}
        return {"system": "retrieval", "verb": "search", "settings": settings}

    def run(self, seconds: float) -> float:
        """Let all users work for a time, and end what they have begun; returns the whole time."""
        start = time.perf_counter()
        self.end = start + seconds
        threads = []
        for user in range(self.users):
            for _ in range(1 if user else GREEDY_JOBS):
                threads.append(threading.Thread(target=self._user, args=(user, len(threads))))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start

    def _user(self, user: int, number: int) -> None:
        try:
            with self.server.client(f"user {user}") as api:
                api.event_hooks["response"].append(self._measure)
                while time.perf_counter() < self.end:
                    kind = ("shape", "find")[number % 2]
                    begin = time.perf_counter()
                    answer = api.post("jobs", json=self.job(kind, number)).raise_for_status()
                    record = finish(api, answer.json()["id"])
                    if record["state"] != "done":
                        self.errors.append(f"{kind}: {record['state']}: {record['error']}")
                    if user:
                        self.seconds[kind].append(time.perf_counter() - begin)
                    self.jobs += 1
                    self.done[user] += time.perf_counter() < self.end
                    number += 1
        except Exception as error:
            self.errors.append(f"user {user}: {type(error).__name__}: {error}")

    def _measure(self, response: httpx.Response) -> None:
        response.read()
        self.answers.append(response.elapsed.total_seconds())


def cpu_seconds(process: int) -> float:
    """CPU time of a process and its children, which other programs do not change."""
    server = psutil.Process(process)
    return sum(map(own_cpu_seconds, (server, *server.children(recursive=True))))


def own_cpu_seconds(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def percentile(values: list[float], share: float) -> float:
    """The least value that at least this share of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1] if values else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--gallery", default="testdataset:100")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name), "--min_free_gb", "0", "--max_waiting", "64")
        try:
            load = Load(server, args.users, args.gallery)
            with server.client() as api:  # builds the index and loads all models
                for kind in ("shape", "find"):
                    first = api.post("jobs", json=load.job(kind, 0)).raise_for_status().json()
                    if (record := finish(api, first["id"]))["state"] != "done":
                        sys.exit(f"{kind}: {record['error']}")
            cpu = cpu_seconds(server.process.pid)
            busy = os.getloadavg()[0]
            seconds = load.run(args.seconds)
            cpu = cpu_seconds(server.process.pid) - cpu
        finally:
            server.end()
    others = load.done[1:] or load.done
    print(f"{args.users} users, {seconds:.0f} s, {load.jobs} jobs, errors {len(load.errors)}")
    print(f"CPU time of server and worker {cpu:.0f} s, {cpu / max(1, load.jobs):.2f} s per job")
    for kind, times in load.seconds.items():
        times = times or [0.0]
        print(
            f"{kind}: {len(times)} jobs, from sending to the answer median "
            f"{statistics.median(times):.2f} s, p95 {percentile(times, 0.95):.2f} s"
        )
    print(
        f"jobs of a user in {args.seconds:g} s: {min(others)} to {max(others)}; of the greedy user "
        f"{load.done[0]}"
    )
    milliseconds = 1000 * percentile(load.answers, 0.95)
    print(f"{len(load.answers)} requests, p95 {milliseconds:.0f} ms")
    now = os.getloadavg()[0]
    print(f"load average {busy:.1f} at the start, {now:.1f} at the end, {os.cpu_count()} cores")
    for error in load.errors[:10]:
        print(error, file=sys.stderr)
    sys.exit(bool(load.errors))


if __name__ == "__main__":
    main()

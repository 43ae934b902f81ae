"""Times and memory of `triform serve` in a real browser: start, first shape, stop, history.

python benchmarks/web_bars.py
python benchmarks/web_bars.py --bars history --rounds 1 --results 100
python benchmarks/web_bars.py --bars memory stop --pages shape image

Needs Playwright and Debian's chromium (scripts/get_chromium.sh). Starts servers of its own at free
ports of 127.0.0.1, with empty folders that are deleted afterwards. Every page of `--pages` is used
with the real models before memory is read: proportional set size, so that what processes share is
counted once. Beside the time of the clock stands the CPU time, of the server with its worker and of
the browser, which other programs hardly change. Standard error says what is measured now.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from web_users import Server, cpu_seconds, finish, own_cpu_seconds

from triform.web.record import Record
from triform.web.results import ResultStore

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
BARS = ("history", "start", "shape", "memory", "stop")
TILES = 60
"""Results that the page History shows at first."""
TRAIN = {"system": "vae", "verb": "train", "preset": "tiny"}
JOBS: dict[str, list[dict[str, Any]]] = {
    "shape": [
        {
            "system": "shape_flow",
            "verb": "generate",
            "settings": {"prompt": ["an armchair"], "num_samples": 4},
        },
        {
            "system": "voxel_gan",
            "verb": "generate",
            "settings": {"prompt": ["a sofa"], "num_samples": 12},
        },
    ],
    "find": [
        {
            "system": "retrieval",
            "verb": "search",
            "settings": {"gallery": ["testdataset:100"], "text": ["a chair"]},
        }
    ],
    "describe": [{"system": "captioner", "verb": "caption", "settings": {}}],
    "image": [
        {
            "system": "text_to_image",
            "verb": "generate",
            "settings": {"prompt": ["a red apple"], "num_images": 4, "show_stages": True},
        }
    ],
    "explore": [
        {"system": "style_gan", "verb": "mix"},
        {"system": "diffusion", "verb": "generate", "settings": {"show_steps": True}},
        {"system": "dqn", "verb": "play"},
    ],
    "train": [TRAIN],
}
"""Page -> what it is used for."""


class Memory:
    """Proportional set size of a server and its workers, measured all the time.

    Attributes:
        largest: In bytes.
    """

    def __init__(self, process: int):
        self.largest, self._process = 0, psutil.Process(process)
        threading.Thread(target=self._measure, daemon=True).start()

    def now(self) -> int:
        total = 0
        for each in (self._process, *self._process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_full_info().pss
        return total

    def _measure(self) -> None:
        with contextlib.suppress(psutil.Error):
            while self._process.is_running():
                self.largest = max(self.largest, self.now())
                time.sleep(0.3)


def browser_seconds() -> float:
    """CPU time of the browser that this program has started."""
    children = psutil.Process().children(recursive=True)
    return sum(own_cpu_seconds(each) for each in children if is_browser(each))


def is_browser(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "chrom" in process.name()
    return False


class Work:
    """CPU times of what is measured several times.

    Attributes:
        server: Of the server and its worker, in seconds.
        browser: Of the browser.
    """

    def __init__(self) -> None:
        self.server: list[float] = []
        self.browser: list[float] = []

    @contextlib.contextmanager
    def measure(self, server: Server) -> Iterator[None]:
        """Count the work of a block."""
        before, browser = cpu_seconds(server.process.pid), browser_seconds()
        yield
        self.server.append(cpu_seconds(server.process.pid) - before)
        self.browser.append(browser_seconds() - browser)

    def __str__(self) -> str:
        server, browser = map(statistics.median, (self.server, self.browser))
        return f"CPU time of server and worker {server:.2f} s, of the browser {browser:.2f} s"


def say(text: str) -> None:
    """Say what is measured now: a busy machine takes minutes for some of it."""
    sys.stderr.write(f"{text} ...\n")
    sys.stderr.flush()


def spread(times: list[float]) -> str:
    return f"median {statistics.median(times):.2f} s, most {max(times):.2f} s of {len(times)}"


@contextlib.contextmanager
def serving(folder: Path, *flags: str) -> Iterator[Server]:
    server = Server(folder, "--min_free_gb", "0", *flags)
    try:
        yield server
    finally:
        server.end()


def open_page(browser: Browser, server: Server, name: str, wait: str) -> tuple[Page, float]:
    """A page when an element is there, and the seconds that took."""
    context = browser.new_context(base_url=server.address, locale="en-US")
    page = context.new_page()
    page.set_default_timeout(600_000)
    begin = time.perf_counter()
    page.goto(f"/{name}")
    page.wait_for_selector(wait)
    return page, time.perf_counter() - begin


def measure_start(browser: Browser, folder: Path, rounds: int) -> None:
    ports, pages, usable, start, work = [], [], [], [], Work()
    for count in range(rounds):
        say(f"start of the server, {count + 1} of {rounds}")
        with serving(folder, "--no_warm_up") as server:
            start.append(own_cpu_seconds(psutil.Process(server.process.pid)))
            with work.measure(server):
                page, _ = open_page(browser, server, "shape", "main[data-ready=shape]")
            page.context.close()
        with serving(folder) as server:
            page, seconds = open_page(browser, server, "shape", "main[data-ready=shape]")
            ports.append(server.port_opened - server.started)
            pages.append(seconds)
            usable.append(time.perf_counter() - server.started)
            page.context.close()
    print(f"command to open port: {spread(ports)}; CPU time {statistics.median(start):.2f} s")
    print(f"open port to first page: {spread(pages)}; without the warm-up {work}")
    print(f"command to usable page: {spread(usable)}")


def measure_shapes(browser: Browser, server: Server, rounds: int) -> None:
    """From the click on an example to its model on the screen, everything loaded."""
    page, _ = open_page(browser, server, "shape", "main[data-ready=shape]")
    times, first, work = [], Work(), Work()
    for count in range(rounds + 1):
        say(f"shapes of one click, {count} of {rounds}")
        begin = time.perf_counter()
        with (work if count else first).measure(server):
            page.click("text=an office chair" if count % 2 else "text=a table lamp")
            page.wait_for_selector("#output > .card")
            page.wait_for_selector("canvas[data-ready] >> nth=3")
            times.append(time.perf_counter() - begin)
    page.context.close()
    print(f"one click to four shapes of shape_flow, warm: {spread(times[1:])}, {work}")
    print(f"the first ones, from the page on: {times[0]:.2f} s, {first}")


def measure_stops(server: Server, rounds: int) -> None:
    """From the request to stop to the end of the job, and until the next job runs."""
    long = {"prompt": ["a chair"], "num_samples": 256, "num_steps": 250}
    ends, nexts = [], []
    with server.client() as api:
        for count in range(rounds):
            say(f"a job that is stopped, {count + 1} of {rounds}")
            job = {"system": "voxel_gan", "verb": "generate", "settings": long}
            name = api.post("jobs", json=job).raise_for_status().json()["id"]
            while api.get(f"results/{name}").json()["state"] != "running":
                time.sleep(0.02)
            time.sleep(0.3 + 0.4 * (count % 4))
            begin = time.perf_counter()
            api.delete(f"jobs/{name}").raise_for_status()
            record = finish(api, name, 0.01)
            ends.append(time.perf_counter() - begin)
            if record["state"] != "stopped":
                raise SystemExit(f"the job was not stopped but {record['state']}")
            name = api.post("jobs", json=JOBS["find"][0]).raise_for_status().json()["id"]
            while api.get(f"results/{name}").json()["state"] == "queued":
                time.sleep(0.01)
            nexts.append(time.perf_counter() - begin)
            finish(api, name)
    print(f"stop to the end of the job: {spread(ends)}; to the start of the next: {spread(nexts)}")


def use_pages(server: Server, pages: list[str], image: Path) -> None:
    """Use every page with the real models."""
    with server.client() as api:
        for page in pages:
            for job in JOBS.get(page, []):
                say(f"page {page}: {job['system']} {job['verb']}")
                if page == "describe":
                    sent = api.post("uploads?name=image.png", content=image.read_bytes())
                    job["settings"]["images"] = [f"upload:{sent.raise_for_status().json()['id']}"]
                name = api.post("jobs", json={**job, "page": page}).raise_for_status().json()["id"]
                record = finish(api, name)
                if record["state"] != "done":
                    raise SystemExit(f"{page}: {record['error']}")


def write_results(folder: Path, count: int) -> None:
    """Results as the server writes them, with thumbnails."""
    store = ResultStore(folder)
    for index in range(count):
        stamp = f"20260101-{index // 3600:02d}{index // 60 % 60:02d}{index % 60:02d}"
        record = Record(
            id=f"{stamp}-{index:08x}",
            state="done",
            system="voxel_gan",
            verb="generate",
            page="shape",
            title=f"a chair, number {index}",
            settings={"prompt": ["a chair"]},
            created=1.77e9 + index,
            thumbnail=True,
        )
        (folder / record.id).mkdir()
        (folder / record.id / "result.json").write_text(record.model_dump_json(indent=1))
        color = (index % 256, 255 - index % 256, 128)
        Image.new("RGB", (192, 192), color).save(folder / record.id / "thumbnail.webp")
    store.close()


def measure_history(browser: Browser, folder: Path, results: int, rounds: int) -> None:
    say(f"{results} results are written")
    write_results(folder / "results", results)
    with serving(folder, "--no_warm_up") as server:
        times, work = [], Work()
        last = f"a.tile >> nth={min(results, TILES) - 1}"
        for count in range(rounds):
            say(f"page History, {count + 1} of {rounds}")
            with work.measure(server):
                page, seconds = open_page(browser, server, "history", last)
                times.append(seconds)
                page.wait_for_load_state("networkidle")
            total = page.inner_text("[role=status] >> nth=0")
            page.context.close()
        print(f"{results} results, server ready in {server.port_opened - server.started:.2f} s")
        print(f"history page opens ({total}): {spread(times)}, {work}")
    shutil.rmtree(folder / "results")


def measure_use(browser: Browser, folder: Path, args: argparse.Namespace) -> None:
    """One server: shapes, every page, jobs that are stopped."""
    Image.new("RGB", (200, 150), "orange").save(folder / "image.png")
    with serving(folder) as server:
        memory = Memory(server.process.pid)
        if "shape" in args.bars:
            measure_shapes(browser, server, args.rounds)
        if "memory" in args.bars:
            use_pages(server, args.pages, folder / "image.png")
            print(f"memory: {memory.now() / 1e9:.2f} GB now, most {memory.largest / 1e9:.2f} GB")
        if "stop" in args.bars:
            measure_stops(server, args.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=int, default=1000)
    parser.add_argument("--bars", nargs="+", default=BARS, choices=BARS)
    parser.add_argument("--pages", nargs="*", default=list(JOBS), choices=list(JOBS))
    args = parser.parse_args()
    if args.results < 1 or args.rounds < 1:
        parser.error("--results and --rounds: at least 1")
    # A pipe would show nothing before the end.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    print(f"load average {os.getloadavg()[0]:.1f} at the start, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        if "history" in args.bars:
            measure_history(browser, folder, args.results, args.rounds)
        if "start" in args.bars:
            measure_start(browser, folder, args.rounds)
        if {"shape", "memory", "stop"} & set(args.bars):
            measure_use(browser, folder, args)
        browser.close()
    print(f"load average {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()

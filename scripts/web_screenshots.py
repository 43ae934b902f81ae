"""Take the screenshots of docs/web.md: the pages of `triform serve`, used with the real models.

python scripts/web_screenshots.py                           # all, into docs/images
python scripts/web_screenshots.py --pages shape history     # only these

Needs Playwright and Debian's chromium (scripts/get_chromium.sh). Starts a server of its own at a
free port of 127.0.0.1, with empty folders that are deleted afterwards. Look at every picture
before it is kept.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from triform.datasets.testdataset import write_testdataset

FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1100, "height": 800}
MAX_HEIGHT = 1500
SHAPES = 24
QUALITY = 88
MINUTES = 60_000


def use_shape(page: Page) -> None:
    page.click(".examples button >> nth=0")
    page.wait_for_selector("canvas[data-ready] >> nth=3")


def use_picture(page: Page) -> None:
    page.click("button:has-text('a table'):has(img)")
    page.wait_for_selector("canvas[data-ready] >> nth=3")


def use_find(page: Page) -> None:
    page.get_by_label("Collection").select_option("folder:furniture")
    page.click("text=an office chair")
    page.wait_for_selector("text=Similarity >> nth=8")


def use_describe(page: Page) -> None:
    page.click("text=a table")
    page.wait_for_selector("figure img")


def use_image(page: Page) -> None:
    page.click("text=a red apple")
    page.wait_for_selector("section section >> nth=3")


def use_explore(page: Page) -> None:
    page.wait_for_selector(".menu .card")


def use_mix(page: Page) -> None:
    page.click("text=three by four")
    page.wait_for_selector("figure img")


def use_train(page: Page) -> None:
    page.get_by_label("System", exact=True).select_option("vae")
    page.get_by_label("dataset").select_option("digits")
    page.get_by_label("epochs").fill("40")
    page.click("text=Start training")
    page.wait_for_selector("figure img >> nth=3")  # samples of some epochs, while it goes on


def use_history(page: Page) -> None:
    page.wait_for_selector("a.tile")


USES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "shape": ("shape", use_shape),
    "shape_ru": ("shape", use_shape),
    "picture": ("shape", use_picture),
    "find": ("find", use_find),
    "describe": ("describe", use_describe),
    "image": ("image", use_image),
    "explore": ("explore", use_explore),
    "mix": ("explore", use_mix),
    "train": ("train", use_train),
    "history": ("history", use_history),
}
"""Screenshot -> its page, and what is done there before it is taken; the history comes last. A
name that ends in `_ru` is in Russian."""


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server; returns its process and address."""
    log = folder / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "triform", "serve", "--port", "0", "--folder", "furniture"],
            cwd=folder,
            stdout=file,
            stderr=file,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
        )
    while not (found := re.search(r"open (http://\S+) in", log.read_text())):
        if process.poll() is not None:
            sys.exit(log.read_text())
        time.sleep(0.1)
    return process, found[1]


def take(page: Page, name: str, folder: Path) -> None:
    """Use a page and save its picture."""
    address, use = USES[name]
    page.set_viewport_size(SIZE)
    page.goto(f"/{address}")
    language = "ru" if name.endswith("_ru") else "en"
    page.evaluate("name => localStorage.setItem('language', name)", language)
    page.goto(f"/{address}")
    page.wait_for_selector(f"main[data-ready={address}]")
    use(page)
    # As tall as the page: its button stays at the end of the form.
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({**SIZE, "height": min(height, MAX_HEIGHT)})
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(1500)
    page.wait_for_function("() => [...document.images].every((image) => image.complete)")
    raw = folder / f"{name}.png"
    page.screenshot(path=raw)
    with Image.open(raw) as image:
        target = IMAGES / f"web_{name}.webp"
        image.convert("RGB").save(target, quality=QUALITY, method=6)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", nargs="*", default=list(USES), choices=list(USES))
    pages = parser.parse_args().pages
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        write_testdataset(folder / "furniture", SHAPES)
        process, address = start(folder)
        try:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            context = browser.new_context(viewport=SIZE, locale="en-US", base_url=address)
            page = context.new_page()
            page.set_default_timeout(30 * MINUTES)
            for each in pages:
                take(page, each, folder)
            browser.close()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


if __name__ == "__main__":
    main()

"""A page of a server with the worker of the tests, in a browser that reaches no other host."""

import os
import shutil

import pytest
from live_server import LiveServer

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    (folder / "shapes" / "2024").mkdir(parents=True)
    one = LiveServer(folder, "--no_warm_up", "--folder", "shapes")
    yield one
    one.process.kill()
    one.process.wait()


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None and not os.environ.get("TRIFORM_NO_SKIPS"):
        pytest.skip("no chromium here; scripts/get_chromium.sh installs it")
    with sync_api.sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield one
        one.close()


@pytest.fixture
def page(browser, server):
    """A page that fails the test if it logs an error or asks for what it does not get."""
    context = browser.new_context(
        viewport={"width": 1100, "height": 800}, locale="en-US", base_url=server.address
    )
    one = context.new_page()
    one.set_default_timeout(180_000)
    problems = []
    one.on("pageerror", lambda error: problems.append(str(error)))
    one.on(
        "console",
        lambda message: (
            message.type == "error"
            and "status of 415" not in message.text  # a refused upload, as the browser logs it
            and problems.append(message.text)
        ),
    )
    one.on(
        "requestfailed",
        lambda request: (
            # What a page that is left had still asked for is cancelled by the browser itself.
            request.failure != "net::ERR_ABORTED"
            and problems.append(f"{request.failure}: {request.url}")
        ),
    )
    one.on(
        "request",
        lambda request: (
            request.url.startswith((server.address, "blob:", "data:"))
            or problems.append(f"elsewhere: {request.url}")
        ),
    )
    yield one
    context.close()
    assert problems == [], "\n".join(problems)  # a module without pytest's own messages


def go(page, name):
    page.goto(f"/{name}")
    page.wait_for_selector(f"main[data-ready={name}]")


def axe(page, name):
    """No violation of the rules of accessibility."""
    axe_core = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe_core.Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], name


def narrow(page, name):
    """Nothing sticks out of the narrowest screen."""
    page.set_viewport_size({"width": 360, "height": 740})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, (name, width)

"""Every page with the shipped models in a real browser: every example on it, clicked as it is."""

import re
import shutil
from pathlib import Path

import pytest
import trimesh
from browser_page import go
from live_server import LiveServer

from triform.web.demo import examples
from triform.web.pages import verbs_by_page

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "src" / "triform" / "web" / "static"
MINUTES = 30
"""Longest time of one example; evaluations take minutes on a busy machine."""
BROKEN = re.compile(r"undefined|NaN|\[object|null")
EXPLORE = [
    (f"{row['system']}/{row['verb']}", [each["title"] for each in found])
    for row in verbs_by_page()["explore"]
    if row["ships"] and (found := examples(row["system"], row["verb"], "en"))
]
"""Verbs of the page Explore that need no training, and the titles of their examples."""
ENDED = """() => {
  if (document.querySelector("[aria-busy=true]")) return false;
  const isSaid = (each) => each.innerText && each.offsetParent;
  return [...document.querySelectorAll(".error")].some(isSaid)
    || document.querySelector("section.card h2");
}"""
SHOWN = """() => {
  const images = [...document.querySelectorAll("section.card img")];
  for (const each of images) each.loading = "eager";
  return images.every((each) => each.complete)
    && [...document.querySelectorAll("section.card canvas")].every((each) => each.dataset.ready);
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    for name in ("shapes", "photos"):
        (folder / name).mkdir()
    trimesh.creation.box((1, 0.1, 1)).export(folder / "shapes" / "a table.obj")
    trimesh.creation.cylinder(0.1, 1).export(folder / "shapes" / "a lamp.obj")
    trimesh.creation.icosphere(2).export(folder / "shapes" / "a ball.obj")
    for path in STATIC.glob("example_*.webp"):
        shutil.copy(path, folder / "photos")
    one = LiveServer(
        folder,
        *("--download_path", str(ROOT / "datasets"), "--max_job_minutes", str(MINUTES)),
        *("--folder", "shapes", "photos"),
        program=False,
    )
    yield one
    one.end()


def result(page):
    """Wait for a result and check what is shown of it; returns its text."""
    page.wait_for_function(ENDED, timeout=MINUTES * 60_000)
    assert [each for each in page.locator(".error").all_inner_texts() if each] == []
    page.wait_for_function(SHOWN)
    sizes = "each => each.map((image) => [image.src, image.naturalWidth])"
    images = page.locator("section.card img").evaluate_all(sizes)
    assert [address for address, width in images if not width] == []
    text = page.inner_text("section.card")
    assert re.search(r"^(Done|Готово) · ", text, re.MULTILINE), text
    assert not BROKEN.search(text), text
    assert images or page.locator("section.card").locator("canvas, td, strong").count()
    return text


def click_all(page, buttons):
    """Click every example of a form; each has to show a result."""
    count = page.locator(buttons).count()
    assert count
    for index in range(count):
        page.evaluate("document.querySelectorAll('section.card').forEach((each) => each.remove())")
        page.locator(buttons).nth(index).click()
        result(page)


def pick(page, value):
    page.select_option("#pick", value)
    page.wait_for_selector("form .hint")
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize(
    "system", ["shape_flow/generate", "shape_flow/interpolate", "voxel_gan/generate"]
)
def test_shapes(page, system):
    go(page, "shape")
    pick(page, system)
    click_all(page, "form .chips button.small")
    assert page.locator("section.card canvas").count() >= 4


def test_shapes_in_russian(page):
    go(page, "shape")
    page.click("text=Русский")
    page.wait_for_selector("h1 >> text=Создать форму")
    click_all(page, ".examples .chips button.small")


def test_shapes_are_found(page):
    go(page, "find")
    page.get_by_label("Collection").select_option("folder:shapes")
    click_all(page, ".examples .chips button.small")
    assert "a table" in page.inner_text("section.card")
    page.click("text=More like this >> nth=0")
    result(page)


def test_photos_are_found(page):
    go(page, "find")
    pick(page, "clip/search")
    page.get_by_label("Folder of photos").select_option("folder:photos")
    page.click("text=Index this folder")
    assert "13" in result(page)
    pick(page, "clip/search")
    page.get_by_label("Folder of photos").select_option("folder:photos")
    page.get_by_label("What to look for").fill("a bicycle")
    page.evaluate("document.querySelectorAll('section.card').forEach((each) => each.remove())")
    page.keyboard.press("Control+Enter")
    assert "1. example_bicycle.webp" in result(page)
    pick(page, "clip/duplicates")
    page.get_by_label("Folder of photos").select_option("folder:photos")
    page.evaluate("document.querySelectorAll('section.card').forEach((each) => each.remove())")
    page.keyboard.press("Control+Enter")
    result(page)


def test_pictures_are_described(page):
    go(page, "describe")
    click_all(page, ".examples .chips button.small")


@pytest.mark.parametrize("language", ["English", "Русский"])
def test_images(page, language):
    go(page, "image")
    if language != "English":
        page.click(f"text={language}")
        page.wait_for_selector("h1 >> text=Создать картинку")
    click_all(page, ".examples .chips button.small")
    page.click("text=/^(Another like this|Ещё похожую)$/ >> nth=0")
    result(page)


def test_the_menu_of_explore_has_every_example(page):
    go(page, "explore")
    titles = page.locator(".menu .chips button.small").all_inner_texts()
    assert sorted(titles) == sorted(title for _, each in EXPLORE for title in each)
    page.locator(".menu .chips button.small >> nth=0").click()
    result(page)


@pytest.mark.parametrize("verb", [name for name, _ in EXPLORE])
def test_everything_to_explore(page, verb):
    go(page, "explore")
    pick(page, verb)
    click_all(page, ".examples .chips button.small")


def test_a_training_and_the_history(page):
    go(page, "train")
    page.get_by_label("System", exact=True).select_option("vae")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("svg.chart", timeout=MINUTES * 60_000)
    page.wait_for_selector("#output section.card", timeout=MINUTES * 60_000)
    result(page)
    go(page, "history")
    count = page.locator("a.tile").count()
    assert count
    for index in range(count):
        page.locator("a.tile").nth(index).click()
        page.wait_for_selector("#output section.card, main[data-ready=train] section.card")
        page.wait_for_function(SHOWN)
        assert not BROKEN.search(page.inner_text("section.card >> nth=0"))
        go(page, "history")

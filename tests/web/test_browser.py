"""The pages in a real browser, used by mouse and by keyboard; every other host is out of reach."""

import json
import time

import pytest
from browser_page import axe, go, narrow
from page_worker import ESCAPES, glb
from PIL import Image

from triform.base.settings.command_record import FOLDER
from triform.web.command_results import FRESH_SECONDS

PAGES = ("shape", "find", "describe", "image", "explore", "train", "history")


def test_every_page_is_accessible_and_narrow(page):
    go(page, "history")
    for name in PAGES:
        page.click(f"nav a[href='/{name}']")
        page.wait_for_selector(f"main[data-ready={name}]")
        narrow(page, name)
        axe(page, name)
    page.click("text=Русский")
    page.wait_for_selector("h1 >> text=История")
    page.click("[aria-label='Тёмная или светлая']")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    for name in PAGES:  # its words are longer, and its colours others
        page.click(f"nav a[href='/{name}']")
        page.wait_for_selector(f"main[data-ready={name}]")
        narrow(page, name)
        axe(page, f"{name}, Russian and dark")


def test_a_shape_in_three_clicks_and_again_with_another_seed(page, server):
    system = server.get("state")["pages"]["shape"][0]["system"]
    go(page, "shape")
    assert page.locator("select#pick").input_value() == "shape_flow/generate"
    page.click("text=an office chair")
    page.wait_for_selector("canvas[data-ready]")
    assert page.locator("canvas").count() == 4
    assert page.locator("text=100 × 50 × 25 mm").count() == 4
    ends = page.locator("figure >> nth=0 >> a.button").all_inner_texts()
    assert ends == ["GLB", "OBJ", "STL", "PLY", "3MF"]
    page.wait_for_function("""() => {
      const canvas = document.querySelector("canvas");
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let red = 0;
      for (let i = 0; i < data.length; i += 4) {
        red += data[i + 3] > 250 && data[i] > 2 * data[i + 1];
      }
      return red > 2000;
    }""")  # the tetrahedron is red, and it is drawn
    before = page.evaluate("document.querySelector('canvas').toDataURL()")
    page.focus("canvas")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "before => document.querySelector('canvas').toDataURL() !== before", arg=before
    )
    axe(page, "result")
    assert page.title() == "Make a shape · Triform"  # what a message says is text
    page.click("section >> text=New seed")
    page.wait_for_function("() => !document.body.innerText.includes('Seed 42 ')")
    page.click("summary >> text=Command line")
    assert f"triform {system} generate" in page.inner_text("pre")
    narrow(page, "result")
    page.get_by_label("Models of each").and_(page.locator("[type=number]")).fill("1")
    page.click(".examples >> text=a table lamp")  # an example changes only what it names
    page.wait_for_selector("h2 >> text=a table lamp")
    page.wait_for_selector("canvas[data-ready]")
    assert page.locator("canvas").count() == 1


def test_a_description_of_a_picture_becomes_the_prompt(page, tmp_path):
    Image.new("RGB", (40, 30), "orange").save(tmp_path / "chair.png")
    go(page, "shape")
    words = page.get_by_label("Or a picture", exact=True)
    words.set_input_files(tmp_path / "chair.png")
    page.wait_for_function(
        "() => document.querySelector('textarea').value.startsWith('<img src=x')"
    )
    page.wait_for_selector("text=Described as “<img src=x")
    assert page.locator("canvas").count() == 0  # the words can be changed first
    assert page.title() == "Make a shape · Triform"
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    axe(page, "words")


def test_a_picture_to_click_becomes_shapes(page):
    go(page, "shape")
    page.click("button:has(img)")
    page.wait_for_selector("canvas[data-ready]")
    assert "<img src=x" in page.inner_text("h2") and page.title() == "Make a shape · Triform"
    page.select_option("#pick", "voxel_gan/generate")
    page.wait_for_selector("form label >> text=Or a picture")
    page.click("form >> text=New seed")  # it stays when the system changes
    assert page.get_by_label("Seed", exact=True).input_value() != "42"
    page.select_option("#pick", "shap_e/generate")  # takes pictures itself
    page.wait_for_selector("form label >> text=Or a picture", state="detached")


def test_the_result_comes_into_sight(page):
    """Whoever clicks at the end of a long form, or on a narrow screen, sees what comes of it."""
    page.set_viewport_size({"width": 360, "height": 740})
    go(page, "shape")
    page.click("text=an office chair")
    page.wait_for_selector("canvas[data-ready]")
    top = page.evaluate("document.querySelector('section h2').getBoundingClientRect().top")
    assert 0 <= top < 740


def test_a_job_by_keyboard_alone(page):
    go(page, "shape")
    page.focus("textarea")
    page.keyboard.type("slow")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Stop (Esc)")
    page.wait_for_function("() => document.querySelector('#output').innerText.includes('Working')")
    page.keyboard.press("Escape")
    page.wait_for_selector("text=Stopped ·")
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] >> text=Ctrl+Enter")
    axe(page, "keys")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("Alt+7")
    page.wait_for_selector("main[data-ready=history]")
    page.wait_for_selector("text=Stopped ·")


def test_skip_to_content_leaves_the_page_as_it_is(page):
    go(page, "shape")
    page.fill("textarea", "a car")
    page.focus(".skip")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "a car"
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("canvas[data-ready]")
    assert page.inner_text("h2") == "a car"


def test_wrong_values_are_refused_before_they_are_sent(page, tmp_path):
    (tmp_path / "shape.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    go(page, "shape")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("form .error >> text=Write what it should be")
    page.fill("textarea", "a car")
    page.get_by_label("Models of each").and_(page.locator("[type=number]")).fill("99")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("form .error >> text=Models of each: from 1 to 12")
    page.get_by_label("Or a picture", exact=True).set_input_files(tmp_path / "shape.obj")
    page.wait_for_selector(".drop .error >> text=shape.obj is a mesh; a picture is needed here")
    assert page.locator("#output").inner_text() == ""


def test_history_repeats_a_job(page):
    go(page, "shape")
    page.click("text=a table lamp")
    page.wait_for_selector("canvas[data-ready]")
    go(page, "history")
    page.click("a.tile >> nth=0")
    page.wait_for_selector("h2 >> text=a table lamp")
    axe(page, "an entry")
    before = page.inner_text("#output h2 + p")
    page.click("text=New seed")
    page.wait_for_function(
        "before => !(document.querySelector('#output h2 + p')?.innerText ?? before).includes("
        "before.split(' · ').pop())",
        arg=before,
    )
    page.wait_for_selector("canvas[data-ready]")


def test_a_job_whose_page_was_left_is_followed_and_stopped_from_the_history(page, server):
    go(page, "shape")
    page.fill("textarea", "slow")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Stop (Esc)")
    page.click("nav a[href='/history']")
    page.wait_for_selector("main[data-ready=history]")
    page.keyboard.press("Escape")  # stops only what is in sight
    page.click("a.tile >> nth=0")
    page.wait_for_selector("#output h2 >> text=slow")
    page.wait_for_function("() => document.querySelector('#output').innerText.includes('Working')")
    axe(page, "followed")
    page.keyboard.press("Escape")
    page.wait_for_selector("#output >> text=Stopped ·")
    assert server.get("jobs") == []


def test_a_training_whose_page_was_left_is_followed_with_its_curves(page):
    go(page, "train")
    page.get_by_label("System", exact=True).select_option("dcgan")
    page.wait_for_selector("form >> text=discriminator", state="attached")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("svg.chart")
    page.click("nav a[href='/history']")
    page.wait_for_selector("main[data-ready=history]")
    page.click("nav a[href='/train']")
    page.wait_for_selector("main[data-ready=train]")
    page.click("td >> text=dcgan/run_ >> nth=0")
    assert page.get_by_role("button", name="Resume").count() == 0  # it goes on
    page.click("text=Watch or stop it")
    page.wait_for_selector("text=Stop (Esc)")
    page.wait_for_selector("svg.chart")
    assert page.get_by_label("System", exact=True).input_value() == "dcgan"
    page.keyboard.press("Escape")
    page.wait_for_selector("#output >> text=Stopped ·")
    page.get_by_role("button", name="Resume").wait_for()


def test_the_second_of_two_jobs_is_shown_and_can_be_stopped(page, server):
    go(page, "shape")
    page.fill("textarea", "slow")
    page.keyboard.press("Control+Enter")
    page.wait_for_function("() => document.querySelector('#output').innerText.includes('Working')")
    page.fill("textarea", "a bed")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#output >> text=Waiting, place 1")
    server.end_jobs(1)
    page.wait_for_selector("h2 >> text=a bed")
    page.wait_for_selector("canvas[data-ready]")


@pytest.mark.parametrize("clipboard", ["kept", "none", "nothing"])
def test_a_command_is_copied_or_it_is_said_that_it_is_not(page, clipboard):
    """A page of another machine without TLS has no `navigator.clipboard`."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    if clipboard != "kept":
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    if clipboard == "nothing":
        page.add_init_script("document.execCommand = () => false")
    go(page, "shape")
    page.get_by_label("Models of each").and_(page.locator("[type=number]")).fill("1")
    page.fill("textarea", "a bed")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("canvas[data-ready]")
    page.click("text=Copy as command")
    if clipboard == "nothing":
        page.wait_for_selector("button >> text=Not copied: it stands below")
        return
    page.wait_for_selector("button >> text=Copied")
    page.fill("textarea", "")
    page.focus("textarea")
    page.keyboard.press("Control+V")
    assert "--prompt 'a bed'" in page.input_value("textarea")


def test_results_of_the_command_line(page, server):
    """What commands wrote into a named folder; a hostile record changes nothing."""
    folder = server.folder / "shapes" / "made"
    (folder / FOLDER).mkdir(parents=True)
    (folder / "chair.glb").write_bytes(glb((0.1, 0.1, 0.8)))
    Image.new("RGB", (48, 48), "red").save(folder / "sheet.png")
    (folder / "chair.obj").write_text("v 0 0 0")
    files = [{"name": path.name, "bytes": path.stat().st_size} for path in folder.glob("*.*")]
    plain = {"system": "voxel_gan", "verb": "generate", "command": "triform voxel_gan generate"}
    plain |= {"started": 1.9e9, "finished": 1.9e9 + 5, "seed": 42}
    whole = {"settings": {"prompt": ["a blue chair"]}, "files": files}
    hostile = {"command": ESCAPES, "answer": [{"rank": 1, "similarity": ESCAPES, "tile": 7}]}
    hostile |= {"verb": ESCAPES[:60], "started": 1.9e9 + 1}
    for name, values in {"0": whole, "1": hostile}.items():
        path = folder / FOLDER / f"20260131-120000-0000000{name}.json"
        path.write_text(json.dumps({**plain, **values}))
    time.sleep(FRESH_SECONDS)
    go(page, "history")
    tiles = page.locator("a.tile")
    assert "Command line" in tiles.nth(0).inner_text() and "<img" in tiles.nth(0).inner_text()
    tiles.nth(0).click()
    page.wait_for_selector("#output pre", state="attached")
    page.click("summary >> text=Command line")
    assert page.inner_text("#output pre") == ESCAPES
    assert page.title() == "History · Triform" and page.locator("#output b").count() == 0
    buttons = "#output .chips >> nth=0"
    assert page.inner_text(buttons).split("\n") == ["Copy as command"]
    page.fill("input[type=search]", "<i>no such</i>")
    page.wait_for_selector(".empty >> text=No result has “<i>no such</i>” in its title")
    page.fill("input[type=search]", "blue")
    page.wait_for_function("() => document.querySelectorAll('a.tile').length === 1")
    page.wait_for_function("() => document.querySelector('a.tile img').naturalWidth === 48")
    page.click("a.tile")
    page.wait_for_selector("canvas[data-ready]")
    assert "Command line · shapes/made" in page.inner_text("#output h2 + p")
    shown = page.inner_text(buttons).split("\n")
    assert shown == ["Again", "New seed", "Same settings", "Copy as command", "All files (ZIP)"]
    axe(page, "a command")
    page.click("#output >> text=Again")
    page.wait_for_selector("#output >> text=far from every training caption")
    assert page.locator("#output >> text=Command line ·").count() == 0  # a result of the server


def test_train_shows_curves_and_stops_and_resumes(page):
    go(page, "train")
    page.get_by_label("System", exact=True).select_option("vae")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("svg.chart")
    assert "train/loss" in page.inner_text("figcaption >> nth=0")
    page.keyboard.press("Escape")
    page.wait_for_selector("#output >> text=Stopped ·")
    page.get_by_role("button", name="Resume").click()
    page.wait_for_selector("text=Stop (Esc)")
    page.keyboard.press("Escape")
    page.wait_for_selector("#output >> text=Stopped ·")


def test_a_training_begins_with_the_weights_of_another_run(page):
    go(page, "train")
    page.get_by_label("System", exact=True).select_option("vae")
    page.wait_for_selector("form >> text=/prior.components/i", state="attached")
    weights = page.get_by_label("Weights to begin with", exact=True)
    assert weights.locator("option").all_inner_texts()[:2] == ["(random ones)", "(those that ship)"]
    weights.select_option("shipped")
    page.wait_for_selector("text=Preset fashion was chosen")
    assert page.get_by_label("Preset", exact=True).input_value() == "fashion"
    assert weights.input_value() == "shipped"
    page.get_by_label("Preset", exact=True).select_option("tiny")
    weights.select_option("")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("svg.chart")
    assert page.locator("text=New run from these weights").count() == 0  # it still goes on
    page.keyboard.press("Escape")
    page.wait_for_selector("#output >> text=Stopped ·")
    page.click("text=New run from these weights")
    page.wait_for_function("() => document.activeElement.tagName === 'SELECT'")
    run = weights.input_value()
    assert run.startswith("run:vae/run_")
    assert weights.evaluate("each => each === document.activeElement")
    assert page.get_by_label("Preset", exact=True).input_value() == "tiny"  # it fits
    axe(page, "weights to begin with")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Stop (Esc)")
    page.keyboard.press("Escape")
    page.wait_for_selector("#output >> text=Stopped ·")
    page.click("summary >> text=Command line")
    command = page.inner_text("#output pre")
    assert f"runs/{run.removeprefix('run:')}" in command and "--initial_weights" in command
    page.get_by_label("System", exact=True).select_option("reinforce")  # none ship
    page.wait_for_selector("form >> text=baseline", state="attached")
    weights = page.get_by_label("Weights to begin with", exact=True)
    assert weights.locator("option").all_inner_texts() == ["(random ones)"]


def test_both_languages_dark_and_the_way_back(page, server):
    go(page, "history")
    page.click("text=Русский")
    page.wait_for_selector("h1 >> text=История")
    assert page.evaluate("document.documentElement.lang") == "ru"
    page.click("[aria-label='Тёмная или светлая']")
    axe(page, "dark")
    go(page, "explore")
    page.wait_for_selector("text=Зерно: одно и то же зерно")  # hints of settings too
    assert page.get_by_label("Зерно", exact=True).count() == 1  # and their names
    assert page.locator("code.flag >> text=--seed").count() == 1  # beside the flag
    go(page, "shape")
    page.click("text=настольная лампа")
    page.wait_for_selector("canvas[data-ready]")
    assert page.locator("text=100 × 50 × 25 мм").count() == 4  # units too
    go(page, "history")
    page.click("nav >> text=Найти")
    page.wait_for_selector("main[data-ready=find]")
    page.go_back()
    page.wait_for_selector("main[data-ready=history]")

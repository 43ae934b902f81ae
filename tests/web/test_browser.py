"""The pages in a real browser, used by mouse and by keyboard; every other host is out of reach."""

import os
import shutil

import pytest
from live_server import LiveServer
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
PAGES = ("shape", "find", "describe", "image", "explore", "train", "history")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None and not os.environ.get("TRIFORM_NO_SKIPS"),
        reason="no chromium here; scripts/get_chromium.sh installs it",
    ),
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
    one.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    one.on(
        "request",
        lambda request: (
            request.url.startswith((server.address, "blob:", "data:"))
            or problems.append(f"elsewhere: {request.url}")
        ),
    )
    yield one
    context.close()
    assert problems == []


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


def test_every_page_is_accessible_and_narrow(page):
    go(page, "history")
    for name in PAGES:
        page.click(f"nav a[href='/{name}']")
        page.wait_for_selector(f"main[data-ready={name}]")
        narrow(page, name)
        axe(page, name)
    page.click("text=Русский")
    page.wait_for_selector("h1 >> text=История")
    for name in PAGES:  # its words are longer
        page.click(f"nav a[href='/{name}']")
        page.wait_for_selector(f"main[data-ready={name}]")
        narrow(page, name)


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


def test_find_escapes_what_it_finds(page):
    go(page, "find")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("form .error >> text=Write what to look for")
    page.get_by_label("Collection").select_option("folder:shapes")
    page.click("text=an office chair")
    page.wait_for_selector("text=Similarity 0.500")
    assert "<img src=x" in page.inner_text("figcaption")
    assert page.title() == "Find · Triform" and page.locator("section b").count() == 0


def test_photos_are_indexed_and_found(page):
    go(page, "find")
    page.select_option("#pick", "clip/search")
    page.get_by_label("Folder of photos").select_option("folder:shapes")
    assert page.get_by_label("Model", exact=True).input_value() == "triform-clip"  # it is here
    page.click("text=Index this folder")
    page.wait_for_selector("section td >> text=added")
    assert page.locator("#pick").input_value() == "clip/index"
    page.select_option("#pick", "clip/search")
    page.wait_for_selector("text=What to look for")
    page.get_by_label("Folder of photos").select_option("folder:shapes")
    page.get_by_label("Only in this folder").select_option("folder:shapes/2024")
    page.get_by_label("What to look for").fill("a dog -cat")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=2024-05-01 · Similarity 0.250 · above 99.5 % of all")
    assert page.title() == "Find · Triform" and page.locator("section b").count() == 0
    axe(page, "photos")
    page.click("summary >> text=Command line")
    command = page.inner_text("pre")
    assert "--model triform-clip" in command and "shapes/2024" in command
    page.click("text=More like this")
    page.wait_for_selector("li >> text=hit.webp")


def test_describe_a_dropped_picture(page, tmp_path):
    path = tmp_path / "cat.png"
    Image.new("RGB", (40, 30), "orange").save(path)
    go(page, "describe")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("text=Pictures is needed")
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector("text=cat.png, 40 x 30")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("section >> text=cat.png")
    path.write_bytes(b"no image")
    page.set_input_files("input[type=file]", path)
    page.wait_for_selector(".drop .error >> text=cat.png")


def test_describe_an_example(page):
    go(page, "describe")
    page.click("text=a bicycle")
    page.wait_for_selector("li >> text=bicycle")
    page.wait_for_selector("section p >> text=<img src=x")
    assert page.locator("section b").count() == 0


def test_describe_says_what_a_refused_file_is(page, tmp_path):
    go(page, "describe")
    page.evaluate("""() => {
      const data = new DataTransfer();
      data.items.add(new File(["<b>x</b>"], "<b>page</b>.html"));
      document.querySelector(".drop").dispatchEvent(
        new DragEvent("drop", { dataTransfer: data, bubbles: true }));
    }""")
    page.wait_for_selector(".drop .error >> text=neither an image nor a mesh")


def test_images_with_all_stages_and_another_like_one(page):
    go(page, "image")
    page.get_by_label("Images of each").and_(page.locator("[type=number]")).fill("2")
    page.click("text=a green cat at night")
    page.wait_for_selector("text=Another like this")
    assert page.locator("section section").count() == 2
    for stage in ("Text vector", "Latent", "Decoder", "Final"):
        assert page.locator(f"details[open] figcaption >> text={stage}").count() == 2
    page.wait_for_function("() => [...document.images].every((each) => each.naturalWidth === 48)")
    assert "Seed 42 · 1" in page.inner_text("section section >> nth=1")
    axe(page, "images")
    page.click("text=Another like this >> nth=1")
    page.wait_for_selector("text=Seed 42 · 1/0")
    page.click("text=Another like this >> nth=1")
    page.wait_for_selector("text=Seed 42 · 1/1/0")
    page.click("summary >> text=Command line")
    command = page.inner_text("pre")
    assert "--prompt 'a green cat at night'" in command and "--like 1/1" in command
    assert "--show_stages" in command and "--seed 42" in command


def test_a_classifier_from_pictures(page, tmp_path):
    for name in ("cat", "dog", "new"):
        Image.new("RGB", (40, 30), "orange").save(tmp_path / f"{name}.png")
    go(page, "explore")
    page.select_option("#pick", "protonet/classify")
    page.wait_for_selector("fieldset")
    page.fill("fieldset >> nth=0 >> input[type=text]", "a cat")
    for label, name in (("Pictures of class 1", "cat"), ("Pictures of class 2", "dog")):
        page.get_by_label(label, exact=True).set_input_files(tmp_path / f"{name}.png")
    page.get_by_label("images", exact=True).set_input_files(tmp_path / "new.png")
    page.wait_for_selector("li >> text=new.png")
    page.wait_for_selector("fieldset >> nth=1 >> li >> text=dog.png")
    axe(page, "classes")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("td >> text=Class 2")  # the first by name
    page.click("text=Same settings")
    page.wait_for_selector("fieldset >> nth=1 >> li >> text=dog.png")
    assert page.input_value("fieldset >> nth=1 >> input[type=text]") == "Class 2"


def test_explore_has_examples_to_click(page):
    go(page, "explore")
    page.select_option("#pick", "style_gan/mix")
    page.click("text=three by four")
    page.wait_for_selector("section td >> text=1.5")
    page.click("summary >> text=Command line")
    assert "--rows 3 --columns 4" in page.inner_text("pre")
    page.click("text=Show everything")
    axe(page, "everything")
    page.click(".menu .card:has-text('retrieval evaluate') >> text=40 parametric objects")
    page.wait_for_selector("section td >> text=1.5")
    page.click("summary >> text=Command line")
    assert "--library testdataset:40" in page.inner_text("pre")  # not in the list of data sets
    page.select_option("#pick", "protonet/classify")
    page.click("text=three letters from two pictures each")
    page.wait_for_selector("section figcaption >> text=B")
    assert page.locator("fieldset").count() == 3
    assert "letter_k_2" in page.inner_text("fieldset >> nth=1")


def test_a_file_dropped_beside_its_field(page):
    go(page, "describe")
    page.evaluate("""async () => {
      const canvas = document.createElement("canvas");
      const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
      const data = new DataTransfer();
      data.items.add(new File([blob], "dropped.png", { type: "image/png" }));
      document.querySelector("h1").dispatchEvent(
        new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }""")
    page.wait_for_selector("li >> text=dropped.png, 300 x 150")


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


def test_both_languages_dark_and_the_way_back(page, server):
    go(page, "history")
    page.click("text=Русский")
    page.wait_for_selector("h1 >> text=История")
    assert page.evaluate("document.documentElement.lang") == "ru"
    page.click("[aria-label='Тёмная или светлая']")
    axe(page, "dark")
    go(page, "explore")
    page.wait_for_selector("text=Зерно: одно и то же зерно")  # hints of settings too
    go(page, "history")
    page.click("nav >> text=Найти")
    page.wait_for_selector("main[data-ready=find]")
    page.go_back()
    page.wait_for_selector("main[data-ready=history]")

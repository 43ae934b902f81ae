"""Find, Describe, Make an image and Explore in a real browser."""

import pytest
from browser_page import axe, go
from PIL import Image


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


DROP = """async ([target, name]) => {
  const canvas = document.createElement("canvas");
  const image = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const mesh = "v 0 0 0\\nv 1 0 0\\nv 0 1 0\\nf 1 2 3\\n";
  const isImage = name.endsWith("png");
  const data = new DataTransfer();
  data.items.add(new File([isImage ? image : mesh], name, { type: isImage ? "image/png" : "" }));
  document.querySelector(target).dispatchEvent(
    new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize(
    ("name", "target", "file", "shown"),
    [
        ("shape", "textarea", "a.png", ".drop li >> text=a.png"),
        ("shape", "input[type=number]", "a.png", "text=Described as"),
        ("find", "textarea", "a.png", ".field:has(> label:text-is('Pictures')) li"),
        ("find", "select", "a.obj", ".field:has(> label:text-is('Mesh')) li"),
        ("describe", "button.main", "a.png", ".drop li >> text=a.png"),
        ("image", "textarea", "a.png", "form .error >> text=Nothing here takes a file."),
        ("train", "select", "a.png", "form .error >> text=Nothing here takes a file."),
    ],
)
def test_a_file_is_dropped_on_any_control(page, name, target, file, shown):
    go(page, name)
    page.evaluate(DROP, [f"main {target}", file])
    page.wait_for_selector(shown)


@pytest.mark.parametrize("name", ["shape", "find", "describe", "image", "explore", "train"])
def test_keys_work_from_every_kind_of_control(page, name):
    """Ctrl+Enter runs, Esc stops what goes on, ? opens the list but where one types."""
    go(page, name)
    page.evaluate("""() => {
      window.runs = 0;
      document.querySelector("form").addEventListener("submit", (event) => {
        event.preventDefault(); event.stopImmediatePropagation(); window.runs++;
      }, true);
    }""")
    page.locator("form summary").last.click()
    kinds = ("textarea", "select", "input[type=number]", "input[type=checkbox]", "button.small")
    there = [each for each in kinds if page.locator(f"form {each}:visible").count()]
    assert len(there) >= 3
    for count, kind in enumerate(there, 1):
        page.locator(f"form {kind}:visible >> nth=0").focus()
        page.keyboard.press("Control+Enter")
        assert page.evaluate("window.runs") == count, kind
    page.locator("form button.main").focus()
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open] >> text=Ctrl+Enter")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")

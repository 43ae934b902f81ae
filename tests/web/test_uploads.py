import pytest

from triform.web.uploads import UploadRefused, Uploads, safe_name


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "uploads", 20_000, 50_000)


def test_an_image_and_a_mesh_are_kept(uploads, png, obj):
    image = uploads.add("C:\\photos\\cat.png", [png[:10], png[10:]])
    assert (image["name"], image["kind"], image["about"]) == ("cat.png", "image", "8 x 8")
    mesh = uploads.add("box.obj", [obj])
    assert (mesh["kind"], mesh["about"]) == ("mesh", "1 faces")
    assert uploads.path(image["id"]).read_bytes() == png
    assert image["bytes"] == len(png)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cat.png", b"", "empty"),
        ("cat.png", b"no image", "cat.png"),
        ("cat.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "cat.png"),
        ("page.html", b"<script>", "neither an image nor a mesh"),
        ("image.svg", b"<svg/>", "neither an image nor a mesh"),
        ("weights.pth", b"x", "neither an image nor a mesh"),
        ("x", b"x", "no suffix"),
        ("box.obj", b"v a b c\nf 1 2 3\n", "box.obj"),
        ("box.glb", b"glTF" + b"\xff" * 40, "box.glb"),
        ("big.png", b"x" * 20_001, "larger than the limit of 0.02 MB"),
    ],
)
def test_other_files_are_refused_and_leave_nothing(uploads, name, content, message):
    with pytest.raises(UploadRefused) as error:
        uploads.add(name, [content])
    assert message in str(error.value) and str(uploads.root) not in str(error.value)
    assert list(uploads.root.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/cron.d/x.png", "x.png"),
        (".hidden.PNG", "hidden.png"),
        ("a\u202egnp.exe.png", "a_u202egnp_exe.png"),
        ("<img src=x>.png", "img src_x.png"),
        ("стул.jpg", "стул.jpg"),
        ("\0.png", "x00.png"),
        ("a" * 300 + ".png", "a" * 80 + ".png"),
        ("....png", "file.png"),
    ],
)
def test_names_are_made_safe(name, safe):
    assert safe_name(name)[0] == safe


def test_the_oldest_are_deleted(uploads, png, obj):
    padded = obj + b"# " + b"x" * 19_000
    first = uploads.add("a.obj", [padded])["id"]
    second = uploads.add("b.obj", [padded])["id"]
    third = uploads.add("c.obj", [padded])["id"]
    with pytest.raises(ValueError, match="no such upload"):
        uploads.path(first)
    assert uploads.path(second) and uploads.path(third)


def test_a_new_server_begins_without_uploads(uploads, png):
    name = uploads.add("a.png", [png])["id"]
    with pytest.raises(ValueError, match="no such upload"):
        Uploads(uploads.root, 1, 1).path(name)

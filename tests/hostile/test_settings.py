"""Settings files, flags and prompt files that nobody should have written."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_place import BOX

TRAIN = ("voxel_gan", "train")
GENERATE = ("voxel_gan", "generate")

YAML: dict[str, bytes] = {
    "unknown key": b"training:\n  epoch: 5\n",
    "unknown group": b"lessons: {epochs: 5}\n",
    "wrong type": b"training: {epochs: many}\n",
    "number for a group": b"training: 5\n",
    "text for a list": b"data: {dataset: {a: b}}\n",
    "not a number": b"training: {lr: .nan}\n",
    "infinite": b"training: {lr: .inf}\n",
    "out of range": b"data: {voxel_size: 100000000000}\n",
    "key twice": b"training: {epochs: 5}\ntraining: {lr: 0.1}\n",
    "bomb of aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(12)
    ),
    "references to references": b"l: &l [1]\ndata: {dataset: *l}\n",
    "bomb in its place": b"data:\n  dataset:\n  - &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"  - &%c [%s]\n" % (98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(12)),
    "alias of itself": b"training: &a {epochs: *a}\n",
    "merge bomb": b"a: &a {<<: *a}\n",
    "python object": b"training: !!python/object/apply:os.system ['touch executed']\n",
    "python name": b"training: {epochs: !!python/name:os.system }\n",
    "unknown tag": b"training: !evil {epochs: 1}\n",
    "two documents": b"seed: 1\n---\nseed: 2\n",
    "a list": b"- training\n- epochs\n",
    "a word": b"training",
    "tabs": b"training:\n\tepochs: 5\n",
    "binary": bytes(range(256)),
    "not utf-8": "training: {lr: много}\n".encode("cp1251"),
    "deep": b"[" * 100_000,
    "deep mapping": b"{a: " * 20_000,
    "huge": b"# " + b"x" * 2_000_000,
    "complex key": b"{[1, 2]: 3}\n",
    "key that is a number": b"1: 2\n",
    "date": b"seed: 2020-01-01\n",
    "huge number": b"seed: " + b"9" * 5000 + b"\n",
}


@pytest.mark.parametrize("name", YAML)
def test_bad_settings_file_is_named(refused: Callable[..., str], place: Path, name: str) -> None:
    (place / "mine.yaml").write_bytes(YAML[name])
    refused(*TRAIN, "--config", "mine.yaml", status=2, names="mine.yaml")


def test_references_are_named(refused: Callable[..., str], place: Path) -> None:
    (place / "mine.yaml").write_text("seed: &a 1\ntraining:\n  epochs: *a\n")
    refused(*TRAIN, "--config", "mine.yaml", status=2, names="line 3: *a refers to another place")


@pytest.mark.parametrize("name", ["fifo.yaml", "link.yaml", "zero.yaml"])
def test_settings_that_are_no_file(refused: Callable[..., str], place: Path, name: str) -> None:
    os.mkfifo(place / "fifo.yaml")
    (place / "link.yaml").symlink_to("fifo.yaml")
    (place / "zero.yaml").symlink_to("/dev/zero")
    refused(*TRAIN, "--config", name, status=2, names=f"{name}: a device, pipe or socket")


@pytest.mark.parametrize(
    "words", [("voxel_gan", "generate", "--prompt_file"), ("voxel_gan", "analyze", "--text_file")]
)
def test_texts_that_are_no_file(
    refused: Callable[..., str], place: Path, model: Path, words: tuple[str, ...]
) -> None:
    os.mkfifo(place / "texts.txt")
    refused(*words, "texts.txt", status=1, names="texts.txt: a device, pipe or socket")


FLAGS: list[tuple[tuple[str, ...], str]] = [
    ((*TRAIN, "--no_such_flag", "1"), "--no_such_flag"),
    ((*TRAIN, "--ephocs", "3"), "perhaps you meant --epochs"),
    ((*TRAIN, "--epochs"), "--epochs"),
    ((*TRAIN, "--epochs", "--lr", "1"), "--epochs"),
    ((*TRAIN, "--epochs", "three"), "--epochs"),
    ((*TRAIN, "--epochs", "1e400"), "--epochs"),
    ((*TRAIN, "--epochs", "9" * 5000), "--epochs"),
    ((*TRAIN, "--lr", "-1"), "--lr"),
    ((*TRAIN, "--lr", "nan"), "--lr"),
    ((*TRAIN, "--lr", ""), "--lr"),
    ((*TRAIN, "--batch_size", "0"), "--batch_size"),
    ((*TRAIN, "--voxel_size", "60"), "voxel_size 60"),
    ((*TRAIN, "--voxel_size", "1000000"), "--voxel_size"),
    ((*TRAIN, "--device", "toaster"), "--device"),
    ((*TRAIN, "--device", "cuda:99", "--config", "tiny", "--dataset", "boxes"), "--device cuda:99"),
    ((*TRAIN, "--config"), "--config"),
    ((*TRAIN, "--config", "tinny"), "perhaps you meant tiny"),
    ((*TRAIN, "--config", "missing.yaml"), "missing.yaml"),
    ((*TRAIN, "--config", "folder.yaml"), "folder.yaml"),
    ((*TRAIN, "--dataset", "testdatasett"), "perhaps you meant testdataset"),
    ((*TRAIN, "--dataset", "testdataset:-4"), "testdataset:-4"),
    ((*TRAIN, "--dataset", "no/such/folder"), "no/such/folder"),
    ((*TRAIN, "--dataset", "a\0b"), "dataset"),
    ((*TRAIN, "--dataset", "x" * 5000), "dataset"),
    ((*TRAIN, "stray"), "stray"),
    ((*GENERATE, "--promt", "a chair"), "perhaps you meant --prompt"),
    ((*GENERATE, "--num_samples", "0"), "--num_samples"),
    ((*GENERATE, "--num_samples", "999999999999"), "--num_samples"),
    ((*GENERATE, "--seed", "-1"), "--seed"),
    ((*GENERATE, "--level", "7"), "--level"),
    ((*GENERATE, "--format", "exe"), "--format"),
    ((*GENERATE, "--output", "chair.exe"), ".exe"),
    (("voxel_gan", "analyze", "--text", "one"), "--text"),
    (("voxel_gan", "generate", "--prompt", " "), "--prompt"),
    (("voxel_gan", "generate", "--prompt", "a chair", ""), "--prompt"),
    (("voxel_gan", "evaluate", "--max_samples", "-5"), "--max_samples"),
    (("voxel_gan", "evaluate", "--guidance_scale", "1e9"), "--guidance_scale"),
    (("voxel_gan", "dream"), "dream"),
    (("data", "gett", "chairs"), "gett"),
    (("data", "get"), "NAMES"),
    (("data", "get", "chairs", "--download_pth", "x"), "--download_pth"),
    (("runs", "compare", "none"), "--runs"),
    (("data", "get", "modelnet99"), "perhaps you meant modelnet"),
    (("data", "get", "testdataset:0"), "testdataset:0"),
    (("data", "get", "testdataset:many"), "testdataset:many"),
    (("data", "get", ""), "dataset"),
]


@pytest.mark.parametrize(("words", "names"), FLAGS, ids=lambda value: str(value)[-40:])
def test_bad_flag_is_named(
    refused: Callable[..., str], place: Path, words: tuple[str, ...], names: str
) -> None:
    (place / "folder.yaml").mkdir()
    (place / "boxes").mkdir()
    (place / "boxes" / "box.obj").write_text(BOX)
    refused(*words, status=2, names=names)


TEXTS: dict[str, bytes | None] = {
    "binary.txt": bytes(range(256)),
    "cyrillic.txt": "стул".encode("cp1251"),
    "empty.txt": b"",
    "blank.txt": b"\n \n\t\n",
    "missing.txt": None,
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(
    "words",
    [
        (*GENERATE, "--checkpoint", "model.pth", "--prompt_file"),
        ("voxel_gan", "analyze", "--text_file"),
    ],
    ids=["generate", "analyze"],
)
def test_bad_text_file_is_named(
    refused: Callable[..., str], place: Path, model: Path, words: tuple[str, ...], name: str
) -> None:
    if (content := TEXTS[name]) is not None:
        (place / name).write_bytes(content)
    refused(*words, name, status=1, names=name)


def test_folder_as_a_text_file_is_named(refused: Callable[..., str], place: Path) -> None:
    (place / "texts").mkdir()
    refused("voxel_gan", "analyze", "--text_file", "texts", status=1, names="texts")


@pytest.mark.parametrize("name", ["no-such-encoder", "../../etc", "pickled", "empty"])
def test_bad_text_encoder_is_named(refused: Callable[..., str], place: Path, name: str) -> None:
    (place / "empty").mkdir()
    (place / "pickled").mkdir()
    (place / "pickled" / "pytorch_model.bin").write_bytes(
        b"\x80\x04cos\nsystem\n(Vtouch executed\ntR."
    )
    refused("voxel_gan", "analyze", "--text_encoder", name, status=1, names=name)


def test_data_set_with_a_login_says_how(refused: Callable[..., str]) -> None:
    assert "sign in" in refused("data", "get", "shapenetcore", status=1, names="shapenetcore")

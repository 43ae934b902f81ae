"""Runs the commands of the documents as `docs/from-the-documents.md` translates them."""

import contextlib
import io
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
import trimesh

from triform import cli
from triform.datasets.testdataset import write_testdataset

TABLES = Path(__file__).parents[2] / "docs" / "from-the-documents.md"
Command = Callable[..., str]


def translated(document: str) -> str:
    """Our command for a document's, from the tables; fails where there is none."""
    for line in TABLES.read_text(encoding="utf-8").splitlines():
        cells = line.split(" | ")
        if len(cells) >= 2 and document in cells[0]:
            return re.findall("`(triform [^`]*)`", line.partition(" | ")[2])[0]
    raise AssertionError(f"no row for {document}")


def run_in(folder: Path, words: list[str], status: int = 0) -> str:
    """Run `triform ...` in a folder and in this process; returns its output or its error."""
    out, err = io.StringIO(), io.StringIO()
    before = Path.cwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            seen = cli.main(words[1:] if words[0] == "triform" else words)
    finally:
        os.chdir(before)
    assert seen == status, err.getvalue()
    return err.getvalue() if status else out.getvalue()


def runner(folder: Path) -> Command:
    """A function that runs a document's command in a folder.

    Its arguments are the command, further flags, `status`, and values of the words in capitals
    that stand for something in the table.
    """

    def command(document: str, *flags: str, status: int = 0, **values: str) -> str:
        words = shlex.split(translated(document))
        words = [values.pop(word.rstrip(".").replace(":", "_"), word) for word in words]
        assert not values, values
        return run_in(folder, [*words, *flags], status)

    return command


@pytest.fixture(scope="session")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pieces of furniture as OFF files, in a folder for each kind."""
    root = tmp_path_factory.mktemp("documents")
    write_testdataset(root / "objects", 30)
    for path in sorted((root / "objects").glob("*.obj")):
        folder = root / "path" / "to" / "dataset" / path.stem.rpartition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        trimesh.load(path, force="mesh").export(folder / f"{path.stem}.off")
    return root / "path" / "to" / "dataset"


@pytest.fixture(scope="session")
def library(meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small library, prepared by the command for the Shap-E document's data set."""
    folder = tmp_path_factory.mktemp("library") / "dataset"
    small = ["--image_size", "32", "--points", "256", "--voxel_size", "16", "--spacing"]
    runner(folder.parent)(
        "render 60 views of each object",
        *small,
        "stratified",
        "--workers",
        "1",
        "--views",
        "24",
        MESHES=str(meshes),
        LIBRARY=str(folder),
    )
    return folder


@pytest.fixture(scope="session")
def vit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vision transformer of one layer, saved as timm saves one, in place of EVA-02 Large."""
    path = tmp_path_factory.mktemp("encoder") / "tiny"
    shape = {"img_size": 16, "patch_size": 8, "embed_dim": 12, "depth": 1, "num_heads": 2}
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, **shape)
    config = {"num_classes": 0, "pretrained_cfg": {"input_size": [3, 16, 16], "num_classes": 0}}
    timm.models.save_for_hf(
        model, path, safe_serialization=True, model_args=shape, model_config=config
    )
    return path

"""Every reader of files that a stranger may have made, each as a function of a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from triform import cli, systems
from triform.base.archive import unpack
from triform.base.errors import UserError
from triform.base.settings import config
from triform.datasets.captioned.csv_file import load_csv
from triform.datasets.images import folder as image_folder
from triform.datasets.listing import list_shapes
from triform.engine.runs.tracking import read_metrics
from triform.geometry.io import cad
from triform.geometry.io.load import load_mesh
from triform.geometry.sampling.surface_points import sample_surface
from triform.geometry.voxels.voxelize import voxelize
from triform.images.read import read_image
from triform.pretrained.text_encoder import read_cache
from triform.search.gallery import open_gallery
from triform.systems.retrieval.documented.embedding_file import read_embeddings
from triform.text.vocabulary import Vocabulary

cad.SECONDS_PER_FILE = 3


def command(*words: str) -> None:
    """Run a command; a refusal is raised again."""
    if cli.main(words):
        raise UserError("refused")


def victim(folder: Path) -> Path:
    """The file in a folder that is named as the damaged one."""
    return folder / (folder / ".victim").read_text()


def read_mesh(folder: Path) -> None:
    """A mesh with its colours, and what is done with meshes."""
    mesh = load_mesh(
        victim(folder) if victim(folder).suffix not in (".mtl", ".png") else folder / "painted.obj",
        appearance=True,
    )
    voxelize(mesh, 16)
    sample_surface(mesh, 64, 0)


def read_images(folder: Path) -> None:
    """An image alone, and in a folder of images."""
    read_image(victim(folder))
    image_folder.load(folder, size=16)


def read_library(folder: Path) -> None:
    """A shape library: checked, shown, listed, read."""
    library = folder / "library"
    refusals = []
    for words in (
        ("check", "--library", str(library), "--workers", "1"),
        ("show", "--library", str(library), "--output", "sheet.png", "--size", "16", "--points"),
    ):
        if cli.main(("shapes", *words)):
            refusals.append(words[0])
    for shape in list_shapes([library]):
        shape.preview()
        shape.origin.voxels(8, fill=True)  # type: ignore[attr-defined]
    if refusals:
        raise UserError("refused")


def prepare_library(folder: Path) -> None:
    """A library that is there already, added to."""
    command(
        "shapes",
        "prepare",
        "--meshes",
        "meshes",
        "--library",
        "library",
        "--views",
        "1",
        "--image_size",
        "8",
        "--points",
        "16",
        "--voxel_size",
        "8",
        "--workers",
        "1",
        "--spacing",
        "stratified",
    )


def read_checkpoint(folder: Path) -> None:
    """A checkpoint or weights of any system."""
    systems.from_checkpoint(victim(folder), "cpu")


def generate(folder: Path) -> None:
    """A checkpoint used by the verb that writes."""
    command(
        "voxel_gan",
        "generate",
        "--checkpoint",
        str(victim(folder)),
        "--prompt",
        "a chair",
        "--output",
        "made.obj",
        "--device",
        "cpu",
    )


def read_gallery(folder: Path) -> None:
    """A gallery: opened, searched, its records read."""
    gallery = open_gallery(victim(folder))
    gallery.search(np.ones((1, 4), np.float32), 3, encoder="test")
    gallery.records()
    gallery.close()


def read_shapes(folder: Path) -> None:
    """A folder of meshes with captions, or a library of Sweet Home 3D."""
    path = victim(folder)
    for shape in list_shapes([path if path.suffix == ".sh3f" else folder / "shapes"])[:4]:
        shape.preview()
        shape.load(appearance=True)


def read_config(folder: Path) -> None:
    """A file of settings, of the system that its name begins with."""
    path = victim(folder)
    config.load(systems.load(path.stem.partition("-")[0]).config.Config, path)


def read_runs(folder: Path) -> None:
    """A folder of runs: listed, compared, opened, resumed from."""
    for words in (
        ("list",),
        ("compare", "run_1", "run_2"),
        ("open", "run_1", "--no-show"),
        ("export", "run_1"),
    ):
        status = cli.main(("runs", *words, "--runs_dir", "runs", "--json"))
        assert status in (0, 1, 2)
    list(read_metrics(folder / "runs" / "voxel_gan" / "run_1" / "metrics.jsonl"))


def read_archive(folder: Path) -> None:
    """An archive, unpacked."""
    unpack(victim(folder), folder / "unpacked", max_bytes=2**28)


def read_captions(folder: Path) -> None:
    """A table of captions with its images."""
    load_csv(folder / "images", folder / "captions.csv", val_split=0.5, seed=0)


def read_text_cache(folder: Path) -> None:
    """Kept vectors of texts."""

    class Encoder:
        fingerprint, dim, name = "test", 4, "test"

    read_cache(victim(folder), Encoder())  # type: ignore[arg-type]


READERS: dict[str, Callable[[Path], object]] = {
    "mesh": read_mesh,
    "image": read_images,
    "library": read_library,
    "library, added to": prepare_library,
    "checkpoint": read_checkpoint,
    "checkpoint, generate": generate,
    "gallery": read_gallery,
    "shapes": read_shapes,
    "settings": read_config,
    "runs": read_runs,
    "archive": read_archive,
    "captions": read_captions,
    "embeddings": lambda folder: read_embeddings(victim(folder)),
    "text cache": read_text_cache,
    "vocabulary": lambda folder: Vocabulary.load(victim(folder)),
}

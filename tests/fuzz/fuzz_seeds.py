"""Small real files of every kind, made by the project's own writers: what the fuzzer damages."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mutants import companions, originals
from PIL import Image, features

from triform import cli, systems
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.seating import chair
from triform.pretrained.shipped_weights import FOLDER as WEIGHTS
from triform.search.gallery import create_gallery
from triform.systems.retrieval.documented.embedding_file import ImageEmbeddings, write_embeddings
from triform.text.vocabulary import Vocabulary

LARGEST = 12 * 2**20
_LIBRARY_MODELS = 3
# Read by the metrics, which take no file of a user or read it as every checkpoint.
_OTHER_WEIGHTS = ("image_features", "shape_classifier", "voxel_classifier")


@dataclass(frozen=True)
class Seed:
    """A folder that a reader reads, and the files in it that are damaged.

    Attributes:
        reader: name of the reader.
        tree: path in the folder -> content.
        victims: the paths that are damaged, one at a time.
    """

    reader: str
    tree: dict[str, bytes]
    victims: tuple[str, ...]


def one_file(reader: str, name: str, data: bytes) -> Seed:
    """A seed of one file."""
    return Seed(reader, {name: data}, (name,))


def seeds(work: Path, furniture: Path | None) -> Iterator[Seed]:
    """Every seed.

    Args:
        work: a folder to make them in.
        furniture: folder of real `.sh3f` libraries, where there are any.
    """
    yield from _meshes()
    images = _images()
    yield from (one_file("image", name, data) for name, data in images.items())
    yield from _libraries(work)
    yield from _checkpoints(work)
    yield _gallery(work)
    yield from _shapes(images["rgb.png"], furniture)
    yield from _settings()
    yield _runs(work)
    yield from _archives(images)
    yield from _tables(work, images)


def _meshes() -> Iterator[Seed]:
    beside = companions()
    for name, data in originals().items():
        yield Seed("mesh", {**beside, name: data}, (name,))
    painted = {**beside, "painted.obj": originals()["painted.obj"]}
    yield Seed("mesh", painted, tuple(beside))


def _images() -> dict[str, bytes]:
    rgb = Image.fromarray((np.arange(24 * 16 * 3) % 251).astype(np.uint8).reshape(24, 16, 3))
    deep = Image.fromarray((np.arange(24 * 16) * 160).astype(np.uint16).reshape(24, 16))
    kinds = {
        "rgb.png": rgb,
        "rgba.png": rgb.convert("RGBA"),
        "grey.png": rgb.convert("L"),
        "palette.png": rgb.quantize(8),
        "deep.png": deep,
        "rgb.jpg": rgb,
        "cmyk.jpg": rgb.convert("CMYK"),
        "rgb.gif": rgb.quantize(8),
        "rgb.bmp": rgb,
        "rgb.tif": rgb,
        "rgb.webp": rgb,
        **({"rgb.avif": rgb} if features.check("avif") else {}),
    }
    found = {}
    for name, image in kinds.items():
        memory = io.BytesIO()
        format_name = {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name.partition(".")[2].upper())
        exif = {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}
        image.save(memory, format_name, **(exif if name == "rgb.jpg" else {}))
        found[name] = memory.getvalue()
    return found


def _obj() -> bytes:
    mesh = chair(Sampler(0, 1, 2))[0].mesh()
    lines = [f"v {x:.4g} {y:.4g} {z:.4g}" for x, y, z in mesh.vertices]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    return "\n".join(lines).encode()


def _tree(folder: Path, under: str) -> dict[str, bytes]:
    return {
        f"{under}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _libraries(work: Path) -> Iterator[Seed]:
    meshes = work / "meshes"
    meshes.mkdir()
    for name in ("one", "two"):
        (meshes / f"{name}.obj").write_bytes(_obj())
    (meshes / "captions.csv").write_text("object_id,caption\none,a chair\ntwo,another chair\n")
    library = work / "library"
    status = cli.main(
        (
            "shapes",
            "prepare",
            "--meshes",
            str(meshes),
            "--library",
            str(library),
            "--views",
            "2",
            "--image_size",
            "16",
            "--points",
            "32",
            "--voxel_size",
            "8",
            "--workers",
            "1",
            "--spacing",
            "stratified",
        )
    )
    assert status == 0, "the library of the seeds could not be made"
    tree = _tree(library, "library")
    tables = tuple(name for name in tree if name.endswith((".json", ".csv")))
    yield Seed("library", tree, tuple(tree))
    yield Seed("library", tree, tables)
    yield Seed("library, added to", {**tree, "meshes/three.obj": _obj()}, tables)


def _checkpoints(work: Path) -> Iterator[Seed]:
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        if path.stat().st_size < LARGEST and path.stem not in _OTHER_WEIGHTS:
            yield one_file("checkpoint", path.name, path.read_bytes())
    for path in sorted(work.glob("checkpoints/*.pth")):
        yield one_file("checkpoint", path.name, path.read_bytes())
        if path.stem == "voxel_gan":
            yield one_file("checkpoint, generate", path.name, path.read_bytes())
            exported = work / "voxel_gan.safetensors"
            words = ("export", "voxel_gan", "--runs_dir", str(work / "runs"))
            assert cli.main(("runs", *words, "--output", str(exported))) == 0
            yield one_file("checkpoint, generate", exported.name, exported.read_bytes())


def train_tiny(work: Path) -> None:
    """A checkpoint of each system with its preset `tiny`, into `work/checkpoints`."""
    (work / "checkpoints").mkdir()
    before = Path.cwd()
    os.chdir(work)
    try:
        for name in systems.names():
            words = (
                name,
                "train",
                "--config",
                "tiny",
                "--device",
                "cpu",
                "--checkpoint",
                "",
                "--epochs",
                "1",
                "--max_steps",
                "2",
            )
            if cli.main(words):
                continue
            found = sorted(work.glob(f"runs/{name}/run_*/checkpoints/last.pth"))
            if found and found[-1].stat().st_size < LARGEST:
                shutil.copy(found[-1], work / "checkpoints" / f"{name}.pth")
    finally:
        os.chdir(before)


def _gallery(work: Path) -> Seed:
    path = work / "g.gallery"
    gallery = create_gallery(path, encoder="test", dim=4)
    vectors = np.eye(4, dtype=np.float32)
    gallery.add(list("abcd"), vectors, [{"caption": name} for name in "abcd"], encoder="test")
    gallery.save()
    gallery.close()
    return one_file("gallery", path.name, path.read_bytes())


def _shapes(image: bytes, furniture: Path | None) -> Iterator[Seed]:
    captions = b"object_id,caption,category,split\none,a chair,chair,train\n"
    tree = {"shapes/one.obj": _obj(), "shapes/captions.csv": captions}
    yield Seed("shapes", tree, ("shapes/captions.csv",))
    catalog = (
        "id#1=a\nname#1=Chair\nicon#1=/i.png\nmodel#1=/m.obj\nwidth#1=50\ndepth#1=50\nheight#1=90\n"
        "creator#1=me\nmodelRotation#1=1 0 0 0 1 0 0 0 1\ncategory#1=Chairs\n"
    )
    generated = _zipped(
        {"PluginFurnitureCatalog.properties": catalog.encode(), "m.obj": _obj(), "i.png": image}
    )
    yield one_file("shapes", "made.sh3f", generated)
    for path in sorted(furniture.glob("*.sh3f")) if furniture else ():
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            tables = [name for name in names if name.endswith(".properties")]
            table = archive.read(tables[0]).decode("latin-1")
            # The first few models alone: their lines of the table and their files.
            expected = [f"#{n}=" for n in range(1, _LIBRARY_MODELS + 1)]
            lines = [
                line
                for line in table.splitlines()
                if "#" not in line or any(w in line for w in expected)
            ]
            output = " ".join(lines)
            members = {tables[0]: "\n".join(lines).encode("latin-1")}
            for name in names:
                small = archive.getinfo(name).file_size < 2**18
                if f"/{name}" in output and small and not name.endswith("/"):
                    members[name] = archive.read(name)
        yield one_file("shapes", path.name, _zipped(members))


def _zipped(members: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return memory.getvalue()


def _settings() -> Iterator[Seed]:
    for name in systems.names():
        for path in sorted(systems.load(name).presets.glob("*.yaml")):
            yield one_file("settings", f"{name}-{path.name}", path.read_bytes())


def _runs(work: Path) -> Seed:
    settings = systems.load("voxel_gan").presets / "tiny.yaml"
    numbers = [{"step": n, "epoch": n, "train/loss": 1 / n, "val/iou": 0.5} for n in range(1, 5)]
    best = {"monitor": "val/iou", "value": 0.5, "epoch": 3, "step": 3}
    summary = {
        "system": "voxel_gan",
        "best": best,
        "last": numbers[-1],
        "reason": "done",
        "step": 4,
    }
    folder = "runs/voxel_gan/run_1"
    tree = {
        f"{folder}/config.yaml": settings.read_bytes(),
        f"{folder}/summary.json": json.dumps(summary).encode(),
        f"{folder}/environment.json": json.dumps({"sessions": [{"python": "3"}]}).encode(),
        f"{folder}/metrics.jsonl": "\n".join(map(json.dumps, numbers)).encode() + b"\n",
    }
    for path in sorted(work.glob("runs/voxel_gan/run_*"))[:1]:
        real = ("config.yaml", "summary.json", "environment.json", "metrics.jsonl")
        tree |= {f"{folder}/{n}": (path / n).read_bytes() for n in real if (path / n).is_file()}
    victims = tuple(tree)
    second = {name.replace("run_1", "run_2"): data for name, data in tree.items()}
    return Seed("runs", {**tree, **second}, victims)


def _archives(images: dict[str, bytes]) -> Iterator[Seed]:
    members = {"folder/a.obj": _obj(), "folder/deep/b.png": images["rgb.png"], "c.txt": b"text"}
    yield one_file("archive", "a.zip", _zipped(members))
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    yield one_file("archive", "a.tar", memory.getvalue())
    yield one_file("archive", "a.tar.gz", gzip.compress(memory.getvalue(), mtime=0))


def _tables(work: Path, images: dict[str, bytes]) -> Iterator[Seed]:
    selected = {name: images[name] for name in ("rgb.png", "rgb.jpg", "grey.png")}
    rows = "".join(f"{name},an image of {name}\n" for name in selected)
    tree = {f"images/{name}": data for name, data in selected.items()}
    yield Seed(
        "captions", {**tree, "captions.csv": f"image,caption\n{rows}".encode()}, ("captions.csv",)
    )
    path = work / "e.npz"
    names = ("one_0.png", "one_1.png")
    write_embeddings(
        path, ImageEmbeddings(str(path), np.ones((2, 4), np.float32), names, "m", "w", "t")
    )
    yield one_file("embeddings", path.name, path.read_bytes())
    vocabulary = work / "v.json"
    Vocabulary.build(["a chair", "a table", "a chair"], 1).save(vocabulary)
    yield one_file("vocabulary", vocabulary.name, vocabulary.read_bytes())
    from safetensors.numpy import save

    notes = {"encoder": "test", "texts": json.dumps(["a", "b"])}
    cache = save({"embeddings": np.ones((2, 4), np.float32)}, notes)
    yield one_file("text cache", "t.safetensors", cache)

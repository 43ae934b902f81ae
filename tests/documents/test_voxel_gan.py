"""The commands of ModelIT's document, with what makes them small."""

import shutil
from pathlib import Path

import pytest
import trimesh

from .conftest import Command, runner

SMALL = [
    "--voxel_size",
    "16",
    "--hidden_channels",
    "4",
    "--disc_hidden_channels",
    "4",
    "--latent_dim",
    "8",
    "--max_steps",
    "2",
    "--log_every",
    "1",
    "--sample_every",
    "0",
]
TRAIN = "python script.py --mode train --dataset path/to/dataset --epochs 100 --batch_size 8"
CHAIRS = "python script.py --mode train --dataset chairs --epochs 50 --batch_size 16 --lr 0.001"


@pytest.fixture(scope="module")
def place(meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `path/to/dataset`, and ModelNet10's chairs where they are downloaded to."""
    folder = tmp_path_factory.mktemp("modelit")
    shutil.copytree(meshes, folder / "path" / "to" / "dataset")
    chairs = folder / "datasets" / "modelnet10" / "ModelNet10" / "chair" / "train"
    shutil.copytree(meshes, chairs)
    return folder


@pytest.fixture(scope="module")
def command(place: Path) -> Command:
    """Runs a command there, after the first training."""
    run = runner(place)
    run(TRAIN, *SMALL, "--device", "cpu")
    return run


def test_training_writes_the_documented_checkpoint(command: Command, place: Path) -> None:
    assert (place / "vae_gan_test.pth").is_file()
    (run,) = (place / "runs" / "voxel_gan").glob("run_*")
    assert (run / "training.log").is_file() and (run / "checkpoints" / "best.pth").is_file()
    (copied,) = (place / "runs" / "voxel_gan").glob("*/run_*/checkpoint.pth")
    assert copied.parents[1].name in ("good", "neutral", "bad")


def test_training_with_every_flag_of_the_new_version(command: Command, place: Path) -> None:
    """Five layers need 32 voxels; `gpu` is an order that stops where there is none."""
    small = [*SMALL, "--voxel_size", "32", "--checkpoint", "chairs.pth"]
    assert "--device gpu: torch finds no GPU here" in command(CHAIRS, *small, status=2)
    command(CHAIRS, *small, "--hidden_channels", "4", "--device", "cpu")
    assert (place / "chairs.pth").is_file()


def test_generating_from_a_prompt(command: Command, place: Path) -> None:
    command(
        'python script.py --mode generate --prompt "3d model of modern chair"', "--device", "cpu"
    )
    assert trimesh.load(place / "modern_chair.obj", force="mesh") is not None


def test_analysing_clip_embeddings(command: Command, place: Path) -> None:
    command("python script.py --mode analyze")
    names = {path.name for path in (place / "analysis").iterdir()}
    assert names >= {"similarities.csv", "pca.csv", "analysis.png"}


def test_data_sets_are_listed_fetched_and_cleared(command: Command, place: Path) -> None:
    answer = command('`python dataset_loader.py`, "list the known data sets"')
    assert "chairs" in answer and "modelnet40" in answer
    command('`python dataset_loader.py`, "download a data set"', NAME="testdataset:2")
    assert len(list((place / "datasets" / "testdataset_2").rglob("*.obj"))) == 2
    command('`python dataset_loader.py`, "clear the cache"', "--yes")
    assert not (place / "datasets" / "testdataset_2").exists()
    assert (place / "path" / "to" / "dataset").is_dir()

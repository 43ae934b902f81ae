"""The commands of the retrieval document: embed, train, submit, on a small library."""

import csv
import shutil
from pathlib import Path

import pytest

from .conftest import Command, runner

EMBED = "python extract_train_embeddings.py"
TRAIN = "python -m cad_retrieval_utils.train --config CONFIG"
SUBMIT = "python -m cad_retrieval_utils.inference_runner --model MOE:PC"
SMALL = [
    "--points",
    "64",
    "--num_group",
    "8",
    "--group_size",
    "8",
    "--emb_dim",
    "24",
    "--point_width",
    "32",
    "--point_heads",
    "2",
    "--point_depth",
    "2",
    "--batch_size",
    "8",
    "--epochs",
    "1",
    "--num_workers",
    "0",
    "--patch_widths",
    "16",
    "16",
    "16",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def command(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs a command in a folder of its own."""
    folder = tmp_path_factory.mktemp("retrieval")
    (folder / "library").symlink_to(library)
    return runner(folder)


def test_embed_train_and_submit(
    command: Command, library: Path, meshes: Path, vit_folder: Path, tmp_path: Path
) -> None:
    """The pair of files of the best Recall@3 answers both directions of the test folders."""
    encoder = ["--image_encoder", str(vit_folder)]
    features = str(tmp_path / "image_embeddings.npz")
    command(EMBED, *encoder, "--output", features, LIBRARY=str(library))
    runs = ["--runs_dir", str(tmp_path / "runs"), "--image_embeddings", features]
    command(TRAIN, *encoder, *SMALL, *runs, LIBRARY=str(library))
    (run,) = (tmp_path / "runs" / "retrieval").glob("run_*")
    pair = [run / "checkpoints" / f"{side}_recall@3_img2pc.pth" for side in ("moe", "pc_encoder")]
    test = tmp_path / "test"
    for name, source, pattern in (
        ("queries_image_to_mesh", library / "images", "*_view1.png"),
        ("gallery_mesh_for_image", meshes, "*/*.off"),
        ("queries_mesh_to_image", meshes, "*/*.off"),
        ("gallery_image_for_mesh", library / "images", "*_view1.png"),
    ):
        (test / name).mkdir(parents=True)
        for path in sorted(source.glob(pattern))[:4]:
            shutil.copy(path, test / name / path.name)
    output = tmp_path / "submission_stage1.csv"
    command(
        SUBMIT,
        *encoder,
        "--data",
        str(test),
        "--output",
        str(output),
        "--device",
        "cpu",
        MOE_PC=f"{pair[0]}:{pair[1]}",
    )
    with output.open(newline="") as file:
        assert len(list(csv.reader(file))) > 4

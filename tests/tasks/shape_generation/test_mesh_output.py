"""Files and requests of generated meshes."""

from __future__ import annotations

from pathlib import Path

import pytest
import trimesh

from triform.base.errors import UsageError, UserError
from triform.geometry.io.load import load_mesh
from triform.geometry.mesh import Mesh
from triform.tasks.shape_generation.config import GenerateMeshesConfig
from triform.tasks.shape_generation.mesh_output import (
    GeneratedMesh,
    Request,
    output_paths,
    read_requests,
    write_meshes,
)


def settings(**changes: object) -> GenerateMeshesConfig:
    return GenerateMeshesConfig.model_validate(changes)


def test_names_of_files(tmp_path: Path) -> None:
    requests = [Request("A chair!", 1), Request("A chair!", 2)]
    single = output_paths(settings(output="a/table.glb"), requests[:1])
    assert single == [[Path("a/table.glb")]]
    both = output_paths(settings(output="t.obj", format=("obj", "ply")), requests)
    assert both[1] == [Path("t_002.obj"), Path("t_002.ply")]
    folder = output_paths(settings(output=str(tmp_path)), requests)
    assert folder[0] == [tmp_path / "001-a-chair-1.obj"]
    assert len({file for files in folder for file in files}) == 2
    with pytest.raises(UsageError, match=r"--output model\.fbx: \.fbx is none of"):
        output_paths(settings(output="model.fbx"), requests)


def test_every_prompt_with_every_seed(tmp_path: Path) -> None:
    listed = tmp_path / "prompts.txt"
    listed.write_text("a bed\n\n  a lamp \n")
    requested = read_requests(settings(prompt="a chair", prompt_file=listed, num_samples=2, seed=7))
    assert requested == [
        Request(prompt, seed) for prompt in ("a chair", "a bed", "a lamp") for seed in (7, 8)
    ]
    assert read_requests(settings()) == [Request("", 42)]
    listed.write_text("\n")
    with pytest.raises(UserError, match="no line of text"):
        read_requests(settings(prompt_file=listed))


def test_meshes_are_written_in_every_format_with_a_row_each(tmp_path: Path) -> None:
    box = trimesh.creation.box((1, 0.5, 0.25))
    mesh = Mesh(box.vertices, box.faces)
    requests = [Request("a box", 1), Request("nothing", 2)]
    chosen = settings(
        output=str(tmp_path / "out"), format=("stl", "glb"), sheet=tmp_path / "sheet.png"
    )
    paths = output_paths(chosen, requests)
    rows = write_meshes(
        chosen, requests, paths, [GeneratedMesh(mesh), GeneratedMesh(mesh, is_empty=True)]
    )
    assert [row["watertight"] for row in rows] == [True, "empty"]
    assert [row["files"] for row in rows] == [[str(file) for file in files] for files in paths]
    assert rows[0]["mesh"] is mesh and rows[0]["main_part"] == 1
    low, high = load_mesh(paths[0][0]).bounds
    assert abs((high - low).max() - 100) < 1e-3  # millimetres, as printers have it
    assert (tmp_path / "sheet.png").stat().st_size

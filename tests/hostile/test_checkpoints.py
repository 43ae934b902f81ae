"""Files that call themselves checkpoints, given to every verb that takes one."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile_place import Evil

from triform.engine.checkpoints import checkpoint

GENERATE = ("voxel_gan", "generate", "--output", "new.obj", "--checkpoint")
Write = Callable[[Path, dict[str, Any]], None]
State = dict[str, Any]


def changed_config(state: State, group: str, **settings: object) -> State:
    """A checkpoint whose config says something else."""
    config = {**state["config"], group: {**state["config"][group], **settings}}
    return {**state, "config": config}


def safetensors(header: bytes, data: bytes = b"", *, length: int | None = None) -> bytes:
    """A weights file with any header, and any length written before it."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def one_tensor(**entry: object) -> bytes:
    """The header of one tensor of 4 numbers, with some of it changed."""
    tensor = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **entry}
    return json.dumps({"cvae.x": tensor}).encode()


HUGE = {"hidden_channels": 2**30, "latent_dim": 2**30}
WEIGHTS: dict[str, Write] = {
    "empty.pth": lambda path, _: path.write_bytes(b""),
    "text.pth": lambda path, _: path.write_text("weights\n" * 99),
    "pickle.pth": lambda path, _: path.write_bytes(pickle.dumps(Evil())),
    "old_pickle.pth": lambda path, _: path.write_bytes(pickle.dumps(Evil(), protocol=0)),
    "torch_pickle.pth": lambda path, state: torch.save({**state, "networks": Evil()}, path),
    "whole_module.pth": lambda path, _: torch.save(torch.nn.Linear(2, 2), path),
    "foreign.pth": lambda path, _: torch.save({"layer1.0.conv1.weight": torch.zeros(3)}, path),
    "one_tensor.pth": lambda path, _: torch.save(torch.zeros(3), path),
    "list.pth": lambda path, _: torch.save([1, 2, 3], path),
    "other_system.pth": lambda path, state: checkpoint.save(path, {**state, "system": "faces"}),
    "newer.pth": lambda path, state: torch.save(
        {**state, "format": checkpoint.FORMAT, "version": checkpoint.VERSION + 1}, path
    ),
    "torn.pth": lambda path, state: torch.save(
        {"format": checkpoint.FORMAT, "version": checkpoint.VERSION, "system": "voxel_gan"}, path
    ),
    "newer_config.pth": lambda path, state: checkpoint.save(
        path, changed_config(state, "model", quantum=True)
    ),
    "config_list.pth": lambda path, state: checkpoint.save(path, {**state, "config": [1]}),
    "networks_list.pth": lambda path, state: checkpoint.save(path, {**state, "networks": [1]}),
    "network_text.pth": lambda path, state: checkpoint.save(
        path, {**state, "networks": {"cvae": "x"}}
    ),
    "no_network.pth": lambda path, state: checkpoint.save(path, {**state, "networks": {}}),
    "wrong_sizes.pth": lambda path, state: checkpoint.save(
        path, changed_config(state, "model", latent_dim=17)
    ),
    "huge_sizes.pth": lambda path, state: checkpoint.save(
        path, changed_config(state, "model", **HUGE)
    ),
    "numbers_as_text.pth": lambda path, state: checkpoint.save(
        path, {**state, "networks": {"cvae": dict.fromkeys(state["networks"]["cvae"], "x")}}
    ),
    "empty.safetensors": lambda path, _: path.write_bytes(b""),
    "pickle.safetensors": lambda path, _: path.write_bytes(pickle.dumps(Evil())),
    "long_header.safetensors": lambda path, _: path.write_bytes(safetensors(b"{}", length=2**62)),
    "no_json.safetensors": lambda path, _: path.write_bytes(safetensors(b"{'cvae")),
    "deep_json.safetensors": lambda path, _: path.write_bytes(safetensors(b"[" * 100_000)),
    "outside.safetensors": lambda path, _: path.write_bytes(
        safetensors(one_tensor(data_offsets=[0, 2**50]))
    ),
    "backwards.safetensors": lambda path, _: path.write_bytes(
        safetensors(one_tensor(data_offsets=[16, 0]), b"\0" * 16)
    ),
    "lying_shape.safetensors": lambda path, _: path.write_bytes(
        safetensors(one_tensor(shape=[2**40]), b"\0" * 16)
    ),
    "no_config.safetensors": lambda path, _: path.write_bytes(
        safetensors(one_tensor(), b"\0" * 16)
    ),
    "bad_config.safetensors": lambda path, _: path.write_bytes(
        safetensors(
            json.dumps(
                {
                    "__metadata__": {"config": "[1, 2]", "system": "voxel_gan"},
                    "cvae.x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
                }
            ).encode(),
            b"\0" * 16,
        )
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_bad_weights_are_named(
    refused: Callable[..., str], place: Path, trained: State, name: str
) -> None:
    WEIGHTS[name](place / name, trained)
    refused(*GENERATE, name, status=1, names=name)


def test_cut_weights_are_named(refused: Callable[..., str], model: Path) -> None:
    whole = model.read_bytes()
    for share in (0.1, 0.5, 0.99):
        model.write_bytes(whole[: int(len(whole) * share)])
        refused(*GENERATE, "model.pth", status=1, names="model.pth")


def test_flipped_bit_is_noticed(refused: Callable[..., str], model: Path) -> None:
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 16
    model.write_bytes(content)
    refused(*GENERATE, "model.pth", status=1, names="model.pth")


@pytest.mark.parametrize("name", ["missing.pth", "missing.safetensors", ".", "missing/run"])
def test_missing_weights_are_named(refused: Callable[..., str], name: str) -> None:
    refused(*GENERATE, name, status=1, names=name)


@pytest.mark.parametrize("name", ["pickle.pth", "other_system.pth", "lying_shape.safetensors"])
def test_evaluate_refuses_as_well(
    refused: Callable[..., str], place: Path, trained: State, name: str
) -> None:
    WEIGHTS[name](place / name, trained)
    refused(
        "voxel_gan", "evaluate", "--checkpoint", name, "--output", "report", status=1, names=name
    )


@pytest.mark.parametrize("name", ["missing", "pickle.pth", "text.pth", "other_system.pth"])
def test_resuming_refuses_as_well(
    refused: Callable[..., str], boxes: Path, trained: State, name: str
) -> None:
    if name in WEIGHTS:
        WEIGHTS[name](boxes.parent / name, trained)
    train = ("voxel_gan", "train", "--config", "tiny", "--dataset", "boxes")
    folders = ("runs", "runs/voxel_gan")
    refused(*train, "--resume_from", name, status=1, names=name, may_change=folders)

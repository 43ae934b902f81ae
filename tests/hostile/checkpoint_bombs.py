"""Checkpoints that ask for far more memory than they have bytes, and a process that opens them.

Run as `python checkpoint_bombs.py FOLDER`: writes each of `BOMBS` there, opens it as
`systems.from_checkpoint` does, and prints a line of JSON about each: what was said, the seconds,
and the megabytes that the process grew by meanwhile.
"""

import importlib
import json
import resource
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from triform import systems
from triform.base.errors import UserError
from triform.engine.checkpoints import checkpoint
from triform.layers.image_spec import ImageSpec
from triform.text.vocabulary import SPECIAL_TOKENS

ROOM = 4 * 2**30
"""Address space beyond what the process has at the start: a bomb that goes off stays small."""
Weights = dict[str, dict[str, Tensor]]


def settings(system: str, **groups: dict[str, Any]) -> dict[str, Any]:
    """A system's settings as plain data, with some of them changed."""
    config = importlib.import_module(f"triform.systems.{system}.config").Config()
    plain = config.model_dump(mode="json")
    for group, changed in groups.items():
        plain[group] |= changed
    return plain


def state(system: str, networks: Any, config: Any) -> dict[str, Any]:
    """What a checkpoint holds."""
    return {
        "system": system,
        "config": config,
        "networks": networks,
        "ema": {},
        "optimizers": {},
        "step": 1,
        "epoch": 1,
        "metadata": METADATA.get(system, ImageSpec(1, 28).metadata()),
    }


METADATA = {
    "clip": {"merges": []},
    "captioner": {
        "vocabulary": {"words": list(SPECIAL_TOKENS), "freq_threshold": 1},
        "captions": [],
    },
    "shap_e": {"cond_dim": 768},
    "text_to_image": {"channels": 4, "text_dim": 384, "text_encoder": ""},
}


LAYERS = {f"network.{2 * layer}.weight": torch.zeros(1, 1) for layer in range(5)}
HEAD = {"head.linear.weight": torch.zeros(1, 1)}
HUGE: dict[str, tuple[Weights, dict[str, Any]]] = {
    "autoencoder": ({"autoencoder": {}}, {"hidden_dims": [11_000, 11_000]}),
    "captioner": (
        {"captioner": {"feature_proj.weight": torch.zeros(1, 2048, 1, 1)}},
        {"encoder": "small", "encoder_width": 512, "encoder_blocks": 4, "decoder_dim": 4096},
    ),
    "clip": (
        {"clip": {}},
        {"text_width": 8192, "text_layers": 8},
    ),
    "cycle_gan": ({"a2b": {}, "b2a": {}}, {"width": 256, "levels": 2, "blocks": 8}),
    "dcgan": ({"generator": {}}, {"width": 1024, "latent_dim": 1024}),
    "diffusion": ({"unet": {}}, {"width": 768, "multipliers": [1, 2]}),
    "dqn": ({"q": LAYERS}, {"hidden_size": 10_000, "num_layers": 4}),
    "maml": ({"classifier": {}}, {"hidden_channels": 4096, "num_blocks": 3}),
    "protonet": ({"protonet": {}}, {"hidden_channels": 4096, "num_blocks": 3}),
    "reinforce": ({"policy": LAYERS}, {"hidden_size": 10_000, "num_layers": 4}),
    "retrieval": ({"images": HEAD, "points": {}}, {"image_width": 1024}),
    "shap_e": ({"prior": {}}, {"prior_width": 2048}),
    "shape_flow": ({"autoencoder": {}}, {"decoder_widths": [512, 2048]}),
    "style_gan": ({"generator": {}}, {"width": 1024}),
    "text_to_image": (
        {"vae": {}, "prior": {}, "generator": {}},
        {"prior_width": 2048, "prior_layers": 48, "prior_heads": 8},
    ),
    "vae": ({"vae": {}}, {"width": 1024, "blocks": 3}),
    "voxel_gan": ({"cvae": {}}, {"hidden_channels": 512}),
}
"""System -> weights that are as good as none, and settings of a network of a gigabyte or more."""


def huge(system: str) -> Callable[[Path], None]:
    """A file whose settings ask for a huge network."""

    def write(path: Path) -> None:
        networks, model = HUGE[system]
        checkpoint.save(path, state(system, networks, settings(system, model=model)))

    return write


def many_layers(path: Path) -> None:
    model = {"hidden_dims": [1] * 40_000}
    config = settings("autoencoder", model=model)
    checkpoint.save(path, state("autoencoder", {"autoencoder": {}}, config))


def a_million_layers(path: Path) -> None:
    config = settings("voxel_gan", model={"prior": "flow", "prior_layers": 10**6})
    checkpoint.save(path, state("voxel_gan", {"cvae": {}, "prior": {}}, config))


def a_thousand_million_layers(path: Path) -> None:
    config = settings("voxel_gan", model={"prior": "flow", "prior_layers": 10**9})
    checkpoint.save(path, state("voxel_gan", {"cvae": {}, "prior": {}}, config))


def original_with_a_layer_number(path: Path) -> None:
    tensors = {
        "encoder.conv1.weight": torch.zeros(1, 1, 4, 4, 4),
        f"encoder.conv{10**10}.weight": torch.zeros(1, 1, 4, 4, 4),
        "decoder.deconv1.weight": torch.zeros(1, 1, 4, 4, 4),
        "encoder.fc_mu.bias": torch.zeros(1),
        "encoder.fc_mu.weight": torch.zeros(1, 8),
        "decoder.fc.weight": torch.zeros(1, 2),
    }
    torch.save(tensors, path)


def generator(width: int) -> tuple[nn.Module, dict[str, Any]]:
    """A network of dcgan without memory, and its settings."""
    from triform.systems.dcgan.config import ModelConfig
    from triform.systems.dcgan.model import Generator

    with torch.device("meta"):
        network = Generator(ModelConfig(width=width), ImageSpec(1, 28))
    return network, settings("dcgan", model={"width": width})


def shown(network: nn.Module, show: Callable[[Tensor], Tensor]) -> Weights:
    """Tensors of the network's shapes."""
    return {"generator": {name: show(tensor) for name, tensor in network.state_dict().items()}}


def expanded(path: Path) -> None:
    """One number shown as a whole network that fits its settings."""
    network, config = generator(1024)
    networks = shown(network, lambda tensor: torch.zeros(()).expand(tensor.shape))
    checkpoint.save(path, state("dcgan", networks, config))


def shared(path: Path) -> None:
    """One megabyte shown as a thousand tensors."""
    storage = torch.zeros(2**18)
    networks = {"generator": {f"t{number}": storage.view(-1) for number in range(1000)}}
    checkpoint.save(path, state("dcgan", networks, settings("dcgan")))


def without_numbers(path: Path) -> None:
    """Tensors on the device `meta`, of a network that fits its settings."""
    network, config = generator(1024)
    checkpoint.save(path, state("dcgan", shown(network, lambda tensor: tensor), config))


def compressed(path: Path) -> None:
    """A member of 400 megabytes in less than one."""
    source = path.with_suffix(".source")
    checkpoint.save(source, state("dcgan", {"generator": {"a": torch.zeros(4)}}, {}))
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            if not member.endswith("data/0"):
                new.writestr(zipfile.ZipInfo(member), old.read(member))
                continue
            with new.open(member, "w") as file:
                for _ in range(100):
                    file.write(bytes(2**22))


def long_header(path: Path) -> None:
    """A header of 50 megabytes, of a million empty tensors."""
    entry = '"%08d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = "{" + ",".join(entry % number for number in range(800_000)) + "}"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())


def scales(path: Path) -> None:
    """Eight bits (1, N) by N scales would be (N, N)."""
    tensors = {"a": torch.zeros(1, 30_000, dtype=torch.int8), "a@scale": torch.ones(30_000)}
    checkpoint.export_weights(
        path,
        {"generator": tensors},
        settings("dcgan"),
        system="dcgan",
        metadata=ImageSpec(1, 28).metadata(),
    )


def metadata(text: str) -> Callable[[Path], None]:
    """A weights file with such settings."""

    def write(path: Path) -> None:
        header = json.dumps({"__metadata__": {"system": "dcgan", "config": text}}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header)

    return write


def laughs(path: Path) -> None:
    """A list of ten lists of ten lists ... , 30 deep."""
    level: list[Any] = [1] * 10
    for _ in range(30):
        level = [level] * 10
    config = settings("autoencoder") | {"model": {"hidden_dims": level}}
    torch.save(
        {
            "format": checkpoint.FORMAT,
            "version": checkpoint.VERSION,
            **state("autoencoder", {"autoencoder": {}}, config),
        },
        path,
    )


BOMBS: dict[str, Callable[[Path], None]] = {
    **{f"{system}.pth": huge(system) for system in HUGE},
    "many_layers.pth": many_layers,
    "a_million_layers.pth": a_million_layers,
    "a_thousand_million_layers.pth": a_thousand_million_layers,
    "original.pth": original_with_a_layer_number,
    "expanded.pth": expanded,
    "shared.pth": shared,
    "without_numbers.pth": without_numbers,
    "compressed.pth": compressed,
    "laughs.pth": laughs,
    "long_header.safetensors": long_header,
    "scales.safetensors": scales,
    "deep.safetensors": metadata('{"model":' + "[" * 100_000 + "]" * 100_000 + "}"),
    "infinite.safetensors": metadata('{"model": {"width": 1e999}}'),
    "long_number.safetensors": metadata('{"model": {"width": 1' + "0" * 4000 + "}}"),
}


def memory(field: str) -> int:
    """A field of this process's status, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def open_all(folder: Path, names: list[str]) -> None:
    """Open every bomb and say what happened."""
    torch.set_num_threads(1)
    for name in systems.names():  # imports are no part of what is measured
        _ = systems.load(name).system
    import timm  # noqa: F401

    limit = memory("VmSize") * 1024 + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name in names:
        path = folder / name
        BOMBS[name](path)
        Path("/proc/self/clear_refs").write_text("5")  # forget the highest use so far
        before, began = memory("VmRSS"), time.perf_counter()
        try:
            if name == "original.pth":
                systems.load("voxel_gan").system.Trained.from_checkpoint(path, "cpu")
            else:
                systems.from_checkpoint(path, "cpu")
            output = ""
        except UserError as error:
            output = str(error)
        except BaseException as error:
            output = f"{type(error).__name__} {str(error)[:200]}"
        grown = (memory("VmHWM") - before) / 1000
        seconds = round(time.perf_counter() - began, 2)
        line = {"name": name, "said": output, "grown": round(grown), "seconds": seconds}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        path.unlink()


if __name__ == "__main__":
    open_all(Path(sys.argv[1]), sys.argv[2:] or list(BOMBS))

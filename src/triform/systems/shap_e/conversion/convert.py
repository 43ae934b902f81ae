"""The verb `convert`: weights between Shap-E's own files, diffusers' and ours, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors

from triform.base.checksum import file_sha256
from triform.base.errors import UsageError, UserError
from triform.base.files import atomic_write, read_regular
from triform.base.plain_data import parse_json
from triform.base.settings.yaml_file import read_yaml
from triform.base.tensor_files import check_header, read_torch_file
from triform.engine.checkpoints.checkpoint import FORMAT, export_weights, load_weights
from triform.engine.checkpoints.trained import read_settings
from triform.systems.shap_e.config import Config, ModelConfig, TransmitterConfig
from triform.systems.shap_e.conversion.original_config import (
    transmitter_config,
    transmitter_from_shapes,
)
from triform.systems.shap_e.conversion.weight_names import (
    Tensors,
    is_original_prior,
    prior_from_original,
    prior_to_original,
    transmitter_from_original,
    transmitter_to_original,
)
from triform.systems.shap_e.trained import PRIOR, SYSTEM, TRANSMITTER, metadata_of
from triform.systems.shap_e.verb_config import ConvertConfig

OFFICIAL = {
    "transmitter.pt": "af02a0b85a8abdfb3919584b63c540ba175f6ad4790f574a7fef4617e5acdc3b",
    "vector_decoder.pt": "d7e7ebbfe3780499ae89b2da5e7c1354012dba5a6abfe295bed42f25c3be1b98",
    "text_cond.pt": "e6b4fa599a7b3c3b16c222d5f5fe56f9db9289ff0b6575fbe5c11bc97106aad4",
    "image_cond.pt": "cb8072c64bbbcf6910488814d212227de5db291780d4ea99c6152f9346cf12aa",
    "transmitter_config.yaml": "ffe1bcb405104a37d9408391182ab118a4ef313c391e07689684f1f62071605e",
}
"""Checksums of the published files, as Shap-E's own downloader has them."""
UNUSED = "unused"
"""Name of what has no counterpart here, so that nothing is lost."""
PREFIX = "transformer."
HEADS = {"text300M": 16, "image300M": 8}
IMAGE_VECTORS = 256
DIFFUSERS_CONFIG, DIFFUSERS_WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
MAX_CONFIG_BYTES = 2**20


@dataclass
class Content:
    """Weights of a file with our settings.

    Attributes:
        networks: `prior` in diffusers' names, `transmitter` in ours, `unused`.
        config: Settings.
        cond_shape: Vectors of a condition, and numbers of each.
    """

    networks: dict[str, Tensors]
    config: Config
    cond_shape: tuple[int, int] = (1, 1)
    kind: str = field(default="")


def convert(settings: ConvertConfig) -> dict[str, Any]:
    """Convert a file of weights.

    Returns:
        Kind, number of parameters, and files.

    Raises:
        UserError: Not such a file, another checksum, or parts that the target cannot hold.
    """
    content = read_any(settings)
    output = settings.output
    if output.suffix == ".safetensors":
        write_ours(content, output)
    elif output.suffix == ".pt":
        write_original(content, output)
    elif not output.suffix:
        write_diffusers(content, output)
    else:
        raise UsageError(f"--output {output}: a .safetensors file, a .pt file or a folder")
    tensors = [
        tensor
        for name, network in content.networks.items()
        if name != UNUSED
        for tensor in network.values()
    ]
    return {
        "from": content.kind,
        "networks": [name for name in content.networks if name != UNUSED],
        "parameters": sum(tensor.numel() for tensor in tensors),
        "output": str(output),
    }


def read_any(settings: ConvertConfig) -> Content:
    """Read weights of any of the three kinds.

    Raises:
        UserError: Not such a file, or an official name with another checksum.
    """
    path = settings.weights
    if path.is_dir() and (path / DIFFUSERS_CONFIG).is_file():
        return read_diffusers(path)
    if not path.is_file():
        raise UserError(f"{path}: not there, expected a file of weights or a folder of diffusers")
    check_official(path)
    if path.suffix == ".safetensors":
        return read_ours(path)
    tensors = read_torch_file(path, "file of weights")
    if isinstance(tensors, dict) and tensors.get("format") == FORMAT:
        return read_ours(path)
    if not isinstance(tensors, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in tensors.items()
    ):
        raise UserError(f"{path}: holds no tensors by name, expected weights of Shap-E")
    try:
        if is_original_prior(tensors):
            return prior_content(tensors, settings.heads)
        return transmitter_content(tensors, settings.original_config)
    except (ValueError, KeyError, RuntimeError, IndexError) as error:
        raise UserError(f"{path}: no weights of Shap-E: {error}") from error


def check_official(path: Path) -> None:
    """Refuse a file with an official name and another checksum.

    Raises:
        UserError: It is damaged, or another file.
    """
    expected = OFFICIAL.get(path.name)
    if expected and file_sha256(path) != expected:
        raise UserError(
            f"{path}: its sha256 is not that of the published {path.name} ({expected[:12]}...); "
            "download it again, or rename it if it is one of your own"
        )


def prior_content(tensors: Mapping[str, torch.Tensor], heads: int) -> Content:
    """A prior of Shap-E, with settings by the shapes of its tensors."""
    is_image = "wrapped.clip_embed.1.weight" in tensors
    kind = "image300M" if is_image else "text300M"
    width, channels = tensors["wrapped.input_proj.weight"].shape
    count = heads or max(1, HEADS[kind] * width // 1024)
    embed = tensors["wrapped.clip_embed.1.weight" if is_image else "wrapped.clip_embed.weight"]
    layers = sum(name.endswith("attn.c_qkv.weight") for name in tensors)
    model = ModelConfig(model_type=kind, prior_width=width, prior_layers=layers, prior_heads=count)
    config = Config(
        model=model, transmitter=latent_shape(len(tensors["wrapped.pos_emb"]), channels)
    )
    vectors = IMAGE_VECTORS if is_image else 1
    return Content(
        {PRIOR: prior_from_original(tensors, count)}, config, (vectors, embed.shape[1]), "Shap-E"
    )


def latent_shape(vectors: int, width: int) -> TransmitterConfig:
    """Settings of encoder and decoder with latents of this shape."""
    standard = TransmitterConfig()
    layers = standard.generated_layers
    if vectors % layers:
        raise ValueError(f"latents of {vectors} vectors, expected a multiple of {layers}")
    return standard.model_copy(update={"hidden": vectors // layers, "latent_width": width})


def transmitter_content(
    tensors: Mapping[str, torch.Tensor], original_config: Path | None
) -> Content:
    """Encoder and decoder of Shap-E, with settings by its YAML, or by shapes for a decoder."""
    networks, rest = transmitter_from_original(tensors)
    if original_config is not None:
        check_official(original_config)
        settings = transmitter_config(read_yaml(original_config), original_config)
    elif any(name.startswith("encoder.") for name in networks):
        raise UserError(
            "convert: transmitter.pt needs --original_config transmitter_config.yaml, which is "
            "published beside it: attention heads and sizes of batches do not follow from tensors"
        )
    else:
        settings = transmitter_from_shapes(networks)
    config = Config(transmitter=settings)
    return Content({TRANSMITTER: networks, UNUSED: rest}, config, (1, 1), "Shap-E")


def read_ours(path: Path) -> Content:
    """Our own weights."""
    weights = load_weights(path)
    if weights.system != SYSTEM:
        raise UserError(f"{path}: weights of system {weights.system}, not of {SYSTEM}")
    config = read_settings(weights.config, Config, weights.networks, path)
    if any(".lora_" in name for name in weights.networks.get(PRIOR, {})):
        raise UserError(f"{path}: holds LoRA, which Shap-E's files do not; use it as --checkpoint")
    networks = dict(weights.networks)
    if PRIOR in networks:
        networks[PRIOR] = {
            name.removeprefix(PREFIX): tensor for name, tensor in networks[PRIOR].items()
        }
    shape = (int(weights.metadata.get("cond_vectors", 1)), int(weights.metadata.get("cond_dim", 1)))
    return Content(networks, config, shape, "Triform")


def read_diffusers(folder: Path) -> Content:
    """A prior that diffusers saved."""
    path = folder / DIFFUSERS_WEIGHTS
    try:
        text = read_regular(folder / DIFFUSERS_CONFIG, MAX_CONFIG_BYTES)
        options = parse_json(text)
        check_header(path)
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{folder}: no prior of diffusers: {error}") from error
    if not isinstance(options, dict) or options.get("_class_name") != "PriorTransformer":
        raise UserError(f"{folder}: no PriorTransformer of diffusers")
    is_image = options.get("embedding_proj_norm_type") == "layer"
    heads, width = options["num_attention_heads"], tensors["proj_in.weight"].shape[0]
    model = ModelConfig(
        model_type="image300M" if is_image else "text300M",
        prior_width=width,
        prior_layers=options["num_layers"],
        prior_heads=heads,
    )
    vectors, channels = tensors["positional_embedding"].shape[1], tensors["proj_in.weight"].shape[1]
    cond_dim = tensors["embedding_proj.weight"].shape[1]
    config = Config(model=model, transmitter=latent_shape(vectors, channels))
    return Content(
        {PRIOR: tensors}, config, (IMAGE_VECTORS if is_image else 1, cond_dim), "diffusers"
    )


def write_ours(content: Content, path: Path) -> None:
    """Write our .safetensors."""
    networks = dict(content.networks)
    if PRIOR in networks:
        networks[PRIOR] = {f"{PREFIX}{k}": tensor for k, tensor in networks[PRIOR].items()}
    export_weights(
        path,
        networks,
        content.config.model_dump(mode="json"),
        system=SYSTEM,
        metadata=metadata_of(content.cond_shape),
    )


def write_original(content: Content, path: Path) -> None:
    """Write a .pt as Shap-E loads it.

    Raises:
        UserError: It would have to hold both prior and decoder.
    """
    networks = content.networks
    if PRIOR in networks and TRANSMITTER in networks:
        raise UserError(
            f"--output {path}: Shap-E keeps prior and decoder in two files; export one of them"
        )
    if PRIOR in networks:
        tensors = prior_to_original(networks[PRIOR], content.config.model.num_heads)
    else:
        tensors = transmitter_to_original(networks[TRANSMITTER], networks.get(UNUSED, {}))
    with atomic_write(path) as file:
        torch.save({name: tensor.clone() for name, tensor in tensors.items()}, file)


def write_diffusers(content: Content, folder: Path) -> None:
    """Write a folder that diffusers' `PriorTransformer.from_pretrained` reads.

    Raises:
        UserError: There is no prior.
    """
    if PRIOR not in content.networks:
        raise UserError(f"--output {folder}: diffusers has no encoder; only priors go there")
    model, transmitter = content.config.model, content.config.transmitter
    options = {
        "_class_name": "PriorTransformer",
        "num_attention_heads": model.num_heads,
        "attention_head_dim": model.prior_width // model.num_heads,
        "num_layers": model.prior_layers,
        "embedding_dim": transmitter.latent_width,
        "num_embeddings": transmitter.latent_vectors,
        "additional_embeddings": 0,
        "dropout": 0.0,
        "time_embed_act_fn": "gelu",
        "norm_in_type": "layer",
        "embedding_proj_norm_type": "layer" if model.model_type == "image300M" else None,
        "encoder_hid_proj_type": None,
        "added_emb_type": None,
        "time_embed_dim": 4 * model.prior_width,
        "embedding_proj_dim": content.cond_shape[1],
        "clip_embed_dim": 2 * transmitter.latent_width,
    }
    tensors = {
        name: tensor.contiguous().clone() for name, tensor in content.networks[PRIOR].items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / DIFFUSERS_WEIGHTS) as file:
        file.write(to_safetensors(tensors, {"format": "pt"}))
    with atomic_write(folder / DIFFUSERS_CONFIG, "w") as file:
        file.write(json.dumps(options, indent=2) + "\n")

"""Load networks by timm, open_clip or transformers: weights complete, errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from triform.base.errors import UserError
from triform.pretrained.named_models import IMAGE_ENCODER, Kind
from triform.pretrained.weight_files import as_safetensors


@contextlib.contextmanager
def missing_keys() -> Iterator[list[str]]:
    """Collect the names of weights that are missing from files loaded within the block.

    Both libraries load with `strict=False` and keep random numbers where a file has none. They
    log it at most; the result of `load_state_dict` names them reliably.
    """
    missing: list[str] = []
    original = nn.Module.load_state_dict

    def load(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        missing.extend(result.missing_keys)
        return result

    nn.Module.load_state_dict = load  # type: ignore[method-assign]
    try:
        yield missing
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]


def check_complete(name: str, missing: Sequence[str]) -> None:
    """Refuse incomplete weights.

    Raises:
        UserError: A weight is missing.
    """
    if missing:
        raise UserError(
            f"{IMAGE_ENCODER} {name!r}: the weights lack {len(missing)} of its parts, "
            f"such as {missing[0]}; they are another network's"
        )


@contextlib.contextmanager
def weights_overlay(weights: Path | None) -> Iterator[dict[str, Any]]:
    """Config overlay that makes timm load its weights from this file, converted to safetensors.

    Raises:
        UserError: The file cannot be read, or holds more than tensors.
    """
    if weights is None:
        yield {}
        return
    with as_safetensors(weights) as file:
        # Without `source` the file counts; without `custom_load` it is no archive of numpy.
        yield {"file": str(file), "source": "", "custom_load": False}


@contextlib.contextmanager
def one_line_errors(
    name: str, source: str | Path, loaded_from: str | Path = "", kind: Kind = IMAGE_ENCODER
) -> Iterator[None]:
    """Raise every error of a library that loads an encoder as one line.

    Args:
        name: Of the encoder.
        source: The folder, file or name that the user gave.
        loaded_from: The copy that the library was given instead.
        kind: Of encoder.

    Raises:
        UserError: The library failed, in whatever way.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        path = str(loaded_from).removeprefix("local-dir:")
        text = str(error).replace(path or str(source), str(source))
        reason = " ".join(text.split())[:160]
        raise UserError(
            f"{kind} {name!r}: {source} cannot be read: {type(error).__name__}: {reason}"
        ) from error


def create_timm_network(
    name: str,
    source: str,
    *,
    pretrained: bool,
    weights: Path | None = None,
    folder: Path | None = None,
    pooled: bool = True,
) -> tuple[nn.Module, dict[str, Any], Any]:
    """A network of timm without its classifier; reproducible where its weights are random.

    Args:
        name: Name that the user gave.
        source: Name that timm knows.
        pretrained: Load weights.
        weights: File of them; without it those of `folder`.
        folder: Of which `source` is a checked copy.
        pooled: With its last pooling.

    Returns:
        The network, its data config, and the transform of images that the config says.

    Raises:
        UserError: The library failed, or weights are missing.
    """
    import timm

    options: dict[str, Any] = {} if pooled else {"global_pool": ""}
    with (
        one_line_errors(name, folder or source, source),
        torch.random.fork_rng(devices=[]),
        missing_keys() as missing,
        weights_overlay(weights) as overlay,
    ):
        torch.manual_seed(0)
        model = timm.create_model(
            source, pretrained=pretrained, num_classes=0, pretrained_cfg_overlay=overlay, **options
        )
        config = timm.data.resolve_model_data_config(model)
        transform = timm.data.create_transform(**config, is_training=False)
    check_complete(name, missing)
    return model, config, transform


def import_open_clip(encoder: str) -> Any:
    """Import open_clip.

    Args:
        encoder: What needs it, for the message.

    Raises:
        UserError: It is not installed.
    """
    try:
        import open_clip
    except ModuleNotFoundError as error:
        if error.name != "open_clip":
            raise
        raise UserError(f"{encoder} needs the extra `clip`: pip install 'triform[clip]'") from None
    return open_clip

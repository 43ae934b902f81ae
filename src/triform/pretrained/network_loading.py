"""Load networks by timm, open_clip or transformers: weights complete, errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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

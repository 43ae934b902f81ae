"""What loading a network by timm or open_clip needs: whole weights, errors in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from triform.base.errors import UserError
from triform.pretrained.named_models import IMAGE_ENCODER as KIND
from triform.pretrained.weight_files import as_safetensors


@contextlib.contextmanager
def missing_keys() -> Iterator[list[str]]:
    """The weights that files loaded inside did not have.

    Both libraries load with `strict=False` and keep random numbers where a file has none. They
    say so in a log message at most; the result of `load_state_dict` says it reliably.
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


def check_whole(name: str, missing: Sequence[str]) -> None:
    """Refuse weights that lack parts of the network.

    Raises:
        UserError: Something is missing.
    """
    if missing:
        raise UserError(
            f"{KIND} {name!r}: the weights lack {len(missing)} of its parts, such as {missing[0]}; "
            "they are another network's"
        )


@contextlib.contextmanager
def weights_overlay(weights: Path | None) -> Iterator[dict[str, Any]]:
    """What timm has to be told to take its weights from this file, which it gets as safetensors.

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
def one_line_errors(name: str, source: str | Path, seen: str = "") -> Iterator[None]:
    """Put the errors of broken files and names, which are of every kind, into one line.

    Args:
        name: Of the encoder.
        source: What the user knows.
        seen: What the library was given in its place.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        text = str(error).replace(seen.partition(":")[2] or str(source), str(source))
        reason = " ".join(text.split())[:160]
        raise UserError(
            f"{KIND} {name!r}: {source} cannot be read: {type(error).__name__}: {reason}"
        ) from error

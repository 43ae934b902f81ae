"""Fingerprint of a network's weights."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def state_fingerprint(state: Mapping[str, Tensor], *extra: str) -> str:
    """Hash of a state dict, 32 hex digits: changes with any weight, name, shape or type.

    Args:
        state: State dict; tensors may lie on any device.
        extra: Other inputs of the hash, such as a file of the tokenizer.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    for text in extra:
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()[:32]

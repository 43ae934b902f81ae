r"""Convert a weights file of an older version: renamed tensors, settings and metadata.

    python scripts/convert_weights.py OLD.safetensors NEW.safetensors

`scripts/weight_names/SYSTEM.yaml` holds what was renamed:

    tensors:             # regular expressions, in order, on "network.name"
      - ['\.look\.ask\.', '.attention.qkv.']
    settings:            # dotted name -> new dotted name; null drops it
      metrics.num_pictures: metrics.num_images
    values:              # dotted name -> {old value: new value}
      training.kind: {old: new}
    metadata:            # what was a tensor and is metadata now: name -> where it stands
      channels: {tensor: generator.facts.shape, index: 0}
      classes: {tensor: generator.facts.names, text: lines}    # bytes of UTF-8; or text: json
      vocabulary: {tensor: captioner.words, text: json, keys: [words, freq_threshold]}  # of a list
    drop:                # regular expressions of tensors that are left out
      - '\.facts\.'
    system: new_name     # where the system itself is called otherwise

No number changes: a test compares what the networks of both files give out.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from triform.base.files import atomic_write
from triform.engine.checkpoints.checkpoint import VERSION

FOLDER = Path(__file__).parent / "weight_names"


def rules_of(system: str) -> dict[str, Any]:
    """What was renamed in a system; empty where nothing was."""
    path = FOLDER / f"{system}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def metadata_of(tensors: dict[str, Tensor], rules: dict[str, Any]) -> dict[str, Any]:
    """Metadata that older versions kept in tensors."""
    found: dict[str, Any] = {}
    for name, rule in (rules.get("metadata") or {}).items():
        tensor = tensors.get(rule["tensor"])
        if tensor is None:
            continue
        if "index" in rule:
            found[name] = int(tensor[rule["index"]])
            continue
        text = bytes(tensor.to(torch.uint8).tolist()).decode()
        if rule["text"] == "json":
            content = json.loads(text)
            keys = rule.get("keys")
            found[name] = dict(zip(keys, content, strict=True)) if keys else content
        else:
            found[name] = text.split("\n") if text else []
    return found


def renamed_tensors(tensors: dict[str, Tensor], rules: dict[str, Any]) -> dict[str, Tensor]:
    """Tensors under their new names."""
    dropped = rules.get("drop") or ()
    remaining = {
        name: tensor
        for name, tensor in tensors.items()
        if not any(re.search(pattern, name) for pattern in dropped)
    }
    renamed = {}
    for name, tensor in remaining.items():
        for pattern, replacement in rules.get("tensors", ()):
            name = re.sub(pattern, replacement, name)
        renamed[name] = tensor
    if len(renamed) != len(remaining):
        raise ValueError("two tensors got the same name")
    return renamed


def renamed_settings(settings: dict[str, Any], rules: dict[str, Any]) -> dict[str, Any]:
    """Settings under their new names, with their new values."""
    for old, new in (rules.get("settings") or {}).items():
        group, leaf = _group(settings, old)
        if leaf in group:
            value = group.pop(leaf)
            if new is not None:
                target, name = _group(settings, new)
                target[name] = value
    for dotted, new_values in (rules.get("values") or {}).items():
        group, leaf = _group(settings, dotted)
        if leaf in group:
            group[leaf] = new_values.get(group[leaf], group[leaf])
    return settings


def _group(settings: dict[str, Any], dotted: str) -> tuple[dict[str, Any], str]:
    *groups, leaf = dotted.split(".")
    for name in groups:
        settings = settings.setdefault(name, {})
    return settings, leaf


def convert(source: Path, target: Path) -> None:
    """Write a weights file under the present names."""
    with safe_open(source, framework="pt") as file:
        header = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    rules = rules_of(header["system"])
    header["system"] = rules.get("system", header["system"])
    header["version"] = str(VERSION)
    header["metadata"] = json.dumps(metadata_of(tensors, rules), ensure_ascii=False)
    if "config" in header:
        settings = renamed_settings(json.loads(header["config"]), rules)
        header["config"] = json.dumps(settings, ensure_ascii=False)
    with atomic_write(target) as file:
        file.write(save(renamed_tensors(tensors, rules), header))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="weights of the older version")
    parser.add_argument("target", type=Path, help="where the converted weights go")
    args = parser.parse_args()
    convert(args.source, args.target)


if __name__ == "__main__":
    main()

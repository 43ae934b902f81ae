"""Put metadata of a run into shipped weights of the same system; no tensor changes.

    python scripts/replace_metadata.py shape_flow RUN proportions

For what `generate` knows of the training shapes, where the weights themselves stay.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save

from triform.base.checksum import file_sha256
from triform.base.files import atomic_write
from triform.engine.checkpoints.checkpoint import load_weights
from triform.engine.checkpoints.initial_weights import find_initial_weights
from triform.pretrained.shipped_weights import CHECKSUMS, FOLDER


def replace_metadata(name: str, entries: Mapping[str, Any]) -> None:
    """Replace entries in the metadata of shipped weights, and note their new checksum."""
    path = FOLDER / f"{name}.safetensors"
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    known = json.loads(header.get("metadata", "{}"))
    content = save(load_file(path), {**header, "metadata": json.dumps({**known, **entries})})
    with atomic_write(path) as file:
        file.write(content)
    checksums = json.loads((FOLDER / CHECKSUMS).read_text("utf-8"))
    checksums[name] = file_sha256(path)
    with atomic_write(FOLDER / CHECKSUMS, "w") as file:
        file.write(json.dumps(checksums, indent=2, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="what the weights are called")
    parser.add_argument("run", help="the run")
    parser.add_argument("entries", nargs="+", help="names of metadata")
    args = parser.parse_args()
    path = find_initial_weights(args.run, args.name)
    metadata = load_weights(path).metadata
    if missing := [name for name in args.entries if name not in metadata]:
        sys.exit(f"{path}: there is no {missing[0]} in its metadata; it has {', '.join(metadata)}")
    replace_metadata(args.name, {name: metadata[name] for name in args.entries})


if __name__ == "__main__":
    main()

"""Put the weights of a run where the package finds them, and note their checksum.

python scripts/ship_weights.py [--last] [--eight_bit] RUN NAME [NETWORK ...]

The best by what was watched, or those of the last step; in half precision, or in eight bits.
"""

import json
import subprocess
import sys

from triform.base.checksum import file_sha256
from triform.base.files import atomic_write
from triform.pretrained.weights import CHECKSUMS, FOLDER

LARGEST = 10_000_000


def main(*words: str) -> None:
    run, name, *networks = (word for word in words if not word.startswith("--"))
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{name}.safetensors"
    command = [sys.executable, "-m", "triform", "runs", "export", run]
    command += ["--eight_bit" if "--eight_bit" in words else "--half"]
    command += ["--checkpoint", "last"] if "--last" in words else []
    kept = ["--networks", *networks] if networks else []
    subprocess.run([*command, "--output", str(target), *kept], check=True)
    if (size := target.stat().st_size) > LARGEST:
        sys.exit(f"{target} has {size} bytes, more than {LARGEST}: too large to ship")
    table = FOLDER / CHECKSUMS
    known = json.loads(table.read_text("utf-8")) if table.is_file() else {}
    known[name] = file_sha256(target)
    with atomic_write(table, "w") as file:
        file.write(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

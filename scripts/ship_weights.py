"""Put the weights of a run where the package finds them, and note their checksum."""

import argparse
import json
import subprocess
import sys

from triform.base.checksum import file_sha256
from triform.base.files import atomic_write
from triform.pretrained.shipped_weights import CHECKSUMS, FOLDER

MAX_BYTES = 25_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="the run, as `triform runs export` takes it")
    parser.add_argument("name", help="what the weights are called")
    parser.add_argument("networks", nargs="*", help="networks to keep; none means all")
    parser.add_argument("--last", action="store_true", help="those of the last step, not the best")
    parser.add_argument("--eight_bit", action="store_true", help="not half precision: eight bits")
    args = parser.parse_intermixed_args()
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{args.name}.safetensors"
    command = [sys.executable, "-m", "triform", "runs", "export", args.run]
    command += ["--eight_bit" if args.eight_bit else "--half"]
    command += ["--checkpoint", "last"] if args.last else []
    networks = ["--networks", *args.networks] if args.networks else []
    subprocess.run([*command, "--output", str(target), *networks], check=True)
    if (size := target.stat().st_size) > MAX_BYTES:
        sys.exit(f"{target} has {size} bytes, more than {MAX_BYTES}: too large to ship")
    table = FOLDER / CHECKSUMS
    checksums = json.loads(table.read_text("utf-8")) if table.is_file() else {}
    checksums[args.name] = file_sha256(target)
    with atomic_write(table, "w") as file:
        file.write(json.dumps(checksums, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

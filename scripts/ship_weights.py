"""Put the weights of a run where the package finds them, and note their checksum."""

import argparse
import json
import subprocess
import sys

from triform.base.checksum import file_sha256
from triform.base.files import atomic_write
from triform.pretrained.weights import CHECKSUMS, FOLDER

LARGEST = 10_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="the run, as `triform runs export` takes it")
    parser.add_argument("name", help="what the weights are called")
    parser.add_argument("networks", nargs="*", help="networks to keep; none means all")
    parser.add_argument("--last", action="store_true", help="those of the last step, not the best")
    parser.add_argument("--eight_bit", action="store_true", help="not half precision: eight bits")
    given = parser.parse_intermixed_args()
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{given.name}.safetensors"
    command = [sys.executable, "-m", "triform", "runs", "export", given.run]
    command += ["--eight_bit" if given.eight_bit else "--half"]
    command += ["--checkpoint", "last"] if given.last else []
    kept = ["--networks", *given.networks] if given.networks else []
    subprocess.run([*command, "--output", str(target), *kept], check=True)
    if (size := target.stat().st_size) > LARGEST:
        sys.exit(f"{target} has {size} bytes, more than {LARGEST}: too large to ship")
    table = FOLDER / CHECKSUMS
    known = json.loads(table.read_text("utf-8")) if table.is_file() else {}
    known[given.name] = file_sha256(target)
    with atomic_write(table, "w") as file:
        file.write(json.dumps(known, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

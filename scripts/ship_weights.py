"""Put the weights of a run where the package finds them, and note their checksum."""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from safetensors import safe_open
from safetensors.torch import load_file, save

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
    parser.add_argument(
        "--take",
        nargs=2,
        metavar=("NETWORK", "RUN"),
        help="a network of another run in the place of this run's: stages that were trained side "
        "by side",
    )
    args = parser.parse_intermixed_args()
    FOLDER.mkdir(exist_ok=True)
    target = FOLDER / f"{args.name}.safetensors"
    export(args.run, target, args.networks, args)
    if args.take:
        with TemporaryDirectory() as folder:
            other = Path(folder) / "other.safetensors"
            export(args.take[1], other, args.take[:1], args)
            replace_network(target, other, args.take[0])
    if (size := target.stat().st_size) > MAX_BYTES:
        sys.exit(f"{target} has {size} bytes, more than {MAX_BYTES}: too large to ship")
    table = FOLDER / CHECKSUMS
    checksums = json.loads(table.read_text("utf-8")) if table.is_file() else {}
    checksums[args.name] = file_sha256(target)
    with atomic_write(table, "w") as file:
        file.write(json.dumps(checksums, indent=2, sort_keys=True) + "\n")


def export(run: str, target: Path, networks: list[str], args: argparse.Namespace) -> None:
    """Export networks of a run; none means all."""
    command = [sys.executable, "-m", "triform", "runs", "export", run, "--output", str(target)]
    command += ["--eight_bit" if args.eight_bit else "--half"]
    command += ["--checkpoint", "last"] if args.last else []
    subprocess.run([*command, *(["--networks", *networks] if networks else [])], check=True)


def replace_network(target: Path, other: Path, network: str) -> None:
    """Put the tensors of a network in the place of those of the same network in a file."""
    with safe_open(target, framework="pt") as file:
        header = file.metadata()
    tensors = {
        name: tensor
        for name, tensor in load_file(target).items()
        if not name.startswith(f"{network}.")
    }
    with atomic_write(target) as file:
        file.write(save(tensors | load_file(other), header))


if __name__ == "__main__":
    main()

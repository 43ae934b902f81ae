"""A program that trains a toy, for tests that kill it or start it several times over.

Usage: python train_toy.py TOY FOLDER [NAME=VALUE ...] [delay=SECONDS] [plain=true]
       python train_toy.py --serve    reads such lines and runs each in a process of its own
"""

import os
import shlex
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import toy_systems
import yaml

from triform.engine.fit import fit


def main(arguments: list[str]) -> None:
    """Train as told."""
    name, folder, *words = arguments
    changes = {key: yaml.safe_load(value) for key, value in (word.split("=", 1) for word in words)}
    delay = changes.pop("delay", 0)
    plain = changes.pop("plain", False)
    config = toy_systems.toy_config(Path(folder), changes)
    toy = toy_systems.TOYS[name](config, plain)
    if delay:
        step = toy.step
        toy.step = lambda batch, update: (time.sleep(delay), step(batch, update))[1]
    result = fit(toy)
    sys.stdout.write(f"{result.run_dir}\n")


def serve() -> None:
    """CommandResult each line with the process that trains, then with how it ended.

    Importing torch takes seconds; a process forked from this one has it already.
    """
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            status = 1
            try:
                os.setsid()
                os.dup2(2, 1)
                main(shlex.split(line))
                status = 0
            except BaseException as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
            finally:
                os._exit(status)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        main(sys.argv[1:])

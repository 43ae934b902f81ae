"""Damages real files of every kind and hands each to its reader, for as long as one likes.

    python scripts/fuzz_readers.py --minutes 60 --seed 0 --report report.md

Each input runs in a process of its own with 2 GB of memory and 20 seconds, in a folder of its own.
It may be read, or refused in one line; anything else is a finding: another exception, a signal, too
much time or memory, a control character on the terminal, and whatever is written, changed, started,
connected to or read outside of the folder. `--only NUMBER` repeats one input of a seed.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORK = Path(tempfile.mkdtemp(prefix="triform-fuzz-"))
os.environ.update(
    HF_HUB_OFFLINE="1",
    OMP_NUM_THREADS="1",
    # Threads do not survive the fork of a child.
    NUMBA_NUM_THREADS="1",
    NUMBA_THREADING_LAYER="workqueue",
    MPLBACKEND="agg",
    TRIFORM_CACHE=str(WORK / "made" / "cache"),
    MPLCONFIGDIR=str(WORK / "caches"),
)
for folder in ("tests/fuzz", "tests/hostile", "tests/geometry", "src"):
    sys.path.insert(0, str(ROOT / folder))


def main() -> int:
    """Run the fuzzer; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="a Markdown file; findings go beside it")
    parser.add_argument("--readers", nargs="*", default=[], help="these alone")
    parser.add_argument("--only", type=int, nargs="*", default=[], help="inputs to repeat")
    parser.add_argument("--no_training", action="store_true", help="no tiny checkpoints as seeds")
    parser.add_argument(
        "--furniture",
        type=Path,
        help="folder of .sh3f files",
        default=Path(os.environ.get("TRIFORM_FURNITURE", ROOT / "datasets" / "sweethome3d")),
    )
    options = parser.parse_args()

    import shutil

    from fuzz_loop import Fuzzer, loop, report
    from fuzz_readers import READERS
    from fuzz_seeds import seeds, train_tiny

    def say(line: str) -> None:
        print(line, flush=True)

    made = WORK / "made"
    made.mkdir()
    (WORK / "caches").mkdir(exist_ok=True)
    if not options.no_training:
        say("training tiny systems, whose checkpoints are seeds")
        train_tiny(made)
    found = [
        each
        for each in seeds(made, options.furniture if options.furniture.is_dir() else None)
        if not options.readers or each.reader in options.readers
    ]
    say(
        f"{len(found)} seeds, {sum(len(each.victims) for each in found)} files to damage; in {WORK}"
    )
    fuzzer = Fuzzer(found, READERS, WORK / "run", options.seed, (WORK / "caches",))
    fuzzer.warm()
    for line in fuzzer.check_seeds():
        say(f"seed not read: {line}")
    numbers = options.only or loop(fuzzer, options.minutes, say)
    for number in numbers:
        name, victim, outcome = fuzzer.try_one(number)
        if outcome.is_finding or options.only:
            last = (outcome.text.strip().splitlines() or [""])[-1][:160]
            say(f"{number}: {name}, {victim}: {outcome.kind}: {last!a}")
    text = report(
        fuzzer, options.minutes, " ".join(["python scripts/fuzz_readers.py", *sys.argv[1:]])
    )
    say(text)
    if options.report:
        options.report.write_text(text, encoding="utf-8")
        kept = WORK / "run" / "findings"
        if kept.is_dir():
            shutil.copytree(kept, options.report.with_suffix(".findings"), dirs_exist_ok=True)
    else:
        say(f"findings, if any, are in {WORK}")
        return 1 if fuzzer.findings.found else 0
    os.chdir(ROOT)
    shutil.rmtree(WORK, ignore_errors=True)
    return 1 if fuzzer.findings.found else 0


if __name__ == "__main__":
    sys.exit(main())

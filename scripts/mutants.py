"""Mutation testing: mutate the source, one site at a time, and count the mutants that tests kill.

Changes are made by cosmic-ray in a copy of the repository; the repository itself stays as it is.
"""

import argparse
import ast
import fnmatch
import os
import platform
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import mutants_operators
from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import OPERATOR_PROVIDERS, get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, WorkItem
from mutants_report import Outcome, why_equivalent, write_report
from mutants_runner import changes_nothing, passes, seconds_of

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/triform")
AREAS = {
    "metrics": "metrics/*.py",
    "losses": "losses/*.py",
    "evaluation": "systems/*/evaluation*.py",
    "engine": "engine/*.py",
    "split": "datasets/split.py",
}
LONGEST = 1200.0
"""Seconds for the tests of one unchanged folder."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=0, help="sites to mutate; 0 takes them all")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample of sites")
    parser.add_argument("--areas", nargs="+", default=[*AREAS], choices=[*AREAS])
    parser.add_argument("--files", default="*", help="only files below the package like this")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "mutants.md")
    args = parser.parse_args()
    os.nice(max(0, 10 - os.nice(0)))
    OPERATOR_PROVIDERS["triform"] = mutants_operators.Provider()
    with tempfile.TemporaryDirectory(prefix="triform-mutants-") as folder:
        copy = copied(Path(folder) / "triform")
        os.chdir(copy)
        os.environ |= {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
        area_of = {
            path: area
            for area in args.areas
            for path in sorted(PACKAGE.glob(AREAS[area]))
            if fnmatch.fnmatch(str(path.relative_to(PACKAGE)), args.files)
        }
        with use_db(str(Path(folder) / "session.sqlite"), WorkDB.Mode.create) as session:
            init(list(area_of), session, {})
            sites = selected(list(session.work_items), args.sample, args.seed)
            outcomes = list(tried(sites, area_of, Path(folder) / "durations.json"))
    title = f"SAMPLE={args.sample} SEED={args.seed}" if args.sample else ""
    areas = "" if args.areas == [*AREAS] else f"AREAS='{' '.join(args.areas)}'"
    command = " ".join(filter(None, ["make mutants", title, areas]))
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    write_report(args.report, outcomes, f"{command}` ({machine}, {time.strftime('%Y-%m-%d')})")
    survived = sum(not mutant.killed and not mutant.reason for mutant in outcomes)
    print(f"{len(outcomes)} mutants, {survived} survived: {args.report}")


def copied(target: Path) -> Path:
    """Copy every file that git knows or would add, and point to the furniture."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for location in (ROOT / ".cache" / "sweethome3d", ROOT / "datasets" / "sweethome3d"):
        if location.is_dir():
            os.environ.setdefault("TRIFORM_FURNITURE", str(location))
    return target


def selected(items: list[WorkItem], sample: int, seed: int) -> list[MutationSpec]:
    """One mutation of each site, or of a random sample of sites."""
    annotations = {}
    sites: dict[tuple[str, tuple[int, int]], list[MutationSpec]] = {}
    for item in items:
        (change,) = item.mutations
        path = change.module_path
        if path not in annotations:
            annotations[path] = list(annotated(ast.parse(path.read_text(encoding="utf-8"))))
        start = tuple(change.start_pos)
        if not any(first <= start < last for first, last in annotations[path]):
            sites.setdefault((str(path), start), []).append(change)
    dice = random.Random(seed)
    picked = [dice.choice(sorted(sites[key], key=str)) for key in sorted(sites)]
    dice.shuffle(picked)
    return picked[: sample or None]


def annotated(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Positions of annotations: a mutation there changes nothing at run time."""
    for node in ast.walk(tree):
        for found in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if found is not None:
                end = found.end_lineno, found.end_col_offset
                yield (found.lineno, found.col_offset), end


def tried(
    changes: list[MutationSpec], area_of: dict[Path, str], durations: Path
) -> Iterator[Outcome]:
    """Run the tests of each change; those of an unchanged source have to pass before."""
    passed: set[str] = set()
    for number, change in enumerate(changes, 1):
        path = change.module_path
        source = path.read_text(encoding="utf-8").splitlines()[change.start_pos[0] - 1].strip()
        operator = get_operator(change.operator_name)()
        killed = False
        for tests in tests_of(path):
            missing = [test for test in tests if test not in passed]
            if not passes(missing, LONGEST, durations, quiet=False):
                sys.exit(f"{' '.join(missing)}: the tests fail before anything is changed")
            passed.update(missing)
            with use_mutation(path, operator, change.occurrence) as (before, after):
                if after is None or changes_nothing(before, after):
                    break
                killed = not passes(tests, 60 + 4 * seconds_of(tests, durations), durations)
            if killed:
                break
        if after is None or changes_nothing(before, after):
            continue
        pairs = zip(before.splitlines(), after.splitlines(), strict=False)
        line = next((new.strip() for old, new in pairs if old != new), "")
        kind = change.operator_name.partition("/")[2]
        location = str(path.relative_to(PACKAGE))
        mutant = Outcome(
            area=area_of[path],
            location=f"{location}:{change.start_pos[0]}",
            kind=kind,
            before=source,
            after=line or "(removed)",
            killed=killed,
            reason=why_equivalent(location, source, kind),
        )
        status = "killed" if mutant.killed else "equivalent" if mutant.reason else "SURVIVED"
        print(
            f"{number}/{len(changes)} {status} {mutant.location} {kind}: {mutant.after}", flush=True
        )
        yield mutant


def tests_of(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tests that can notice a change of a module: those nearest to it, and the others.

    All are in the mirrored folder. Nearest are the module's own and those that name it; in small
    rooms there are no others.
    """
    mirrored = Path("tests") / path.relative_to(PACKAGE)
    first = mirrored.parent / f"test_{path.name}"
    module = ".".join(path.with_suffix("").parts[1:])
    files = sorted(mirrored.parent.rglob("test_*.py"))
    nearest = [file for file in files if file == first or names(file, module)]
    is_small = path.parent.name in ("metrics", "losses", "datasets") and nearest
    others = [] if is_small else [file for file in files if file not in nearest]
    return tuple(map(str, nearest)), tuple(map(str, others))


def names(file: Path, module: str) -> bool:
    """Whether a test imports a module."""
    folder, _, name = module.rpartition(".")
    text = file.read_text(encoding="utf-8")
    return module in text or re.search(rf"from {folder} import .*\b{name}\b", text) is not None


if __name__ == "__main__":
    main()

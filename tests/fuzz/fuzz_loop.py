"""The loop: a seed, its damage, a child; what is found is kept with the number that repeats it."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fuzz_child import Outcome, run
from fuzz_mutations import mutate
from fuzz_seeds import Seed

SLOW = ("library, added to",)
CANARY = "secret of somebody else"


@dataclass
class Count:
    """Of one reader."""

    inputs: int = 0
    refused: int = 0
    read: int = 0
    findings: int = 0
    seconds: float = 0.0


@dataclass
class Findings:
    """What a run has come to."""

    counts: dict[str, Count] = field(default_factory=dict)
    found: list[dict[str, object]] = field(default_factory=list)
    places: Counter[str] = field(default_factory=Counter)


class Fuzzer:
    """Damages seeds and hands them to their readers.

    Args:
        seeds: what is damaged.
        readers: name -> function of a folder.
        work: an empty folder; findings stay in `work/findings`.
        seed: number that the whole run depends on.
        caches: folders that libraries keep things in.
    """

    def __init__(
        self,
        seeds: Sequence[Seed],
        readers: dict[str, Callable[[Path], object]],
        work: Path,
        seed: int,
        caches: tuple[Path, ...] = (),
    ) -> None:
        self._seeds: dict[str, list[Seed]] = {}
        for each in seeds:
            self._seeds.setdefault(each.reader, []).append(each)
        # Readers that start processes of their own take seconds each: they get fewer turns.
        self._turns = [
            name for name in sorted(self._seeds) for _ in range(1 if name in SLOW else 4)
        ]
        random.Random(seed).shuffle(self._turns)
        self._readers, self._work, self._seed, self._caches = readers, work, seed, caches
        self.findings = Findings({name: Count() for name in self._seeds})
        self._canary = work / "canary"
        self._canary.mkdir(parents=True)
        for name in ("canary", "secret.png"):
            (self._canary / name).write_text(CANARY)
        self._before = self._outside()

    def warm(self) -> None:
        """Use every reader once in this process, so that no child imports or compiles anew."""
        before = Path.cwd()
        for name, seeds in self._seeds.items():
            folder = self._lay(seeds[0].tree, seeds[0].victims[0])
            os.chdir(folder)
            with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                self._readers[name](folder)
            os.chdir(before)
        self._before = self._outside()
        # What is there now is not looked through, and thus not copied, by every child.
        gc.collect()
        gc.freeze()

    def check_seeds(self) -> list[str]:
        """Which seeds are not read as they are: damage to them would show nothing."""
        wrong = []
        for name, seeds in self._seeds.items():
            for each in seeds:
                folder = self._lay(each.tree, each.victims[0])
                outcome = run(self._readers[name], folder, self._caches)
                shutil.rmtree(folder, ignore_errors=True)
                if outcome.kind != "read":
                    wrong.append(
                        f"{name}: {each.victims[0]}: {outcome.kind}: {outcome.text[-900:]}"
                    )
        return wrong

    def try_one(self, number: int) -> tuple[str, str, Outcome]:
        """Input `number` of this run: its reader, the damaged file, and what came of it."""
        chance = random.Random(f"{self._seed}:{number}")
        name = self._turns[number % len(self._turns)]
        each = chance.choice(self._seeds[name])
        victim = chance.choice(each.victims)
        tree = {**each.tree, victim: mutate(each.tree[victim], victim, chance)}
        folder = self._lay(tree, victim)
        outcome = run(self._readers[name], folder, self._caches)
        if (after := self._outside()) != self._before:
            outcome = Outcome(
                "touched", f"outside changed: {after ^ self._before}", outcome.seconds
            )
            self._before = after
        self._note(number, name, victim, outcome, folder)
        shutil.rmtree(folder, ignore_errors=True)
        return name, victim, outcome

    def _lay(self, tree: dict[str, bytes], victim: str) -> Path:
        """A fresh folder with the files of a seed."""
        folder = self._work / "input"
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in {**tree, ".victim": victim.encode()}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    def _outside(self) -> frozenset[tuple[str, int, int]]:
        """What lies beside the folder of an input: names, sizes, times."""
        found = []
        for path in [*self._work.iterdir(), *self._canary.iterdir()]:
            if path.name not in ("input", "findings"):
                status = path.lstat()
                found.append((str(path), status.st_size, status.st_mtime_ns))
        return frozenset(found)

    def _note(self, number: int, name: str, victim: str, outcome: Outcome, folder: Path) -> None:
        count = self.findings.counts[name]
        count.inputs += 1
        count.seconds += outcome.seconds
        count.read += outcome.kind == "read"
        count.refused += outcome.kind == "refused"
        if not outcome.is_finding:
            return
        count.findings += 1
        position = _place(outcome)
        self.findings.places[f"{name}: {position}"] += 1
        row = {
            "seed": self._seed,
            "number": number,
            "reader": name,
            "file": victim,
            "kind": outcome.kind,
            "place": position,
            "text": outcome.text,
            "seconds": outcome.seconds,
        }
        self.findings.found.append(row)
        if self.findings.places[f"{name}: {position}"] <= 3:  # of one kind a few are enough
            stored = self._work / "findings" / f"{self._seed}-{number}"
            stored.mkdir(parents=True, exist_ok=True)
            source = folder / victim
            if source.is_file():
                shutil.copy(source, stored / source.name)
            (stored / "finding.json").write_text(json.dumps(row, indent=1))


def _place(outcome: Outcome) -> str:
    """A finding in a few words: those of one cause get the same ones."""
    if outcome.kind != "exception":
        return f"{outcome.kind} {outcome.text[:60]}" if outcome.kind != "touched" else "touched"
    lines = outcome.text.strip().splitlines()
    ours = [line.strip() for line in lines if f"{os.sep}triform{os.sep}" in line]
    where = ours[-1].split(f"triform{os.sep}", 1)[-1] if ours else ""
    return f"{lines[-1].partition(':')[0]} at {where}"


def loop(fuzzer: Fuzzer, minutes: float, say: Callable[[str], object]) -> Iterator[int]:
    """Numbers of inputs until the time is over; a line a minute."""
    started = last = time.monotonic()
    number = 0
    while time.monotonic() - started < minutes * 60:
        yield number
        number += 1
        if time.monotonic() - last >= 60:
            last = time.monotonic()
            found = len(fuzzer.findings.found)
            say(f"{(last - started) / 60:4.0f} min  {number:,} inputs  {found:,} findings")


def report(fuzzer: Fuzzer, minutes: float, command: str) -> str:
    """The run as Markdown."""
    rows = [
        "| reader | inputs | refused | read | findings | seconds |",
        "|---|---|---|---|---|---|",
    ]
    total = Count()
    for name, count in [*sorted(fuzzer.findings.counts.items()), ("in all", total)]:
        if count is not total:
            for key in vars(total):
                setattr(total, key, getattr(total, key) + getattr(count, key))
        rows.append(
            f"| {name} | {count.inputs:,} | {count.refused:,} | {count.read:,} | "
            f"{count.findings:,} | {count.seconds:,.0f} |"
        )
    positions = [
        f"* {number} x {position}" for position, number in fuzzer.findings.places.most_common()
    ]
    head = f"`{command}`: {minutes:g} minutes, Python {sys.version.split()[0]}."
    return "\n".join([head, "", *rows, "", *(positions or ["Nothing was found."]), ""])

"""Batches in an order that depends on seed and epoch alone, from any position.

A run that was killed goes on with the batch it would have seen next, whatever else has drawn
random numbers, and however many workers prepare the batches.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from triform.base.errors import UserError
from triform.base.seeding import generator, hash_seed
from triform.engine.processes import process_count, process_index

Fetch = Callable[[Sequence[int], torch.Generator], Any]


class Samples(Protocol):
    """Anything with a length whose samples are found by number."""

    def __len__(self) -> int:
        """How many samples there are."""

    def __getitem__(self, index: int, /) -> Any:
        """One sample."""


def fetch_samples(samples: Samples, collate: Callable[[list[Any]], Any] = default_collate) -> Fetch:
    """Make a `fetch` for `EpochLoader` out of a collection of samples."""
    return partial(_fetch_samples, samples, collate)


class EpochLoader:
    """Batches of one data set, epoch after epoch.

    Iterating gives the rest of the present epoch and moves on to the next one at its end.
    With several processes each gets its share of every batch of `batch_size * num_processes`;
    samples that do not share out evenly at the end of an epoch wait for another epoch's order.

    Args:
        num_samples: Samples in the data set.
        fetch: `fetch(indices, generator)` makes a batch. All its random numbers must come from
            the generator, which depends on seed, epoch and position alone. With workers it is
            called in another process.
        batch_size: Samples per batch and process.
        seed: Seed of the order.
        shuffle: A new order each epoch; otherwise by number.
        drop_last: Leave out a last, smaller batch.
        num_workers: Processes that prepare batches ahead; 0 prepares them in this one.
        index: Number of this process; by default from the environment.
        count: Number of processes; by default from the environment.

    Raises:
        UserError: Not one batch can be made.
    """

    def __init__(
        self,
        num_samples: int,
        fetch: Fetch,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        drop_last: bool = False,
        num_workers: int = 0,
        index: int | None = None,
        count: int | None = None,
    ):
        self.num_samples, self.fetch, self.batch_size = num_samples, fetch, batch_size
        self.seed, self.shuffle, self.drop_last = seed, shuffle, drop_last
        self.num_workers = num_workers
        self.index = process_index() if index is None else index
        self.count = process_count() if count is None else count
        self.epoch, self.position = 0, 0
        if not len(self):
            raise UserError(
                f"{num_samples} samples make no batch: --batch_size {batch_size} on "
                f"{self.count} processes is too large"
            )

    def __len__(self) -> int:
        """Batches in one epoch."""
        whole, rest = divmod(self.num_samples, self.batch_size * self.count)
        return whole + (not self.drop_last and rest >= self.count)

    def __iter__(self) -> Iterator[Any]:
        """The rest of this epoch; the position counts a batch as soon as it is handed out."""
        batches = self._batches()
        loader = DataLoader(
            _Batches(batches, self.fetch, (self.seed, self.epoch, self.index)),
            batch_size=None,
            sampler=range(self.position, len(batches)),
            num_workers=self.num_workers,
            worker_init_fn=_ignore_interrupt,
            # Otherwise the loader would draw from the global generator, and a resumed run,
            # which makes one loader more, would go on with different random numbers.
            generator=generator("loader", self.seed, self.epoch),
        )
        for batch in _without_traceback(loader):
            self.position += 1
            yield batch
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "num_samples": self.num_samples,
            "batch_size": self.batch_size * self.count,
            "seed": self.seed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved position; from the epoch's beginning where the data changed."""
        self.epoch = state["epoch"]
        mine = self.state_dict()
        same = all(state[key] == mine[key] for key in ("num_samples", "batch_size", "seed"))
        self.position = state["position"] if same else 0

    def _batches(self) -> list[list[int]]:
        """This process's sample numbers for every batch of the epoch."""
        if self.shuffle:
            order = torch.randperm(
                self.num_samples, generator=generator("order", self.seed, self.epoch)
            ).tolist()
        else:
            order = list(range(self.num_samples))
        together = self.batch_size * self.count
        batches = []
        for start in range(0, len(self) * together, together):
            chunk = order[start : start + together]
            share = len(chunk) // self.count
            batches.append(chunk[self.index * share : (self.index + 1) * share])
        return batches


def _without_traceback(loader: Iterable[Any]) -> Iterator[Any]:
    """Batches; what a worker complains of is said as if it had been said here.

    torch puts the worker's whole traceback into the text of the error.
    """
    try:
        yield from loader
    except UserError as error:
        said = str(error).strip()
        if not said.startswith("Caught "):
            raise
        raise type(error)(said.splitlines()[-1].partition(": ")[2]) from None


class _Batches(Dataset[Any]):
    """Batches by number, as torch's loader wants them."""

    def __init__(self, batches: list[list[int]], fetch: Fetch, keys: tuple[int, int, int]):
        self.batches, self.fetch, self.keys = batches, fetch, keys

    def __getitem__(self, number: int) -> Any:
        """Make one batch."""
        return self.fetch(self.batches[number], generator("batch", *self.keys, number))


def _fetch_samples(
    samples: Samples,
    collate: Callable[[list[Any]], Any],
    indices: Sequence[int],
    random: torch.Generator,
) -> Any:
    """Samples that draw random numbers take the generator: `samples.draw(index, generator)`."""
    draw = getattr(samples, "draw", None)
    if draw is None:
        return collate([samples[index] for index in indices])
    seed = random.initial_seed()
    return collate([draw(index, generator("sample", hash_seed(seed, index))) for index in indices])


def _ignore_interrupt(worker: int) -> None:
    """Leave Ctrl-C to the main process, which saves first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

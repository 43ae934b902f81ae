"""Resumable data loader: the order of samples depends on seed and epoch alone.

A resumed run continues with the next batch, whatever else has drawn random numbers and however
many workers prepare the batches.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from triform.base.errors import UserError
from triform.base.seeding import generator
from triform.engine.processes import process_count, process_index

Fetch = Callable[[Sequence[int], torch.Generator], Any]


class EpochLoader:
    """Batches of one data set, one epoch per iteration.

    Iterating gives the rest of the current epoch and advances to the next one at its end.
    With several processes each gets its share of every batch of `batch_size * num_processes`;
    samples that do not share out evenly at the end of an epoch wait for another epoch's order.

    Args:
        num_samples: Samples in the data set.
        fetch: `fetch(indices, generator)` makes a batch. All its random numbers must come from
            the generator, which depends on seed, epoch and position alone. With workers it is
            called in another process.
        batch_size: Samples per batch and process.
        seed: Seed of the order.
        drop_last: Leave out a last, smaller batch.
        num_workers: Processes that prepare batches ahead; 0 prepares them in this one.
        index: Rank of this process; by default from the environment.
        count: Number of processes; by default from the environment.

    Raises:
        UserError: There are too few samples for one batch.
    """

    def __init__(
        self,
        num_samples: int,
        fetch: Fetch,
        *,
        batch_size: int,
        seed: int,
        drop_last: bool = False,
        num_workers: int = 0,
        index: int | None = None,
        count: int | None = None,
    ):
        self.num_samples, self.fetch, self.batch_size = num_samples, fetch, batch_size
        self.seed, self.drop_last = seed, drop_last
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
        num_full, num_left = divmod(self.num_samples, self.batch_size * self.count)
        return num_full + (not self.drop_last and num_left >= self.count)

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rest of this epoch; a batch counts as soon as it is yielded."""
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
        """Epoch, position and what the order depends on."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "num_samples": self.num_samples,
            "batch_size": self.batch_size * self.count,
            "seed": self.seed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved position; the beginning of the epoch if the data changed."""
        self.epoch = state["epoch"]
        current = self.state_dict()
        is_same = all(state[key] == current[key] for key in ("num_samples", "batch_size", "seed"))
        self.position = state["position"] if is_same else 0

    def _batches(self) -> list[list[int]]:
        """Indices of this process's samples for every batch of the epoch."""
        random = generator("order", self.seed, self.epoch)
        order = torch.randperm(self.num_samples, generator=random).tolist()
        global_batch_size = self.batch_size * self.count
        batches = []
        for start in range(0, len(self) * global_batch_size, global_batch_size):
            chunk = order[start : start + global_batch_size]
            share = len(chunk) // self.count
            batches.append(chunk[self.index * share : (self.index + 1) * share])
        return batches


def _without_traceback(loader: Iterable[Any]) -> Iterator[Any]:
    """Iterate over batches; raises errors of workers without the traceback in their text.

    torch puts the worker's whole traceback into the text of the error. Its own frames hold the
    error and the loader's iterator in a circle: with them the workers would live on, and a program
    waits for its workers when it ends.
    """
    try:
        yield from loader
    except Exception as error:
        message = str(error.args[0]).strip() if error.args else ""  # with the worker's traceback
        if not message.startswith("Caught "):
            raise
        if not isinstance(error, UserError):
            raise error.with_traceback(None) from None
        error.__traceback__ = None
        raise type(error)(message.splitlines()[-1].partition(": ")[2]) from None


class _Batches(Dataset[Any]):
    """Map-style data set of whole batches."""

    def __init__(self, batches: list[list[int]], fetch: Fetch, keys: tuple[int, int, int]):
        self.batches, self.fetch, self.keys = batches, fetch, keys

    def __getitem__(self, index: int) -> Any:
        """Fetch one batch."""
        return self.fetch(self.batches[index], generator("batch", *self.keys, index))


def _ignore_interrupt(worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM in workers: the main process saves first.

    Both may go to a whole group of processes; workers end when the main process does.
    """
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)

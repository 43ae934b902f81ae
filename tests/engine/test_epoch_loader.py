"""Orders of batches."""

import gc
import itertools
import multiprocessing
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from triform.base.errors import UsageError, UserError
from triform.base.seeding import generator
from triform.engine.epoch_loader import EpochLoader, _without_traceback


def numbers(indices: Sequence[int], random: torch.Generator) -> list[float]:
    """The numbers of the samples, and one random number."""
    return [*indices, float(torch.rand((), generator=random))]


def loader(num_samples: int = 23, **settings: Any) -> EpochLoader:
    """A loader of numbers."""
    return EpochLoader(num_samples, numbers, **{"batch_size": 4, "seed": 1, **settings})


def test_an_epoch_holds_every_sample_once() -> None:
    """In a new order each epoch; the same order for the same seed."""
    one, other = loader(), loader()
    first, second = list(one), list(one)
    assert len(first) == len(one) == 6
    actual = [number for batch in first for number in batch[:-1]]
    assert sorted(actual) == list(range(23))
    assert first != second and first == list(other) and list(loader(seed=2)) != first
    assert [len(batch) - 1 for batch in loader(drop_last=True)] == [4] * 5


@pytest.mark.parametrize("num_workers", [0, 2])
def test_any_position_can_be_resumed(num_workers: int) -> None:
    """Whatever has drawn from the global generator, with any number of workers."""
    whole = loader(num_workers=num_workers)
    expected = [*whole, *whole]
    for stop in (0, 1, 5, 6, 7):
        part = loader(num_workers=num_workers)
        actual: list[Any] = []
        while len(actual) < stop:
            for batch in part:
                actual.append(batch)
                if len(actual) == stop:
                    break
        torch.rand(7)
        rest = loader(num_workers=2 - num_workers)
        rest.load_state_dict(part.state_dict())
        while len(actual) < 12:
            actual.extend(rest)
        assert actual == expected


def test_iterating_does_not_draw_from_the_global_generator() -> None:
    """A resumed run makes one iterator more than one that was not stopped."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader())
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_every_batch(count: int) -> None:
    """Together they see what one process with a larger batch sees, in equal shares."""
    one = [batch[:-1] for batch in loader(24, batch_size=2 * count)]
    shares = [
        [batch[:-1] for batch in loader(24, batch_size=2, index=index, count=count)]
        for index in range(count)
    ]
    assert one == [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    uneven = [list(loader(23, index=index, count=count)) for index in range(count)]
    assert {len(batches) for batches in uneven} == {len(loader(23, count=count))}
    lengths = [[len(batch) for batch in batches] for batches in uneven]
    assert all(each == lengths[0] for each in lengths)
    actual = Counter(n for batches in uneven for batch in batches for n in batch[:-1])
    assert max(actual.values()) == 1 and len(actual) >= 23 - count + 1


def test_processes_draw_different_random_numbers() -> None:
    """Each process varies its samples in its own way, the same again in another run."""
    drawn = [[batch[-1] for batch in loader(24, index=index, count=2)] for index in (0, 1)]
    assert set(drawn[0]).isdisjoint(drawn[1]) and len({*drawn[0], *drawn[1]}) == 6
    assert drawn[1] == [batch[-1] for batch in loader(24, index=1, count=2)]
    seeds = [generator("batch", 1, 0, 1, number) for number in range(3)]
    assert drawn[1] == [float(torch.rand((), generator=seed)) for seed in seeds]


@pytest.mark.parametrize(
    ("num_samples", "sizes"), [(9, [4]), (10, [4, 1]), (13, [4, 2]), (16, [4, 4])]
)
def test_a_rest_is_a_batch_where_every_process_gets_a_share(
    num_samples: int, sizes: list[int]
) -> None:
    """Two processes with batches of four: a single sample that is left waits."""
    for index in (0, 1):
        mine = loader(num_samples, index=index, count=2)
        assert [len(batch) - 1 for batch in mine] == sizes and len(mine) == len(sizes)
    assert len(loader(num_samples, index=0, count=2, drop_last=True)) == sizes.count(4)


def test_changed_data_begin_the_epoch_again() -> None:
    """A position in another order means nothing."""
    old = loader()
    next(iter(old))
    assert old.position == 1
    new = loader(50)
    new.load_state_dict({**old.state_dict(), "epoch": 3})
    assert (new.epoch, new.position) == (3, 0)


def test_too_few_samples_are_named() -> None:
    """One line with the number to change."""
    with pytest.raises(UserError, match="3 samples make no batch: --batch_size 4 on 1 processes"):
        loader(3, drop_last=True)
    with pytest.raises(UserError, match="0 samples"):
        loader(0)


def complain(indices, random):
    raise UsageError(f"sample {min(indices)}: broken; repair it")


def test_what_a_worker_complains_of_is_one_line():
    for workers in (0, 1):
        loader = EpochLoader(2, complain, batch_size=2, seed=0, num_workers=workers)
        with pytest.raises(UsageError) as caught:
            next(iter(loader))
        assert str(caught.value) == "sample 0: broken; repair it"


def crash(indices, random):
    return {}["nothing"]


@pytest.mark.parametrize(
    ("fetch", "error", "text"),
    [(complain, UsageError, "broken; repair it"), (crash, KeyError, "in crash")],
)
def test_workers_end_where_one_of_them_fails(fetch, error, text):
    """Else the program would wait for them at its end, for ever. Without a collection of garbage.

    The worker's own traceback stays in the text of an unexpected error.
    """
    before = set(multiprocessing.active_children())
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(error, match=text):
            next(iter(EpochLoader(8, fetch, batch_size=2, seed=0, num_workers=2)))
        assert set(multiprocessing.active_children()) <= before
    finally:
        gc.enable()


def fail_as(text: str) -> list[Any]:
    """What the loop over batches raises for an error with a text."""

    def batches():
        yield 1
        raise UserError(text)

    found = []
    with pytest.raises(UserError) as caught:
        found += list(_without_traceback(batches()))
    return [caught.value, *found]


def test_the_last_line_of_a_worker_s_traceback_is_its_error():
    text = "Caught UserError in DataLoader worker process 0.\nTraceback:\n  File x\na.b: c: d\n"
    assert str(fail_as(text)[0]) == "c: d"
    error = fail_as("two: lines\nof: its own")[0]
    assert str(error) == "two: lines of: its own"
    assert error.__cause__ is None


def test_what_is_saved_of_a_loader():
    one = loader(23, count=2, index=1, seed=9)
    assert one.state_dict() == {
        "epoch": 0,
        "position": 0,
        "num_samples": 23,
        "batch_size": 8,
        "seed": 9,
    }
    next(iter(one))
    state = {**one.state_dict(), "epoch": 4}
    for change in ({}, {"num_samples": 24}, {"batch_size": 4}, {"seed": 8}):
        other = loader(23, count=2, index=0, seed=9)
        other.load_state_dict({**state, **change})
        assert (other.epoch, other.position) == (4, 0 if change else 1)


def test_rank_and_number_of_processes_are_those_of_the_environment(monkeypatch):
    assert (loader().index, loader().count) == (0, 1)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (loader().index, loader().count) == (1, 3)
    assert (loader(index=0, count=2).index, loader(index=0, count=2).count) == (0, 2)

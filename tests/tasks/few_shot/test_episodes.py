"""Episodes: what is in them, and what must never be."""

import numpy as np
import pytest
import torch

from triform.base.errors import UsageError, UserError
from triform.base.seeding import generator
from triform.datasets.images.table import ImageTable
from triform.tasks.few_shot.config import EpisodeDataConfig
from triform.tasks.few_shot.episodes import (
    EpisodeSampler,
    as_float,
    evaluation_sampler,
    random_affine,
    split_classes,
    training_sampler,
    validation_sampler,
)


def numbered(classes: int = 8, makers: int = 6) -> ImageTable:
    """Every image is filled with its class and its maker."""
    labels, drawn = np.divmod(np.arange(classes * makers), makers)
    images = np.zeros((len(labels), 4, 4, 1), np.uint8)
    images[:, :2, :, 0] = 10 * labels[:, None, None] + 5
    images[:, 2:, :, 0] = 10 * drawn[:, None, None] + 5
    return ImageTable(
        name="numbered",
        images=images,
        labels=labels,
        classes=tuple(f"class {i}" for i in range(classes)),
        makers=drawn,
        maker_names=tuple(f"maker {i}" for i in range(makers)),
        splits={"train": np.arange(10), "test": np.arange(10, len(labels))},
    )


def what(images: torch.Tensor) -> tuple[list[int], list[int]]:
    """Classes and makers of drawn images."""
    values = (images[:, 0, :, 0] * 255).round().long()
    return ((values[:, 0] - 5) // 10).tolist(), ((values[:, 3] - 5) // 10).tolist()


def test_labels_are_new_and_right_and_no_image_comes_twice():
    sampler = EpisodeSampler(numbered(), range(8), n_way=3, n_shot=2, n_query=3)
    batch = sampler(range(50), generator("a"))
    assert batch["support"].shape == (50, 6, 1, 4, 4) and batch["query"].shape == (50, 9, 1, 4, 4)
    orders = set()
    for task in range(50):
        names: dict[int, set[int]] = {}
        drawn = []
        for part in ("support", "query"):
            classes, makers = what(batch[part][task])
            labels = batch[f"{part}_labels"][task].tolist()
            drawn += list(zip(classes, makers, strict=True))
            for label, number in zip(labels, classes, strict=True):
                names.setdefault(label, set()).add(number)
        assert sorted(names) == [0, 1, 2] and all(len(own) == 1 for own in names.values())
        assert len(set(drawn)) == len(drawn) == 15
        orders.add(tuple(batch["support_labels"][task].tolist()))
    assert len(orders) > 20  # supports are sorted by nothing


def test_an_unseen_maker_draws_the_queries_only():
    table = numbered()
    sampler = EpisodeSampler(table, range(8), n_way=4, n_shot=3, n_query=1, query_maker=2)
    batch = sampler(range(20), generator("b"))
    for task in range(20):
        assert set(what(batch["query"][task])[1]) == {2}
        assert 2 not in what(batch["support"][task])[1]
    rest = table.without_maker("maker 2")
    assert len(rest) == 40 and 2 not in rest.makers
    assert np.array_equal(rest.labels[rest.rows("train")], table.labels[[0, 1, 3, 4, 5, 6, 7, 9]])
    with pytest.raises(UsageError, match="'nobody' drew nothing of numbered"):
        table.without_maker("nobody")


def test_turned_classes_are_other_classes():
    sampler = EpisodeSampler(numbered(2), range(2), n_way=2, n_shot=1, n_query=1, rotate=True)
    assert sampler.num_classes == 8
    batch = sampler(range(40), generator("c"))
    is_turned = [bool((task[0, 0, 0] != task[0, 0, 0, 0]).any()) for task in batch["support"]]
    assert 10 < sum(is_turned) < 30  # by 90 and 270 degrees the halves stand side by side


def test_the_same_seed_draws_the_same():
    sampler = EpisodeSampler(numbered(), range(8), n_way=3, n_shot=1, n_query=2, augment=True)
    first, second, other = (sampler(range(4), generator("d", seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["support"], other["support"])


def test_varied_images_stay_in_range_and_differ():
    images = torch.rand(1, 1, 12, 12).repeat(6, 1, 1, 1)
    varied = random_affine(images, generator("e"))
    assert varied.shape == images.shape and varied.min() >= 0 and varied.max() <= 1
    assert len({tuple(one.flatten().tolist()) for one in varied}) == 6
    assert (varied - images).abs().mean() < 0.5


def test_classes_are_split_by_name_and_never_shared():
    table = numbered(20)
    parts = [set(split_classes(table, name).tolist()) for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [14, 2, 4] and len(set().union(*parts)) == 20
    with pytest.raises(UserError, match="5 classes are too few"):
        split_classes(numbered(5), "test")


def test_too_much_asked_for_is_one_line():
    with pytest.raises(UsageError, match="n_way 9 is too many"):
        EpisodeSampler(numbered(), range(8), n_way=9, n_shot=1, n_query=1)
    with pytest.raises(UsageError, match="0 have the images that n_shot 4"):
        EpisodeSampler(numbered(), range(8), n_way=2, n_shot=4, n_query=3)


def mine(**changes) -> EpisodeDataConfig:
    settings = {"n_way": 2, "n_shot": 1, "n_query": 1, "train_way": 0, "train_query": 0}
    return EpisodeDataConfig.model_validate(
        {**settings, "augment": False, "rotate": False, "unseen_maker": "maker 2", **changes}
    )


def test_what_is_learned_from_holds_no_held_out_class_and_no_unseen_maker():
    """On a table with makers: every image that can ever be drawn is looked at, not a few."""
    table = numbered(20)
    parts = {name: set(split_classes(table, name).tolist()) for name in ("train", "val", "test")}
    expected = {(number, maker) for number in parts["train"] for maker in range(6) if maker != 2}
    assert held(training_sampler(table, mine())) == expected
    assert {2} < {maker for _, maker in held(training_sampler(table, mine(unseen_maker="")))}
    for split in ("val", "test"):
        sampler = validation_sampler(table, mine(), split)
        assert held(sampler) == {
            (n, maker) for n in parts[split] for maker in range(6) if maker != 2
        }
    sampler = evaluation_sampler(
        table, "test", n_way=2, n_shot=1, n_query=1, augment=False, query_maker="maker 2"
    )
    assert {(number, 2) for number in parts["test"]} < held(sampler)
    assert {number for number, _ in held(sampler)} == parts["test"]


def held(sampler: EpisodeSampler) -> set[tuple[int, int]]:
    """(class, maker) of every image from which a sampler draws, as its pixels say."""
    rows = np.concatenate([np.concatenate(own) for own in sampler.rows])
    images = as_float(sampler.table.images[np.unique(rows)])
    return set(zip(*what(images), strict=True))


def test_sizes_of_tasks_are_those_that_were_asked_for():
    table = numbered(20)
    for changes, way, query in (({}, 2, 2), ({"train_way": 4, "train_query": 3}, 4, 3)):
        data = mine(n_query=2, **changes)
        episode = training_sampler(table, data)(range(1), generator("e"))
        assert episode["support"].shape[:2] == (1, way)
        assert episode["query"].shape[:2] == (1, way * query)
    assert training_sampler(table, mine(rotate=True)).num_classes == 4 * 14
    assert training_sampler(table, mine(augment=True)).augment
    assert validation_sampler(table, mine(n_query=9, unseen_maker=""), "val").n_query == 5

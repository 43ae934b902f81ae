"""Batches of shards: resumable at the sample, equal for all processes, broken images replaced."""

import itertools
import logging

import pytest
import torch

from triform.base.errors import UserError
from triform.datasets.captioned.shards import Shards
from triform.systems.clip.config import DataConfig
from triform.systems.clip.shard_loader import ShardLoader, first_captions, shard_table
from triform.tasks.contrastive.text_inputs import TokenInputs
from triform.text.bpe import BytePairEncoding

webdataset = pytest.importorskip("webdataset")
COUNT = 23


def write(path, broken=()):
    from io import BytesIO

    from PIL import Image

    with webdataset.ShardWriter(str(path / "%05d.tar"), maxcount=9, verbose=0) as writer:
        for number in range(COUNT):
            stream = BytesIO()
            Image.new("RGB", (20, 20), (10 * number, 0, 0)).save(stream, "PNG")
            image = b"no image" if number in broken else stream.getvalue()
            writer.write({"__key__": str(number), "png": image, "txt": f"number {number}"})
    return str(path / "{00000..00002}.tar")


def loader(pattern, index=0, count=1, batch_size=4):
    shards = Shards(pattern, seed=1, buffer_size=5, index=index, count=count)
    data = DataConfig(dataset=pattern, image_size=16, batch_size=batch_size, jitter=0.1)
    inputs = TokenInputs(BytePairEncoding.train(first_captions(pattern), 300), 77)
    return ShardLoader(shards, inputs, data, seed=1)


def numbers(loaded, batch):
    return [
        int(loaded.text_inputs.bpe.decode(tokens[0].tolist()).split()[1])
        for tokens in batch["texts"]
    ]


def all_numbers(loaded):
    """Numbers of one epoch."""
    return [number for batch in loaded for number in numbers(loaded, batch)]


def test_resumed_at_any_batch_equals_uninterrupted(tmp_path):
    pattern = write(tmp_path)
    whole = loader(pattern)
    assert len(whole) == 5
    batches = list(itertools.islice(itertools.chain(whole, whole), 10))
    for position in (1, 4, 5, 7):
        first = loader(pattern)
        for _ in itertools.islice(itertools.chain(first, first), position):
            state = first.state_dict()
        second = loader(pattern)
        second.load_state_dict(state)
        rest = list(itertools.islice(itertools.chain(second, second), 10 - position))
        for batch, expected in zip(rest, batches[position:], strict=False):
            for key, value in expected.items():
                assert torch.equal(batch[key], value), key


def test_an_epoch_has_no_sample_twice(tmp_path):
    loaded = loader(write(tmp_path))
    first, second = all_numbers(loaded), all_numbers(loaded)
    assert len(first) == len(set(first)) == 20 and first != second


def test_processes_have_equally_many_batches_of_different_samples(tmp_path):
    pattern = write(tmp_path)
    parts = []
    for index in range(2):
        loaded = loader(pattern, index, 2)
        assert len(loaded) == 2
        parts.append(all_numbers(loaded))
    assert len(set(parts[0]) | set(parts[1])) == 16


def test_broken_images_are_replaced_and_that_is_said_once(tmp_path, caplog):
    loaded = loader(write(tmp_path, broken=(3, 7, 11, 15)))
    with caplog.at_level(logging.WARNING, logger="triform"):
        found = all_numbers(loaded)
    assert len(found) == 20 and not {3, 7, 11, 15} & set(found)
    assert caplog.text.count("others may follow") == 1


def test_only_broken_images_end_in_a_line(tmp_path):
    loaded = loader(write(tmp_path, broken=range(COUNT)))
    with pytest.raises(UserError, match="no image of the shards can be read"):
        next(iter(loaded))


def test_too_few_samples_for_a_batch(tmp_path):
    with pytest.raises(UserError, match="--batch_size 24 on 1 processes is too large"):
        loader(write(tmp_path), batch_size=24)


def test_table_of_shards(tmp_path):
    table = shard_table(write(tmp_path), "test", 16)
    assert len(table.rows("test")) == COUNT and table.captions[5] == ("number 5",)
    assert table.images.image(5).shape == (16, 16, 3)

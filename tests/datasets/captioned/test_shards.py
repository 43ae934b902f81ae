"""Shards written by the library webdataset: order, division over processes, broken ones."""

import io
import json
import logging
import tarfile

import pytest
from PIL import Image

from triform.base.errors import UsageError, UserError
from triform.datasets.captioned.shards import Shards, find_shards, is_shards, read_captions

webdataset = pytest.importorskip("webdataset")


def png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (value % 256, 0, 0)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def shards(tmp_path):
    """Three shards of 5, 7 and 3 samples, captions 0 to 14 in order; the last one by JSON."""
    number = 0
    for shard, size in enumerate((5, 7, 3)):
        with webdataset.TarWriter(str(tmp_path / f"{shard:05d}.tar")) as writer:
            for _ in range(size):
                text = {"txt": str(number)}
                if shard == 2:
                    text = {"json": {"caption": str(number), "url": "there"}}
                writer.write({"__key__": f"{number:04d}", "png": png(number), **text})
                number += 1
    return tmp_path / "{00000..00002}.tar"


def captions(shards: Shards, epoch: int = 0) -> list[int]:
    return [int(sample.captions[0]) for sample in shards.epoch(epoch)]


def test_samples_in_their_order(shards):
    read = Shards(str(shards))
    assert read.num_samples == 15 and captions(read) == list(range(15))
    first = next(iter(read.epoch(0)))
    assert first.image == png(0) and first.name == "00000.tar/0000"
    assert captions(Shards(str(shards.parent / "*.tar"))) == list(range(15))


def test_shuffled_by_seed_and_epoch(shards):
    def orders(seed: int) -> list[list[int]]:
        read = Shards(str(shards), seed=seed, buffer_size=6)
        return [captions(read, epoch) for epoch in (0, 1, 0)]

    first, second, again = orders(0)
    assert first == again != second and first != orders(1)[0]
    for order in (first, second):
        assert sorted(order) == list(range(15)) and order != list(range(15))


@pytest.mark.parametrize("count", [2, 4, 7])
@pytest.mark.parametrize("buffer_size", [1, 6])
def test_processes_share_all_samples(shards, count, buffer_size):
    parts = [
        captions(Shards(str(shards), buffer_size=buffer_size, index=index, count=count), 3)
        for index in range(count)
    ]
    assert sorted(number for part in parts for number in part) == list(range(15))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_samples_are_counted_once(shards, monkeypatch):
    assert Shards(str(shards)).num_samples == 15

    def fail(*args, **kwargs):
        raise AssertionError("opened again")

    monkeypatch.setattr(tarfile, "open", fail)
    assert Shards(str(shards)).num_samples == 15


def test_captions_of_a_sample():
    assert read_captions(b" a chair\n", b'{"caption": "other"}') == ("a chair",)
    several = json.dumps({"captions": ["a", "b", "a", 3, ""]}).encode()
    assert read_captions(None, several) == ("a", "b")
    for broken in (b"{", b"[]", b'{"caption": 5}', b"\xff\xfe"):
        assert read_captions(None, broken) == ()


def test_samples_without_caption_are_left_out_and_that_is_said(tmp_path, caplog):
    with webdataset.TarWriter(str(tmp_path / "a.tar")) as writer:
        writer.write({"__key__": "0", "png": png(0), "txt": ""})
        writer.write({"__key__": "1", "png": png(1), "txt": "1"})
        writer.write({"__key__": "2", "png": png(2), "json": b"no json"})
        writer.write({"__key__": "3", "txt": "no image"})
    read = Shards(str(tmp_path / "a.tar"))
    with caplog.at_level(logging.WARNING, logger="triform"):
        assert captions(read) == [1]
    assert caplog.text.count("no caption") == 1


def test_missing_damaged_and_empty_shards_are_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"00001\.tar is not there"):
        (tmp_path / "00000.tar").write_bytes(b"")
        find_shards(str(tmp_path / "{00000..00001}.tar"))
    (tmp_path / "bad.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(UserError, match=r"bad\.tar: no tar file") as caught:
        Shards(str(tmp_path / "bad.tar"))
    assert "\n" not in str(caught.value)
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(UserError, match="no samples in 1 shards"):
        Shards(str(tmp_path / "empty.tar"))
    with pytest.raises(UsageError, match="is not there"):
        Shards("pipe:echo hello > /tmp/written.tar")


def test_name_of_shards():
    assert is_shards("shards/{00000..00099}.tar") and not is_shards("shards")

"""The journal survives a cut at any byte, and entries of other runs are dropped."""

import numpy as np
import pytest

from triform.base.errors import UserError
from triform.systems.clip.gallery.journal import Entry, Journal


def entry(number, count=2):
    vectors = np.random.default_rng(number).normal(size=(count, 3)).astype(np.float32)
    records = [{"path": f"{number}\n", "second": index} for index in range(count)]
    return Entry(f"{number}\n", number, 10**18 + number, records, vectors)


FAILED = Entry("bad", 1, 2, (), np.zeros((0, 0), np.float32), "damaged")


def check(found, expected):
    assert list(found) == [each.path for each in expected]
    for each in expected:
        one = found[each.path]
        assert (one.size, one.modified, one.reason) == (each.size, each.modified, each.reason)
        assert list(one.records) == list(each.records)
        np.testing.assert_array_equal(one.vectors, each.vectors)


def test_cut_anywhere_whole_entries_stay_and_it_goes_on(tmp_path):
    path = tmp_path / "a.journal"
    batches = [[entry(1), FAILED], [entry(2, 1)], [entry(3), entry(4)]]
    ends, journal = [], Journal(path, "header")
    for batch in batches:
        ends.append(path.stat().st_size)
        journal.add(batch)
    ends.append(path.stat().st_size)
    journal.close()
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        journal = Journal(path, "header")
        whole = sum(cut >= end for end in ends[1:])
        check(journal.entries, [each for batch in batches[:whole] for each in batch])
        journal.add([entry(9)])
        journal.close()
        again = Journal(path, "header")
        assert list(again.entries)[-1] == "9\n" and len(again.entries) == len(journal.entries)
        again.close()


def test_damage_ends_it(tmp_path):
    path = tmp_path / "a.journal"
    journal = Journal(path, "header")
    journal.add([entry(1)])
    middle = path.stat().st_size + 20
    journal.add([entry(2)])
    journal.close()
    data = bytearray(path.read_bytes())
    data[middle] ^= 1
    path.write_bytes(data)
    journal = Journal(path, "header")
    check(journal.entries, [entry(1)])
    journal.delete()
    assert not path.exists()


def test_another_model_begins_anew(tmp_path, caplog):
    path = tmp_path / "a.journal"
    first = Journal(path, "one model")
    first.add([entry(1)])
    first.close()
    other = Journal(path, "another model")
    assert not other.entries
    other.close()
    assert not Journal(path, "one model").entries


def test_links_are_refused(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "a.journal").symlink_to(tmp_path / "target")
    with pytest.raises(UserError, match="a link"):
        Journal(tmp_path / "a.journal", "header")
    assert (tmp_path / "target").read_text() == "mine"

"""Tables of a library, also of one that version 0 has written."""

from __future__ import annotations

from triform.datasets.library.layout import metadata_bytes, parse_json, parse_metadata


def test_names_of_version_0_are_read_and_written_anew() -> None:
    entries = {"a": {"given_split": "test", "beside": {"a.mtl": "12"}, "parts": {}}}
    objects = parse_metadata(entries, "metadata.json")
    assert objects["a"].source_split == "test" and objects["a"].dependencies == {"a.mtl": "12"}
    data = metadata_bytes(objects)
    assert b"given_split" not in data and b"beside" not in data
    assert parse_metadata(parse_json(data, "metadata.json"), "metadata.json") == objects

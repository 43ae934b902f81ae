"""Emoji with names in several languages: what is held out, and what captions are made of."""

import json

import numpy as np
import pytest

from triform.base.errors import UsageError, UserError
from triform.datasets import npm
from triform.datasets.captioned import emoji_languages
from triform.datasets.captioned.emoji_languages import load_emoji_languages, read_annotations
from triform.datasets.images.emoji import UNSEEN_MAKER
from triform.datasets.images.table import ImageTable

ACTIVITIES = [f"activity {number}" for number in range(40)]
THINGS = [f"thing {number}" for number in range(200)]
CLASSES = [
    *(f"{gender} {activity}" for activity in ACTIVITIES for gender in ("man", "woman")),
    *THINGS,
    "man alone",
    "without names",
]
MAKERS = ("noto", UNSEEN_MAKER, "openmoji")


@pytest.fixture
def download_path(tmp_path, monkeypatch):
    """Every emoji by three makers; names in English and Russian for all but the last."""
    labels = np.repeat(np.arange(len(CLASSES)), len(MAKERS))
    makers = np.tile(np.arange(len(MAKERS)), len(CLASSES))
    table = ImageTable(
        name="emoji",
        images=np.zeros((len(labels), 4, 4, 3), np.uint8),
        labels=labels,
        classes=tuple(CLASSES),
        makers=makers,
        maker_names=MAKERS,
        licence="free",
    )
    names = {f"1f{number:03x}": name for number, name in enumerate(CLASSES)}

    def fetch(package, folder):
        assert package == emoji_languages.PACKAGE
        for language in ("en", "ru"):
            path = folder / "package" / language
            path.mkdir(parents=True)
            entries = [
                {
                    "hexcode": f"{code.upper()}-FE0F",
                    "label": f"{name} ({language})",
                    "tags": ["one", "two", "three", f"{name} ({language})"],
                }
                for code, name in names.items()
                if name != "without names"
            ]
            (path / "data.json").write_text(json.dumps(entries))

    monkeypatch.setattr(npm, "fetch", fetch)
    monkeypatch.setattr(emoji_languages, "load_images", lambda *_, **__: table)
    monkeypatch.setattr(emoji_languages, "fetch_images", lambda *_: tmp_path)
    monkeypatch.setattr(emoji_languages.emoji, "emoji_names", lambda _: names)
    return str(tmp_path)


def contents(table, split):
    return {table.contents[row] for row in table.rows(split)}


def test_held_out_emoji_are_in_no_training(download_path):
    table = load_emoji_languages(["en"], download_path)
    splits = {split: contents(table, split) for split in table.splits}
    assert set(splits) == {"train", "val", "test", "test_combinations", "test_unseen"}
    assert not splits["train"] & (splits["test_combinations"] | splits["test_unseen"])
    assert splits["val"] <= splits["train"] and splits["test"] <= splits["train"]
    # About half of the activities miss one gender, of both kinds, and the other one is trained on.
    held_out = splits["test_combinations"]
    assert 10 <= len(held_out) <= 30 and {name.split()[0] for name in held_out} == {"man", "woman"}
    for name in held_out:
        gender, activity = name.split(" ", 1)
        other = {"man": "woman", "woman": "man"}[gender]
        assert f"{other} {activity}" in splits["train"]
    assert "man alone" not in held_out
    assert 0.08 * len(THINGS) < len(splits["test_unseen"]) < 0.22 * len(THINGS)
    assert splits["test_unseen"] <= set(THINGS)


def test_no_drawing_of_the_test_maker_is_trained_on(download_path):
    table = load_emoji_languages(["en"], download_path)
    for split, rows in table.splits.items():
        by_test_maker = {table.images.name(row).endswith(f"({UNSEEN_MAKER})") for row in rows}
        assert by_test_maker == {split.startswith("test")}, split
    rows = np.concatenate(list(table.splits.values()))
    assert len(rows) == len(set(rows.tolist()))


def test_captions_of_training_and_test(download_path):
    table = load_emoji_languages(["en", "ru"], download_path)
    row = next(row for row in table.rows("train") if table.contents[row] == "thing 1")
    assert table.captions[row] == (
        "thing 1 (en)",
        "thing 1 (en), one",
        "thing 1 (en), two",
        "one, two, three",
        "thing 1 (ru)",
        "thing 1 (ru), one",
        "thing 1 (ru), two",
        "one, two, three",
    )
    row = next(row for row in table.rows("test") if table.contents[row] == "thing 1")
    assert table.captions[row] == ("thing 1 (en)", "thing 1 (ru)")
    assert "without names" not in table.contents
    assert table.splits.keys() == load_emoji_languages(["ru"], download_path).splits.keys()


def test_the_same_splits_in_every_language(download_path):
    first, second = (load_emoji_languages([each], download_path) for each in ("en", "ru"))
    for split, rows in first.splits.items():
        np.testing.assert_array_equal(rows, second.splits[split])


@pytest.mark.parametrize(
    ("needed", "drawn"), [(0, 64), (48, 64), (64, 64), (65, 96), (96, 96), (224, 96)]
)
def test_drawings_have_the_pixels_that_are_needed(download_path, monkeypatch, needed, drawn):
    sizes = []
    load_images = emoji_languages.load_images

    def load(*names, size, **settings):
        sizes.append(size)
        return load_images(*names, size=size, **settings)

    monkeypatch.setattr(emoji_languages, "load_images", load)
    load_emoji_languages(["en"], download_path, size=needed)
    assert sizes == [drawn]


def test_unknown_languages_and_damaged_names_are_one_line(download_path, tmp_path):
    with pytest.raises(UsageError, match=r"no names in 'xx'; languages: .*ru"):
        load_emoji_languages(["en", "xx"], download_path)
    read_annotations("en", download_path)
    path = tmp_path / "emojibase" / "package" / "en" / "data.json"
    for broken in ("{", "[1]", '[{"label": "no code"}]', '{"a": 1}'):
        path.write_text(broken)
        with pytest.raises(UserError, match="damaged") as caught:
            read_annotations("en", download_path)
        assert "\n" not in str(caught.value)

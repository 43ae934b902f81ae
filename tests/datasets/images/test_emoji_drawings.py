"""Names and codes of emoji as each maker writes them."""

import json

import pytest

from triform.datasets.images.emoji_drawings import Icons, hexcodes_by_name, key, normalized_name

NAMES = {
    "1f1e6-1f1e9": "flag: Andorra",
    "1f335": "cactus",
    "1f4fa": "television",
    "1f44b": "waving hand",
}


@pytest.fixture
def icons(tmp_path):
    def written(content: dict, chars: dict | None = None) -> Icons:
        (tmp_path / "icons.json").write_text(json.dumps({"width": 8, "height": 8, **content}))
        if chars is not None:
            (tmp_path / "chars.json").write_text(json.dumps(chars))
        return Icons(tmp_path)

    return written


def named(*names: str) -> dict:
    return {"icons": {name: {"body": f"<g id='{name}'/>"} for name in names}}


def test_codes_without_the_selector_of_colour():
    assert key("2764-FE0F") == "2764" and key("1F3F3-FE0F-200D-1F308") == "1f3f3-200d-1f308"


@pytest.mark.parametrize(
    "name", ["flag: Andorra", "flag-for-andorra", "Flag Andorra", "flagandorra", "flag_for_andorra"]
)
def test_names_that_mean_the_same(name):
    assert normalized_name(name) == "flagandorra"


def test_for_is_left_out_as_a_word_alone():
    assert (
        normalized_name("fortune cookie") == "fortunecookie"
        and normalized_name("comfort") == "comfort"
    )


def test_sets_with_codes(icons):
    drawn = icons(named("cactus", "lost"), {"1F335": "cactus", "1F44B-FE0F": "gone"}).drawings({})
    assert list(drawn) == ["1f335"]  # a name without a drawing counts for nothing
    assert drawn["1f335"].startswith("<svg") and 'viewBox="0 0 8 8"' in drawn["1f335"]


def test_sets_with_names_alone(icons):
    content = named("flag-for-andorra", "cactus-2", "cactus-1", "wavinghandsign", "unheardof")
    content["aliases"] = {
        "television": {"parent": "unheardof"},
        "flag-andorra": {"parent": "cactus-1", "hFlip": True},
    }
    drawn = icons(content).drawings(hexcodes_by_name(NAMES, []))
    assert set(drawn) == {"1f1e6-1f1e9", "1f335", "1f44b", "1f4fa"}
    assert "flag-for-andorra" in drawn["1f1e6-1f1e9"]  # and not what is mirrored
    assert "unheardof" in drawn["1f4fa"]  # by another name of it
    assert "wavinghandsign" in drawn["1f44b"]  # Unicode's own name
    assert "cactus-2" in drawn["1f335"]  # the first variant there is


def test_what_other_sets_call_a_thing(icons):
    other = icons(named("tv-set"), {"1f4fa": "tv-set"})
    known = hexcodes_by_name(NAMES, [other])
    assert known["tvset"] == known["television"] == "1f4fa"
    assert hexcodes_by_name({"1f4fa": "television", "1f335": "tv set"}, [other])["tvset"] == "1f335"


def test_flags_by_country_oblong_first(icons):
    content = named("ad-1x1", "ad-4x3", "be", "af-emirate", "gb-eng")
    content["icons"]["ad-4x3"] |= {"width": 640, "height": 480}
    flags = icons(content).flags()
    assert set(flags) == {"1f1e6-1f1e9", "1f1e7-1f1ea"}
    assert 'viewBox="0 0 640 480"' in flags["1f1e6-1f1e9"]


@pytest.mark.parametrize("content", ["{", '{"prefix": "x"}'])
def test_damaged_sets(tmp_path, content):
    (tmp_path / "icons.json").write_text(content)
    with pytest.raises((ValueError, KeyError)):
        Icons(tmp_path)

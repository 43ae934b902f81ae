"""Names become prompts without numbers, hashes and words of the file system."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triform.text.prompts import caption_from_name, plain_prompts, with_article


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("chair_0001.off", "chair"),
        ("night_stand_0200.off", "night stand"),
        ("coffeeTable2.obj", "coffee table"),
        ("L_shaped_sofa.obj", "l shaped sofa"),
        ("0007_floor-lamp_v3.STL", "floor lamp"),
        ("table_4_legs.glb", "table 4 legs"),
        ("table 04 legs.glb", "table legs"),
        ("chair_12_scan.ply", "chair"),
        ("models/chairs/red chair (2).obj", "red chair"),
        ("1a6f615e8b1b5ae4dbbc9440457e303e", ""),
        ("3f2a9c10-77aa-4b1e-9b1d-001122334455.obj", ""),
        ("model_normalized.obj", ""),
        ("0001.off", ""),
        ("стул_0003.obj", "стул"),
        ("椅子001.obj", "椅子"),
        ("TVStand.obj", "tv stand"),
        ("C:\\meshes\\bed_7.off", "bed"),
        ("", ""),
    ],
)
def test_names(name: str, caption: str) -> None:
    assert caption_from_name(name) == caption


@given(
    st.sampled_from(["chair", "night_stand", "BedSide"]), st.integers(0, 10**9), st.integers(1, 9)
)
def test_instance_numbers_never_enter(word: str, number: int, width: int) -> None:
    for name in (
        f"{word}_{number:0{width}}.off",
        f"{number:0{width}}-{word}.obj",
        f"{word}{number}",
    ):
        assert not any(letter.isdigit() for letter in caption_from_name(name))


@given(st.text())
def test_any_name_gives_a_clean_caption(name: str) -> None:
    caption = caption_from_name(name)
    assert caption == " ".join(caption.split())


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("chair", "a chair"),
        ("armchair", "an armchair"),
        ("office chair", "an office chair"),
        ("shelves", "shelves"),
        ("tulips", "tulips"),
        ("chest of drawers", "a chest of drawers"),
        ("glass table", "a glass table"),
        ("bus", "a bus"),
        ("upright piano", "an upright piano"),
        ("unicycle", "a unicycle"),
        ("a chair", "a chair"),
        ("", ""),
    ],
)
def test_articles(name: str, phrase: str) -> None:
    assert with_article(name) == phrase


def test_plain_prompts() -> None:
    assert plain_prompts("chair") == ("a chair", "3d model of a chair")

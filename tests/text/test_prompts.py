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
        ("C_Disc_D5.0mm_W2.5mm_P2.54mm.step", "c disc D5.0mm W2.5mm P2.54mm"),
        ("bracket.3mf", "bracket"),
        ("D5.0mm", "D5.0mm"),
        ("P2.54mm.wrl", "P2.54mm"),
        ("BarrelJack_CUI_PJ-063AH_Horizontal.step", "barrel jack cui PJ-063AH horizontal"),
        ("BatteryHolder_Keystone_2468_2xAAA", "battery holder keystone 2468 2xAAA"),
        ("Heatsink_125x35x50mm_3xFixationM3.step", "heatsink 125x35x50mm fixation M3"),
        ("MountingHolesOffset11.32mm.wrl", "mounting holes offset 11.32mm"),
        ("GMSTBA_2,5_8-G_1x08.step", "gmstba 2,5 8-G 1x08"),
        ("Tyco_1-84953-3_1x13-1MP.stp", "tyco 1-84953-3 1x13-1MP"),
        ("PinHeader_2x40_Pin1Right.step", "pin header 2x40 pin right"),
        ("LM317T_TO-220.step", "LM317T TO-220"),
        ("6204-2RS bearing.step", "6204-2RS bearing"),
        ("R_Axial_DIN0414.step", "r axial DIN0414"),
        ("C_0805_2012Metric.wrl", "c 0805 2012Metric"),
        ("R_1206_3216Metric.step", "r 1206 3216Metric"),
        # Numbers that count files are none of these.
        ("CHAIR-01.obj", "chair"),
        ("Bed2.obj", "bed"),
        ("Coffee-Table-2.obj", "coffee table"),
        ("chair_2020-01-05.obj", "chair"),
        ("chair_1234.obj", "chair"),
        ("LOD2_chair.obj", "chair"),
    ],
)
def test_names(name: str, caption: str) -> None:
    assert caption_from_name(name) == caption


@given(
    st.sampled_from(["chair", "night_stand", "BedSide", "Bed", "TABLE"]),
    st.integers(0, 10**9),
    st.integers(1, 9),
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

"""Benchmarks of search run; what they measure is for a quiet machine."""

import re
import runpy
from pathlib import Path

import numpy as np
from benchmark_process import BENCHMARKS, run

from triform.search.gallery import create_gallery

# A name for each query of `search_words`, in its order.
NAMES = """
PinHeader_1x04 BarrelJack_A LED_D5.0mm PinSocket_2x24 LQFP-128_A TerminalBlock_Phoenix_A
BatteryHolder_AAA USB_C_Receptacle Crystal_A Relay_Omron Heatsink_A Potentiometer_Bourns
JST_1x06 R_Axial_A C_Radial_A TestPoint_Bridge DINRailAdapter HDMI_A TO-220_A microSD_A
Buzzer_A RJ45_A Valve_A L_Toroid DHT11 SW_Tactile MAN73A 2450AT FFC_A DIP-8 R_LDR
Mounting_Wuerth RV_Disc SATA_A
"""
PARTS = [f"x/{name}" for name in NAMES.split()]


def test_search_backends(tmp_path: Path) -> None:
    small = ("--count", "500", "--queries", "3", "--engines", "ours", "--kills", "1")
    output = run(tmp_path, "search_backends.py", *small)
    assert output.startswith("ours 500")
    recalls = re.findall(r"recall +([\d.]+)", output)
    assert recalls == ["1.0", "1.0"] and "['whole']" in output


def test_search_words(tmp_path: Path) -> None:
    """Random vectors find nothing; words find every part that is named."""
    gallery = create_gallery(tmp_path / "parts.gallery", encoder="random")
    vectors = np.random.default_rng(0).standard_normal((len(PARTS), 256), np.float32)
    records = [{"path": f"{part}.wrl", "kind": "whole"} for part in PARTS]
    gallery.add(list(PARTS), vectors, records, encoder="random", words=list(PARTS))
    gallery.save()
    output = run(tmp_path, "search_words.py", "parts.gallery")
    assert output.startswith(f"{len(PARTS)} parts")
    found = dict(re.findall(r"^  in names +weight ([\d.]+): first +(\d+)", output, re.MULTILINE))
    assert int(found["0.0"]) < 5 and int(found["3.0"]) == 20


def test_queries_of_search_negatives() -> None:
    """Without its measurement, which needs the drawings of `triform data get emoji`."""
    program = runpy.run_path(str(BENCHMARKS / "search_negatives.py"))
    groups = {
        "penguin": ("animals-nature", "animal-bird"),
        "ant": ("animals-nature", "animal-bug"),
        "taxi": ("travel-places", "transport-ground"),
    }
    queries = {texts: judges for texts, *judges in program["selection_queries"](groups)}
    assert len(queries) == 51
    is_excluded, is_right = queries["green", "circle"]
    names = ("green circle", "green heart", "evergreen tree")
    assert [is_excluded(name) for name in names] == [True, False, False]
    assert [is_right(name) for name in names] == [True, True, False]
    is_excluded, is_right = queries["animal", "bird"]
    assert [is_excluded(name) for name in groups] == [True, False, False]
    assert [is_right(name) for name in groups] == [True, True, False]

"""Benchmarks of search run; what they measure is for a quiet machine."""

import re
from pathlib import Path

import numpy as np
from benchmark_process import run

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

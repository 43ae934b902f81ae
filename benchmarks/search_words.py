"""Words and vectors together: 40 queries among CAD parts, half of them words of the parts' names.

    apt-get download kicad-packages3d && dpkg-deb -x kicad-packages3d_*.deb KICAD
    python benchmarks/search_words.py --select KICAD/usr/share/kicad/3dmodels PARTS
    triform retrieval search --gallery PARTS --index parts.gallery --text "pin header"
    python benchmarks/search_words.py parts.gallery

The parts are at most two of each kind of Debian's `kicad-packages3d`, in its folders
(`Connector_JST.3dshapes/JST_PH_S6B-PH-K_1x06_P2.00mm_Horizontal.wrl`). A pattern for each query
says which names are right. Printed: for how many of the queries a right part is first, and among
the first five, for each weight of the words; weight 0 is the embedding alone.
"""

import argparse
import random
import re
import shutil
from pathlib import Path

from triform.search.gallery import open_gallery
from triform.systems.retrieval.trained import EncoderOverrides, open_retriever

# Query: pattern of the right names. The first half occurs in names, the second does not.
IN_NAMES = {
    "pin header": r"/(Fan)?PinHeader|IDC-Header",
    "barrel jack": r"/BarrelJack",
    "5mm led": r"LED_D5\.0mm|LED_WS2812.*5\.0x5\.0mm",
    "pin socket 2x24": r"PinSocket_2x24",
    "LQFP-128": r"LQFP-128",
    "terminal block phoenix": r"TerminalBlock_Phoenix",
    "battery holder AAA": r"BatteryHolder.*AAA",
    "usb c receptacle": r"USB_C_Receptacle",
    "crystal": r"/Crystal",
    "relay omron": r"Relay.*Omron",
    "heatsink": r"Heatsink",
    "potentiometer bourns": r"Potentiometer_Bourns",
    "JST 1x06": r"JST.*1x06",
    "axial resistor": r"R_Axial",
    "radial capacitor": r"C_Radial",
    "test point bridge": r"TestPoint_Bridge",
    "DIN rail adapter": r"DINRailAdapter",
    "hdmi": r"HDMI",
    "TO-220": r"TO-220",
    "micro sd": r"microSD",
}
NOT_IN_NAMES = {
    "loudspeaker": r"Buzzer",
    "ethernet plug": r"/RJ45",
    "cooling fins": r"Heatsink",
    "vacuum tube": r"/Valve",
    "coil of wire": r"/L_|Inductor",
    "television cable": r"HDMI",
    "humidity meter": r"DHT11",
    "push button": r"SW_Tactile",
    "knob to turn": r"Potentiometer",
    "numeral display": r"MAN3820A|MAN73A|CR2013|eDIPTFT32",
    "aerial": r"2450AT",
    "phone charging port": r"/USB",
    "flat ribbon cable": r"FFC|/TE_[12]-84|IDC",
    "screw clamp": r"TerminalBlock|Altech",
    "cell compartment": r"BatteryHolder",
    "chip with legs on both sides": r"DIP-|SOIC|TSSOP",
    "light sensitive resistance": r"R_LDR",
    "bolt spacer": r"Mounting_Wuerth",
    "voltage spike absorber": r"RV_Disc",
    "hard disk cable": r"SATA",
}
WEIGHTS = (0.0, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0)


def select(source, target):
    """Copy at most two parts of each folder, drawn by a fixed seed."""
    numbers = random.Random(0)
    for folder in sorted(source.glob("*.3dshapes")):
        parts = sorted(folder.glob("*.wrl"))
        for part in numbers.sample(parts, min(2, len(parts))):
            copy = target / folder.name / part.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(part, copy)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("gallery", nargs="?")
    parser.add_argument("--select", nargs=2, type=Path, metavar=("3DMODELS", "PARTS"))
    args = parser.parse_args()
    if args.select:
        select(*args.select)
        return
    gallery = open_gallery(args.gallery)
    retriever = open_retriever(None, "cpu", EncoderOverrides(None, None, None))
    kinds = [kind for kind in ("whole", "points") if gallery.records({"kind": kind}, limit=1)]
    names = [one["path"] for one in gallery.records({"kind": kinds[0]}).values()]
    print(f"{len(names)} parts; words of names are compared with {kinds[0]} vectors")
    for title, queries in (("in names", IN_NAMES), ("not in names", NOT_IN_NAMES)):
        for query, pattern in queries.items():
            assert any(re.search(pattern, name) for name in names), query
        vectors = retriever.encode_texts(list(queries))
        for weight in WEIGHTS:
            answers = gallery.search(
                vectors,
                5,
                encoder=gallery.encoder,
                words=list(queries),
                where={"kind": kinds[0]},
                word_weight=weight,
            )
            first = five = 0
            wrong = []
            for (query, pattern), hits in zip(queries.items(), answers, strict=True):
                right = [bool(re.search(pattern, hit.record["path"])) for hit in hits]
                first, five = first + right[0], five + any(right)
                wrong += [query] * (not right[0])
            print(f"  {title:13} weight {weight:3}: first {first:2} of 20, in five {five:2} of 20")
            if weight in (0.0, 1.0):
                print("      not first:", ", ".join(wrong))


if __name__ == "__main__":
    main()

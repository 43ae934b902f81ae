"""``testdataset``: furniture, people and vehicles made from parameters, with exact captions.

Object number n is the same for every size of the data set: its kind and its shape depend on the
seed and n alone. Kinds take turns, so that every group of kinds is there in any few dozen objects.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from triform.base.files import atomic_write
from triform.datasets.parametric import (
    cabinets,
    cars,
    cycles,
    hanging,
    lighting,
    openings,
    people,
    rest,
    sanitary,
    seating,
    stools,
    storage,
    tables,
    vehicles,
)
from triform.datasets.parametric.dice import Dice
from triform.datasets.parametric.solids import MATERIALS, Solids
from triform.datasets.parametric.wording import Words, captions
from triform.datasets.shape import CAPTIONS_FILE
from triform.geometry.mesh import Mesh

Maker = Callable[[Dice], tuple[Solids, Words]]

# Group -> its kinds; a kind named twice comes up twice as often.
GROUPS: dict[str, tuple[Maker, ...]] = {
    "chairs": (
        seating.chair,
        seating.armchair,
        seating.chair,
        seating.office_chair,
        stools.stool,
        seating.chair,
        stools.bench,
        seating.armchair,
        seating.chair,
        stools.rocking_chair,
        stools.folding_chair,
        stools.sun_lounger,
    ),
    "tables": (
        tables.table,
        tables.desk,
        tables.table,
        tables.coffee_table,
        tables.desk,
        tables.table,
        tables.side_table,
        tables.coffee_table,
        tables.bar_table,
        tables.corner_desk,
        tables.picnic_table,
        tables.dressing_table,
    ),
    "beds": (rest.bed, rest.bed, rest.bed, rest.bunk_bed, rest.bed, rest.crib),
    "sofas": (
        rest.sofa,
        rest.corner_sofa,
        rest.sofa,
        rest.sofa,
        rest.daybed,
        rest.sofa,
        rest.ottoman,
    ),
    "storage": (
        storage.bookcase,
        cabinets.wardrobe,
        cabinets.chest_of_drawers,
        cabinets.cabinet,
        storage.bookcase,
        storage.cube_shelf,
        cabinets.sideboard,
        storage.wall_shelf,
        cabinets.nightstand,
        cabinets.wardrobe,
        storage.shelf_rack,
    ),
    "lamps": (
        lighting.floor_lamp,
        lighting.table_lamp,
        lighting.desk_lamp,
        hanging.pendant_lamp,
        lighting.table_lamp,
        hanging.ceiling_lamp,
        hanging.wall_lamp,
        hanging.chandelier,
        lighting.street_lamp,
    ),
    "openings": (
        openings.door,
        openings.window,
        openings.window,
        openings.door,
        openings.french_window,
        openings.mirror,
    ),
    "sanitary": (
        sanitary.washbasin,
        sanitary.toilet,
        sanitary.washbasin,
        sanitary.bathtub,
        sanitary.toilet,
        sanitary.vanity,
        sanitary.bidet,
        sanitary.shower,
    ),
    "people": (people.person,),
    "vehicles": (
        cars.car,
        vehicles.truck,
        cars.car,
        cycles.bicycle,
        vehicles.bus,
        cars.car,
        cars.van,
        cycles.motorcycle,
        vehicles.airplane,
    ),
}


@dataclasses.dataclass(frozen=True)
class Piece:
    """One object: its mesh, what it is, and its captions, the fullest first."""

    name: str
    kind: str
    group: str
    mesh: Mesh
    materials: tuple[tuple[str, int], ...]
    captions: tuple[str, ...]


def build(number: int, seed: int = 0) -> Piece:
    """Builds object ``number`` (0, 1, 2, ...): +Y up, front to +Z, metres, standing on y = 0."""
    names = list(GROUPS)
    group = names[number % len(names)]
    turn = number // len(names)
    makers = GROUPS[group]
    maker = makers[turn % len(makers)]
    dice = Dice(seed, zlib.crc32(maker.__name__.encode()), turn)
    solids, words = maker(dice)
    kind = maker.__name__.replace("_", " ")
    return Piece(
        name=f"{maker.__name__}_{number:05d}",
        kind=kind,
        group=group,
        mesh=solids.mesh(),
        materials=tuple(solids.materials()),
        captions=captions(words, dice.rng),
    )


def pieces(count: int, seed: int = 0) -> Iterator[Piece]:
    """The first ``count`` objects."""
    return (build(number, seed) for number in range(count))


def write_testdataset(
    folder: Path, count: int, seed: int = 0, progress: Callable[[int], object] | None = None
) -> None:
    """Writes ``count`` objects as OBJ files with one material file and a ``captions.csv``.

    Args:
        folder: made where it is missing; what is there is written over.
        count: number of objects, 1 or more.
        seed: another seed gives other objects.
        progress: called with 1 after each object.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["object_id", "caption", "category"])
    for piece in pieces(count, seed):
        (folder / f"{piece.name}.obj").write_text(_obj_text(piece), "ascii")
        writer.writerows([piece.name, caption, piece.kind] for caption in piece.captions)
        if progress:
            progress(1)
    colors = (
        f"newmtl {name}\nKd {r / 255:.4f} {g / 255:.4f} {b / 255:.4f}\n"
        for name, (r, g, b) in MATERIALS.items()
    )
    (folder / "materials.mtl").write_text("\n".join(colors), "ascii")
    with atomic_write(folder / CAPTIONS_FILE) as stream:
        stream.write(table.getvalue().encode())


def _obj_text(piece: Piece) -> str:
    """The piece as OBJ; one format call for all rows is several times faster than one for each."""
    vertices, faces = piece.mesh.vertices, piece.mesh.faces + 1
    text = [f"# {piece.captions[0]}\nmtllib materials.mtl\n"]
    text.append("v %.5g %.5g %.5g\n" * len(vertices) % tuple(vertices.ravel().tolist()))
    start = 0
    for material, count in piece.materials:
        rows = faces[start : start + count]
        text.append(f"usemtl {material}\n" + "f %d %d %d\n" * count % tuple(rows.ravel().tolist()))
        start += count
    return "".join(text)

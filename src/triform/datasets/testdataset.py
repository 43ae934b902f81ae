"""Data set `testdataset`: parametric furniture, people and vehicles with exact captions.

Object n is the same for every size of the data set: its kind and shape depend only on the seed and
n. The groups alternate, so that a few dozen consecutive objects have all of them.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from triform.base.files import atomic_write
from triform.datasets.parametric import (
    baths,
    cabinets,
    cars,
    cycles,
    desks,
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
from triform.datasets.parametric.description import Description, captions
from triform.datasets.parametric.sampler import Sampler
from triform.datasets.parametric.solids import MATERIALS, Solids
from triform.datasets.shape import CAPTIONS_FILE
from triform.geometry.mesh import Mesh

Generator = Callable[[Sampler], tuple[Solids, Description]]

# Group -> generators of its kinds; one that is listed twice is used twice as often.
GROUPS: dict[str, tuple[Generator, ...]] = {
    "chairs": (
        *(seating.chair, seating.armchair, seating.chair, seating.office_chair, stools.stool),
        *(seating.chair, stools.bench, seating.armchair, seating.chair, stools.rocking_chair),
        *(stools.folding_chair, stools.sun_lounger),
    ),
    "tables": (
        *(tables.table, desks.desk, tables.table, tables.coffee_table, desks.desk, tables.table),
        *(tables.side_table, tables.coffee_table, tables.bar_table, desks.corner_desk),
        *(tables.picnic_table, desks.dressing_table),
    ),
    "beds": (rest.bed, rest.bed, rest.bed, rest.bunk_bed, rest.bed, rest.crib),
    "sofas": (
        *(rest.sofa, rest.corner_sofa, rest.sofa, rest.sofa, rest.daybed, rest.sofa, rest.ottoman),
    ),
    "storage": (
        *(storage.bookcase, cabinets.wardrobe, cabinets.chest_of_drawers, cabinets.cabinet),
        *(storage.bookcase, storage.cube_shelf, cabinets.sideboard, storage.wall_shelf),
        *(cabinets.nightstand, cabinets.wardrobe, storage.shelf_rack),
    ),
    "lamps": (
        *(lighting.floor_lamp, lighting.table_lamp, lighting.desk_lamp, hanging.pendant_lamp),
        *(lighting.table_lamp, hanging.ceiling_lamp, hanging.wall_lamp, hanging.chandelier),
        lighting.street_lamp,
    ),
    "openings": (
        *(openings.door, openings.window, openings.window, openings.door, openings.french_window),
        openings.mirror,
    ),
    "sanitary": (
        *(sanitary.washbasin, sanitary.toilet, sanitary.washbasin, baths.bathtub, sanitary.toilet),
        *(sanitary.vanity, sanitary.bidet, baths.shower),
    ),
    "people": (people.person,),
    "vehicles": (
        *(cars.car, vehicles.truck, cars.car, cycles.bicycle, vehicles.bus, cars.car, cars.van),
        *(cycles.motorcycle, vehicles.airplane),
    ),
}


@dataclasses.dataclass(frozen=True)
class GeneratedObject:
    """One object: its mesh, kind and captions, the most detailed first."""

    name: str
    kind: str
    group: str
    mesh: Mesh
    materials: tuple[tuple[str, int], ...]
    captions: tuple[str, ...]


def generate_object(index: int, seed: int = 0) -> GeneratedObject:
    """Generate an object (0, 1, 2, ...): +Y up, front to +Z, in metres, standing on y = 0."""
    names = list(GROUPS)
    group = names[index % len(names)]
    round_index = index // len(names)
    generators = GROUPS[group]
    generator = generators[round_index % len(generators)]
    sampler = Sampler(seed, zlib.crc32(generator.__name__.encode()), round_index)
    solids, description = generator(sampler)
    kind = generator.__name__.replace("_", " ")
    return GeneratedObject(
        name=f"{generator.__name__}_{index:05d}",
        kind=kind,
        group=group,
        mesh=solids.mesh(),
        materials=tuple(solids.materials()),
        captions=captions(description, sampler.rng),
    )


def generate_objects(count: int, seed: int = 0) -> Iterator[GeneratedObject]:
    """Generate the first `count` objects."""
    return (generate_object(index, seed) for index in range(count))


def write_testdataset(
    folder: Path, count: int, seed: int = 0, progress: Callable[[int], object] | None = None
) -> None:
    """Write objects as OBJ files with one material file and a `captions.csv`.

    Args:
        folder: created if missing; existing files are overwritten.
        count: number of objects, 1 or more.
        seed: another seed gives other objects.
        progress: called with 1 after each object.
    """
    write_objects(folder, generate_objects(count, seed), progress, MATERIALS)


def write_objects(
    folder: Path,
    objects: Iterable[GeneratedObject],
    progress: Callable[[int], object] | None = None,
    colors: Mapping[str, tuple[int, int, int]] | None = None,
) -> None:
    """Write objects as OBJ files with one material file and a `captions.csv`.

    Args:
        folder: created if missing; existing files are overwritten.
        objects: the objects.
        progress: called with 1 after each object.
        colors: sRGB of each material; None: of the first face that has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO(newline="")
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["object_id", "caption", "category"])
    colors_of_faces: dict[str, tuple[int, int, int]] = {}
    for generated in objects:
        (folder / f"{generated.name}.obj").write_text(_obj_text(generated), "ascii")
        writer.writerows(
            [generated.name, caption, generated.kind] for caption in generated.captions
        )
        if colors is None:
            colors_of_faces |= _colors_of_faces(generated)
        if progress:
            progress(1)
    materials = (
        f"newmtl {name}\nKd {r / 255:.4f} {g / 255:.4f} {b / 255:.4f}\n"
        for name, (r, g, b) in (colors or colors_of_faces).items()
    )
    (folder / "materials.mtl").write_text("\n".join(materials), "ascii")
    with atomic_write(folder / CAPTIONS_FILE) as stream:
        stream.write(table.getvalue().encode())


def _colors_of_faces(generated: GeneratedObject) -> dict[str, tuple[int, int, int]]:
    """Material -> sRGB of its first face."""
    start, colors = 0, {}
    face_colors = generated.mesh.face_colors
    assert face_colors is not None  # every design is coloured
    for name, count in generated.materials:
        r, g, b = face_colors[start].tolist()
        colors[name] = (r, g, b)
        start += count
    return colors


def _obj_text(generated: GeneratedObject) -> str:
    """OBJ file of an object; one format call for all rows is several times faster than one each."""
    vertices, faces = generated.mesh.vertices, generated.mesh.faces + 1
    text = [f"# {generated.captions[0]}\nmtllib materials.mtl\n"]
    text.append("v %.5g %.5g %.5g\n" * len(vertices) % tuple(vertices.ravel().tolist()))
    start = 0
    for material, count in generated.materials:
        rows = faces[start : start + count]
        text.append(f"usemtl {material}\n" + "f %d %d %d\n" * count % tuple(rows.ravel().tolist()))
        start += count
    return "".join(text)

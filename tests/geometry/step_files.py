"""STEP files (ISO 10303-21, AP214) written by hand: boxes and cylinders in assemblies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

UNITS = {
    "mm": "(LENGTH_UNIT() NAMED_UNIT(*) SI_UNIT(.MILLI.,.METRE.))",
    "m": "(LENGTH_UNIT() NAMED_UNIT(*) SI_UNIT($,.METRE.))",
    "inch": "(CONVERSION_BASED_UNIT('INCH',{inch}) LENGTH_UNIT() NAMED_UNIT({dimensions}))",
}


@dataclass
class Part:
    """A product: a solid of its own, or others placed."""

    name: str
    solid: str = ""  # "box" or "cylinder"
    size: Sequence[float] = (1, 1, 1)  # of the box; radius, height, - of the cylinder
    color: Sequence[float] | None = None
    # Parts with the place of their origin, the direction of their z axis and of their x axis.
    children: list[tuple[Part, Sequence[float], Sequence[float], Sequence[float]]] = field(
        default_factory=list
    )


def step_file(root: Part, unit: str = "mm") -> bytes:
    """A file with one product, and all that it is made of."""
    return _Writer(unit).file(root)


class _Writer:
    def __init__(self, unit: str) -> None:
        self.lines: list[str] = []
        self.application = self.add("APPLICATION_CONTEXT('automotive_design')")
        self.add(
            "APPLICATION_PROTOCOL_DEFINITION('international standard','automotive_design',2000,"
            f"{self.application})"
        )
        self.context = self.representation_context(unit)
        self.origin = self.axes((0, 0, 0), (0, 0, 1), (1, 0, 0))
        self.known: dict[int, tuple[str, str]] = {}
        self.styles: list[str] = []
        self.count = 0

    def file(self, root: Part) -> bytes:
        self.product(root)
        if self.styles:
            self.add(
                "MECHANICAL_DESIGN_GEOMETRIC_PRESENTATION_REPRESENTATION('',"
                f"({','.join(self.styles)}),{self.context})"
            )
        data = "\n".join(self.lines)
        return (
            "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\n"
            "FILE_NAME('','2026-01-01T00:00:00',(''),(''),'','','');\n"
            "FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));\nENDSEC;\nDATA;\n"
            f"{data}\nENDSEC;\nEND-ISO-10303-21;\n"
        ).encode()

    def add(self, text: str) -> str:
        self.lines.append(f"#{len(self.lines) + 1}={text};")
        return f"#{len(self.lines)}"

    def representation_context(self, unit: str) -> str:
        parts = {}
        if unit == "inch":
            millimetre = self.add(UNITS["mm"])
            measure = f"LENGTH_MEASURE_WITH_UNIT(LENGTH_MEASURE(25.4),{millimetre})"
            parts["inch"] = self.add(measure)
            parts["dimensions"] = self.add("DIMENSIONAL_EXPONENTS(1.,0.,0.,0.,0.,0.,0.)")
        length = self.add(UNITS[unit].format(**parts))
        angle = self.add("(NAMED_UNIT(*) PLANE_ANGLE_UNIT() SI_UNIT($,.RADIAN.))")
        solid = self.add("(NAMED_UNIT(*) SI_UNIT($,.STERADIAN.) SOLID_ANGLE_UNIT())")
        exact = self.add(
            f"UNCERTAINTY_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E-7),{length},"
            "'distance_accuracy_value','confusion accuracy')"
        )
        return self.add(
            f"(GEOMETRIC_REPRESENTATION_CONTEXT(3) GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT(({exact})) "
            f"GLOBAL_UNIT_ASSIGNED_CONTEXT(({length},{angle},{solid})) "
            "REPRESENTATION_CONTEXT('',''))"
        )

    def product(self, part: Part) -> tuple[str, str]:
        """A product; returns its definition and its shape."""
        if id(part) in self.known:
            return self.known[id(part)]
        children = [(self.product(child), *position) for child, *position in part.children]
        context = self.add(f"PRODUCT_CONTEXT('',{self.application},'mechanical')")
        name = self.add(f"PRODUCT('{part.name}','{part.name}','',({context}))")
        formation = self.add(f"PRODUCT_DEFINITION_FORMATION('','',{name})")
        stage = self.add(
            f"PRODUCT_DEFINITION_CONTEXT('part definition',{self.application},'design')"
        )
        definition = self.add(f"PRODUCT_DEFINITION('design','',{formation},{stage})")
        shape_of = self.add(f"PRODUCT_DEFINITION_SHAPE('','',{definition})")
        positions = [self.axes(*position) for _, *position in children]
        entries, kind = [self.origin, *positions], "SHAPE_REPRESENTATION"
        if part.solid:
            entries.append(getattr(self, part.solid)(*part.size))
            kind = "ADVANCED_BREP_SHAPE_REPRESENTATION"
            if part.color is not None:
                self.styles.append(self.style(entries[-1], part.color))
        shape = self.add(f"{kind}('',({','.join(entries)}),{self.context})")
        self.add(f"SHAPE_DEFINITION_REPRESENTATION({shape_of},{shape})")
        for ((child, child_shape), *_), position in zip(children, positions, strict=True):
            self.place(definition, shape, child, child_shape, position)
        self.known[id(part)] = (definition, shape)
        return definition, shape

    def place(self, parent: str, shape: str, child: str, child_shape: str, place: str) -> None:
        self.count += 1
        used = self.add(
            f"NEXT_ASSEMBLY_USAGE_OCCURRENCE('{self.count}','{self.count}','',{parent},{child},$)"
        )
        used_shape = self.add(f"PRODUCT_DEFINITION_SHAPE('','',{used})")
        move = self.add(f"ITEM_DEFINED_TRANSFORMATION('','',{self.origin},{place})")
        relation = self.add(
            f"(REPRESENTATION_RELATIONSHIP('','',{child_shape},{shape}) "
            f"REPRESENTATION_RELATIONSHIP_WITH_TRANSFORMATION({move}) "
            "SHAPE_REPRESENTATION_RELATIONSHIP())"
        )
        self.add(f"CONTEXT_DEPENDENT_SHAPE_REPRESENTATION({relation},{used_shape})")

    def style(self, solid: str, color: Sequence[float]) -> str:
        rgb = self.add(f"COLOUR_RGB('',{_numbers(color)})")
        fill = self.add(f"FILL_AREA_STYLE_COLOUR('',{rgb})")
        area = self.add(f"FILL_AREA_STYLE('',({fill}))")
        surface = self.add(f"SURFACE_STYLE_FILL_AREA({area})")
        side = self.add(f"SURFACE_SIDE_STYLE('',({surface}))")
        usage = self.add(f"SURFACE_STYLE_USAGE(.BOTH.,{side})")
        assignment = self.add(f"PRESENTATION_STYLE_ASSIGNMENT(({usage}))")
        return self.add(f"STYLED_ITEM('color',({assignment}),{solid})")

    def box(self, *size: float) -> str:
        """A box from the origin to its size."""
        corners = {
            bits: tuple(s * b for s, b in zip(size, bits, strict=True))
            for bits in itertools.product((0, 1), repeat=3)
        }
        vertices = {bits: self.vertex(corner) for bits, corner in corners.items()}
        edges = {}
        for bits in corners:
            for axis in range(3):
                if not bits[axis]:
                    other = (*bits[:axis], 1, *bits[axis + 1 :])
                    direction = [float(i == axis) for i in range(3)]
                    line = self.line(corners[bits], direction)
                    ends = f"{vertices[bits]},{vertices[other]}"
                    edges[bits, other] = self.add(f"EDGE_CURVE('',{ends},{line},.T.)")
        faces = []
        for axis, end in itertools.product(range(3), (0, 1)):
            u, v = ((axis + 1) % 3, (axis + 2) % 3) if end else ((axis + 2) % 3, (axis + 1) % 3)
            loop = []
            for du, dv in ((0, 0), (1, 0), (1, 1), (0, 1)):
                bits = [0, 0, 0]
                bits[axis], bits[u], bits[v] = end, du, dv
                loop.append(tuple(bits))
            bound = []
            for one, two in zip(loop, [*loop[1:], loop[0]], strict=True):
                forward = (one, two) in edges
                edge = edges[(one, two) if forward else (two, one)]
                bound.append(self.add(f"ORIENTED_EDGE('',*,*,{edge},.{'T' if forward else 'F'}.)"))
            normal = [0.0, 0.0, 0.0]
            normal[axis] = 1.0 if end else -1.0
            across = [float(i == u) for i in range(3)]
            plane = self.add(f"PLANE('',{self.axes(corners[loop[0]], normal, across)})")
            faces.append(self.face(plane, bound))
        return self.solid(faces)

    def cylinder(self, radius: float, height: float, *_: float) -> str:
        """A cylinder that stands on the origin."""
        x = (1, 0, 0)
        low, high = self.vertex((radius, 0, 0)), self.vertex((radius, 0, height))
        circles = []
        for z, vertex in ((0, low), (height, high)):
            axes = self.axes((0, 0, z), (0, 0, 1), x)
            circle = self.add(f"CIRCLE('',{axes},{_number(radius)})")
            circles.append(self.add(f"EDGE_CURVE('',{vertex},{vertex},{circle},.T.)"))
        line = self.line((radius, 0, 0), (0, 0, 1))
        seam = self.add(f"EDGE_CURVE('',{low},{high},{line},.T.)")
        walk = [(circles[0], "T"), (seam, "T"), (circles[1], "F"), (seam, "F")]
        bound = [self.add(f"ORIENTED_EDGE('',*,*,{edge},.{way}.)") for edge, way in walk]
        axes = self.axes((0, 0, 0), (0, 0, 1), x)
        side = self.add(f"CYLINDRICAL_SURFACE('',{axes},{_number(radius)})")
        faces = [self.face(side, bound)]
        for circle, z, way, up in ((circles[0], 0, "F", -1), (circles[1], height, "T", 1)):
            plane = self.add(f"PLANE('',{self.axes((0, 0, z), (0, 0, up), x)})")
            edge = self.add(f"ORIENTED_EDGE('',*,*,{circle},.{way}.)")
            faces.append(self.face(plane, [edge]))
        return self.solid(faces)

    def face(self, surface: str, bound: list[str]) -> str:
        loop = self.add(f"EDGE_LOOP('',({','.join(bound)}))")
        outer = self.add(f"FACE_OUTER_BOUND('',{loop},.T.)")
        return self.add(f"ADVANCED_FACE('',({outer}),{surface},.T.)")

    def solid(self, faces: list[str]) -> str:
        shell = self.add(f"CLOSED_SHELL('',({','.join(faces)}))")
        return self.add(f"MANIFOLD_SOLID_BREP('',{shell})")

    def line(self, point: Sequence[float], direction: Sequence[float]) -> str:
        vector = self.add(f"VECTOR('',{self.direction(direction)},1.)")
        return self.add(f"LINE('',{self.point(point)},{vector})")

    def axes(self, place: Sequence[float], z: Sequence[float], x: Sequence[float]) -> str:
        return self.add(
            f"AXIS2_PLACEMENT_3D('',{self.point(place)},{self.direction(z)},{self.direction(x)})"
        )

    def vertex(self, place: Sequence[float]) -> str:
        return self.add(f"VERTEX_POINT('',{self.point(place)})")

    def point(self, place: Sequence[float]) -> str:
        return self.add(f"CARTESIAN_POINT('',({_numbers(place)}))")

    def direction(self, direction: Sequence[float]) -> str:
        return self.add(f"DIRECTION('',({_numbers(direction)}))")


def _numbers(values: Sequence[float]) -> str:
    return ",".join(map(_number, values))


def _number(value: float) -> str:
    """STEP's reals need a point."""
    text = repr(float(value)).upper()
    return text if "E" not in text or "." in text else text.replace("E", ".E")


def iges_file(side: float, unit: str = "mm") -> bytes:
    """A flat square in the xy plane, as one B-spline patch (entity 128)."""
    units = {"mm": "2,2HMM", "m": "6,1HM", "inch": "1,4HINCH"}[unit]
    names = ",".join(["4Htest"] * 4)
    date = "15H20260101.000000"
    header = (
        f"1H,,1H;,{names},32,38,6,308,15,4Htest,1.0,{units},1,0.01,{date},1.E-6,1000.,"
        f"4Htest,4Htest,11,0,{date};"
    )
    points = [f"{x},{y},0." for y in (0.0, float(side)) for x in (0.0, float(side))]
    # Degrees 1 and 1; the knots of both directions, the weights, the points, the ranges.
    knots = ["0.", "0.", "1.", "1."]
    words = ["128,1,1,1,1,0,0,1,0,0", *knots, *knots, *["1."] * 4, *points, "0.,1.,0.,1.;"]
    rows = [f"{word}," if not word.endswith(";") else word for word in words]
    sections = {
        "S": ["test"],
        "G": [header[i : i + 72] for i in range(0, len(header), 72)],
        "D": [_row(128, 1, 0, 0, 0, 0, 0, 0, "00000000"), _row(128, 0, 0, len(rows), 0)],
        "P": [f"{row:<64}{1:8d}" for row in rows],
    }
    sections["T"] = ["".join(f"{name}{len(rows):7d}" for name, rows in sections.items())]
    return "".join(
        f"{text:<72}{name}{number:7d}\n"
        for name, texts in sections.items()
        for number, text in enumerate(texts, 1)
    ).encode()


def _row(*values: object) -> str:
    return "".join(f"{value!s:>8}" for value in values)

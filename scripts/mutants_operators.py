"""Changes that cosmic-ray does not bring: a statement left out, two arguments the wrong way."""

from collections.abc import Iterator

from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Keyword
from parso.tree import Node, NodeOrLeaf

SYMMETRIC = ("min", "max", "minimum", "maximum", "isclose", "array_equal")
Places = Iterator[tuple[tuple[int, int], tuple[int, int]]]


class RemoveStatement(Operator):
    """Leave out a call whose value nobody takes, or a change of what a name or attribute holds."""

    def mutation_positions(self, node: NodeOrLeaf) -> Places:
        """Where such statements stand."""
        if getattr(node.parent, "type", "") != "simple_stmt" or not isinstance(node, Node):
            return
        called = node.type in ("atom_expr", "power")
        changed = node.type == "expr_stmt" and (
            (getattr(node.children[1], "type", "") == "operator" and node.children[1].value != "=")
            or node.children[0].type in ("atom_expr", "power")
        )
        if called or changed:
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Put `pass` in its place."""
        return Keyword("pass", node.start_pos, node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """What becomes of what."""
        return (Example("f()", "pass"), Example("x += 1", "pass"), Example("a.b = 1", "pass"))


class SwapArguments(Operator):
    """Give the first two positional arguments the wrong way round."""

    def mutation_positions(self, node: NodeOrLeaf) -> Places:
        """Where a call has two of them."""
        if node.type == "arglist" and node.parent.type == "trailer":
            first, second = node.children[0], node.children[2]
            called = node.parent.get_previous_sibling().get_code().strip(" .")
            if called in SYMMETRIC:
                return
            if all(each.type != "argument" for each in (first, second)):
                yield node.start_pos, node.end_pos

    def mutate(self, node: Node, index: int) -> Node:
        """Swap them."""
        node.children[0], node.children[2] = node.children[2], node.children[0]
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """What becomes of what."""
        return (Example("f(a,b)", "f(b,a)"),)


OPERATORS = {cls.__name__: cls for cls in (RemoveStatement, SwapArguments)}


class Provider:
    """Hands these operators to cosmic-ray by name."""

    def __iter__(self) -> Iterator[str]:
        return iter(OPERATORS)

    def __getitem__(self, name: str) -> type[Operator]:
        return OPERATORS[name]

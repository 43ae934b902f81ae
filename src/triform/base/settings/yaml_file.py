"""Settings in YAML files, which may be of a stranger."""

from pathlib import Path
from typing import Any

import yaml

from triform.base.errors import UsageError, UserError
from triform.base.files import read_regular

MAX_YAML_BYTES = 100_000


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the mapping in a YAML file; an empty file is an empty mapping.

    Raises:
        UsageError: No such file, not a regular or a small one, not YAML, a duplicate key,
            an alias, or not a mapping.
    """
    try:
        text = read_regular(path, MAX_YAML_BYTES).decode("utf-8")
        content = _StrictLoader(text).get_single_data()
    except UserError as error:
        raise UsageError(str(error)) from error
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UsageError(f"{path}: {line}{error.problem or 'not YAML'}") from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path}: not a YAML file in UTF-8") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise UsageError(f"{path}: expected settings as `name: value`")
    return content


class _StrictLoader(yaml.SafeLoader):
    """YAML loader that refuses duplicate keys and aliases.

    A few lines of nested aliases expand to more values than any machine can visit.
    """

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose one node."""
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"*{event.anchor} refers to another place, which settings may not do",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build one mapping."""
        keys: set[str] = set()
        for key, _ in node.value:
            # A key may be a list: whoever cannot hash it refuses it below.
            if isinstance(key.value, str) and key.value in keys:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} stands twice", problem_mark=key.start_mark
                )
            if isinstance(key.value, str):
                keys.add(key.value)
        return super().construct_mapping(node, deep)

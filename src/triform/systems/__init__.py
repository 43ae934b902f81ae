"""The systems. The folder is the registry: a sub-folder with a `config.py` is a system.

Nothing here imports a system before it is asked for, so that the command line answers at once:
`names()` reads the folder, `load(name).config` imports settings (no torch), and
`load(name).system` imports the rest.
"""

import ast
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from triform.base.errors import UsageError, UserError
from triform.base.settings.nearest import nearest

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One system as it lies on disk; its modules are imported on first use.

    Attributes:
        name: Name of the folder, which is the name on the command line.
        folder: Where the system's files are.
    """

    name: str
    folder: Path

    @property
    def config(self) -> ModuleType:
        """The module `config.py`: `Config`, `VERBS`. Imports no torch."""
        return importlib.import_module(f"{__name__}.{self.name}.config")

    @property
    def system(self) -> ModuleType:
        """The module `system.py`: `System` and one function per verb."""
        return importlib.import_module(f"{__name__}.{self.name}.system")

    def verb(self, name: str) -> Callable[[Any], Any]:
        """The function behind a verb: that of `system.py`, else the engine's, as for `train`.

        Verbs that answer without the networks are in modules of their own, which the system's
        `config.VERB_MODULES` names, so that they need not wait for torch.
        """
        if module := getattr(self.config, "VERB_MODULES", {}).get(name):
            return cast(
                "Callable[[Any], Any]",
                getattr(importlib.import_module(f"{__name__}.{self.name}.{module}"), name),
            )
        function: Callable[[Any], Any] | None = getattr(self.system, name, None)
        if function is not None:
            return function
        from triform.engine import verbs

        return partial(getattr(verbs, name), self.system.System)

    @property
    def presets(self) -> Path:
        """Folder of the YAML presets."""
        return self.folder / "presets"

    @property
    def docstring(self) -> str:
        """The package's docstring, read without importing it."""
        source = (self.folder / "__init__.py").read_text(encoding="utf-8")
        return ast.get_docstring(ast.parse(source)) or ""

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.docstring.partition("\n")[0]

    @property
    def example(self) -> str:
        """First line of the docstring that is a command, or an empty string."""
        lines = (line.strip() for line in self.docstring.splitlines())
        return next((line for line in lines if line.startswith("triform ")), "")


def names() -> list[str]:
    """Names of all systems, sorted."""
    return sorted(path.parent.name for path in FOLDER.glob("*/config.py"))


def load(name: str) -> Entry:
    """The system with this name.

    Raises:
        UsageError: There is no such system; names the nearest one.
    """
    known = names()
    if name not in known:
        raise UsageError(
            f"unknown system {name!r}{nearest(name, known)}; the systems are: {', '.join(known)}"
        )
    return Entry(name, FOLDER / name)


def from_checkpoint(path: str | Path, device: str = "auto") -> Any:
    """The trained system that a checkpoint or a weights file holds, ready to use.

    The file names its system; that system's class `Trained` does the rest.
    Systems use each other's results this way and through the protocols in `engine/protocol.py`
    only.

    Args:
        path: `.pth` or `.safetensors` file.
        device: `auto`, `cpu`, `gpu`, `cuda` or `cuda:N`.

    Raises:
        UserError: The file cannot be read, or names no system of this installation.
    """
    from triform.engine.checkpoints.checkpoint import load_weights

    name = load_weights(Path(path)).system
    if name not in names():
        raise UserError(
            f"{path}: made by the system {name!r}, which is not installed here; "
            f"the systems are: {', '.join(names())}"
        )
    return load(name).system.Trained.from_checkpoint(Path(path), device)


def captions_images(verb: str, settings: type[Any]) -> bool:
    """Whether a verb with such settings describes images in words."""
    return verb == "caption" and "images" in settings.model_fields


def caption_image(path: str | Path) -> str:
    """Caption of an image, by the system that captions images and whose weights ship.

    Args:
        path: An image file.

    Raises:
        UsageError: There is no such file.
        UserError: The image cannot be read, has no caption, or no such system is installed.
    """
    from triform.pretrained import shipped_weights

    if not Path(path).is_file():
        raise UsageError(f"--image {path}: there is no such file")
    shipped = shipped_weights.names()
    for name in names():
        entry = load(name)
        for verb, settings in entry.config.VERBS.items():
            if captions_images(verb, settings) and name in shipped:
                rows = entry.verb(verb)(settings.model_validate({"images": [str(path)]}))
                caption = str(rows[0].get("caption") or "").strip()
                if not caption:
                    raise UserError(f"{path}: {name} finds no words for this image")
                return caption
    raise UserError(f"{path}: no system of this installation describes images in words")

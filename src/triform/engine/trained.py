"""Trained weights by what somebody wrote: a file, a run directory, or nothing at all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pydantic
import torch
from torch import nn

from triform.base.errors import UserError
from triform.base.logging import get_logger
from triform.base.plain_data import check_plain
from triform.engine.building import build_networks, check_integers
from triform.engine.checkpoint import StateDicts, load_weights
from triform.engine.config import SystemConfig
from triform.engine.device import pick_device
from triform.pretrained import weights

logger = get_logger(__name__)

Config = TypeVar("Config", bound=SystemConfig)
Model = TypeVar("Model", bound="TrainedModel[Any]")


class TrainedModel(ABC, Generic[Config]):
    """A trained model out of a file, in evaluation mode.

    A subclass names its system and its settings and says in `build` what its networks are; this
    class finds the file, reads it, compares it with the networks before they cost memory, loads
    the weights and moves them.

    Attributes:
        source: The file it came from.
        device: Where it computes.
        config: The settings of its training.
        networks: Its networks by their names in the file.
    """

    system: ClassVar[str]
    """Whose weights they are."""
    shipped: ClassVar[str | None] = None
    """Name of the weights that ship; the system's where that is one, else none."""
    documented: ClassVar[str | None] = None
    """File that training writes beside the run."""
    config_class: type[Config]

    def __init__(self, path: Path, device: torch.device):
        self.source, self.device = path, device
        tensors, self.config = self.read(path)
        self.networks = build_networks(lambda: self.build(tensors), tensors, path)
        for network in self.networks.values():
            network.to(device)

    @classmethod
    def choose(cls: type[Model], checkpoint: str | None, device: str = "auto") -> Model:
        """The model that `--checkpoint` and `--device` mean.

        Raises:
            UserError: There is none, or it does not fit.
        """
        return cls(cls.find(checkpoint), pick_device(device))

    @classmethod
    def find(cls, checkpoint: str | None) -> Path:
        """The file that `--checkpoint` means.

        Raises:
            UserError: There is none.
        """
        shipped = cls.shipped or (cls.system if cls.system in weights.names() else None)
        return find_checkpoint(checkpoint, cls.system, shipped=shipped, documented=cls.documented)

    def read(self, path: Path) -> tuple[StateDicts, Config]:
        """Tensors and settings of the file; a system that knows other kinds of file overrides it.

        Raises:
            UserError: Not such a file.
        """
        return read_trained(path, self.system, self.config_class)

    @abstractmethod
    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        """Build the networks that settings and the shapes of tensors ask for.

        Called twice, and keeps what it builds: the second networks are the real ones. The first
        time all of torch is on the device `meta`: nothing may look at a number that was computed
        here.

        Args:
            tensors: Network -> name -> tensor, as in the file.

        Returns:
            The networks by their names in the file. Whatever goes wrong may be raised as it is.
        """


def find_checkpoint(
    given: str | None,
    system: str,
    *,
    shipped: str | None = None,
    documented: str | None = None,
    flag: str = "--checkpoint",
) -> Path:
    """Find the file that `--checkpoint` means.

    Where nothing is given: the documented file where there is one, else the weights that ship,
    else those of the newest run here.

    Args:
        given: A file, a run directory, or None.
        system: Whose weights they are.
        shipped: Name of the weights that ship with the project.
        documented: Name of the file that training writes beside the run.
        flag: What it was given as, for messages.

    Raises:
        UserError: It is not there, or there is nothing to take it from.
    """
    if given is not None:
        path = Path(given)
        if path.is_dir():
            found = sorted(path.glob("checkpoints/best*"))
            if not found:
                raise UserError(f"{flag} {given}: no run directory, or nothing was kept yet")
            path = found[0]
        if not path.is_file():
            raise UserError(f"{flag} {given}: not there; train one or leave the flag out")
        return path
    if documented is not None and Path(documented).is_file():
        logger.info("using %s", documented)
        return Path(documented)
    if shipped is not None:
        return weights.shipped(shipped)
    runs = sorted(Path("runs", system).glob("run_*/checkpoints/best*"))
    if not runs:
        raise UserError(
            f"no weights of {system} ship, and there is no run of it here: "
            f"say --checkpoint FILE, or train with `triform {system} train`"
        )
    logger.info("using %s", runs[-1])
    return runs[-1]


def read_trained(path: Path, system: str, settings: type[Config]) -> tuple[StateDicts, Config]:
    """Read weights with the settings they were trained with.

    Args:
        path: A checkpoint, or a weights file.
        system: Whose weights they have to be.
        settings: Class of that system's settings.

    Raises:
        UserError: Not such a file, weights of another system, settings of another version, or
            settings of networks that no file of this size holds.
    """
    tensors, config = load_weights(path)
    if (seen := config.pop("system")) != system:
        raise UserError(f"{path}: weights of system {seen}, not of {system}")
    return tensors, read_settings(config, settings, tensors, path)


def read_settings(
    config: Any, settings: type[Config], tensors: StateDicts, path: Path | str
) -> Config:
    """Settings out of the plain data that a file keeps beside its tensors.

    Args:
        config: The plain data.
        settings: Class of the settings.
        tensors: Network -> name -> tensor, which the settings are about.
        path: The file, for messages.

    Raises:
        UserError: They do not fit this version, or not the tensors.
    """
    try:
        check_plain(config)
        read = settings.model_validate(config)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        value = repr(first["input"])[:60]
        raise UserError(
            f"{path}: its settings do not fit this version: "
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}, seen {value}"
        ) from error
    except (ValueError, KeyError) as error:
        raise UserError(f"{path}: its settings do not fit this version: {error}") from error
    check_integers(read.model_dump().get("model"), tensors, path, "model")
    return read

"""Load trained models from a file, a run directory, or the weights that ship."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import pydantic
import torch
from torch import nn

from triform.base.errors import UsageError, UserError
from triform.base.plain_data import check_plain
from triform.engine.checkpoints.building import build_networks, check_integers
from triform.engine.checkpoints.checkpoint import StateDicts, Weights, load_weights
from triform.engine.checkpoints.finding import find_checkpoint
from triform.engine.config import SystemConfig
from triform.engine.device import pick_device
from triform.pretrained import shipped_weights

Config = TypeVar("Config", bound=SystemConfig)
Model = TypeVar("Model", bound="TrainedModel[Any]")


class TrainedModel(ABC, Generic[Config]):
    """A trained model loaded from a file, in evaluation mode.

    A subclass names its system and its config and builds its networks in `build`; this class
    finds and reads the file, checks that the networks fit before they cost memory, loads the
    weights and moves them to the device.

    Attributes:
        source: The file it came from.
        device: Device of the networks.
        config: The settings of its training.
        metadata: Result of `System.metadata` when it was saved.
        networks: Its networks by their names in the file.
    """

    system: ClassVar[str]
    """Name of the system."""
    shipped: ClassVar[str | None] = None
    """Name of the shipped weights; by default the system's, if it ships any."""
    documented: ClassVar[str | None] = None
    """File that training writes outside of the run directory."""
    config_class: type[Config]

    def __init__(self, path: Path, device: torch.device):
        self.source, self.device = path, device
        weights, self.config = self.read(path)
        self.metadata, tensors = weights.metadata, weights.networks
        self.networks = build_networks(lambda: self.build(tensors), tensors, path)
        for network in self.networks.values():
            network.to(device)

    @classmethod
    def choose(cls: type[Model], checkpoint: str | None, device: str = "auto") -> Model:
        """Load the model that `--checkpoint` and `--device` name.

        Raises:
            UserError: There is none, or it does not fit.
        """
        return cls(cls.find(checkpoint), pick_device(device))

    @classmethod
    def from_checkpoint(cls: type[Model], path: str | Path, device: str = "auto") -> Model:
        """Load the model in a file.

        Args:
            path: A checkpoint, or a weights file.
            device: `auto`, `cpu`, `gpu`, `cuda` or `cuda:N`.

        Raises:
            UserError: The file cannot be read, or does not fit.
        """
        return cls(Path(path), pick_device(device))

    @classmethod
    def find(cls, checkpoint: str | None) -> Path:
        """Find the file that `--checkpoint` names.

        Raises:
            UserError: There is none.
        """
        shipped = cls.shipped or (cls.system if cls.system in shipped_weights.names() else None)
        return find_checkpoint(checkpoint, cls.system, shipped=shipped, documented=cls.documented)

    def read(self, path: Path) -> tuple[Weights, Config]:
        """Read weights and settings of the file; override it for other kinds of file.

        Raises:
            UserError: Not such a file.
        """
        return read_trained(path, self.system, self.config_class)

    def check(self, settings: Mapping[str, Any]) -> None:
        """Compare settings that the user gave with those of the training.

        Args:
            settings: Dotted name -> value.

        Raises:
            UsageError: One differs.
        """
        for name, value in settings.items():
            trained: Any = self.config
            for part in name.split("."):
                trained = getattr(trained, part)
            if trained != value:
                raise UsageError(
                    f"--{name.rpartition('.')[2]} {value}: {self.source} was trained with "
                    f"{trained}; leave the flag out, or choose another --checkpoint"
                )

    @abstractmethod
    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        """Build the networks from settings, metadata and the shapes of tensors.

        Called twice: first on the device `meta`, where no value may be read, then for real.

        Args:
            tensors: Network -> name -> tensor, as in the file.

        Returns:
            The networks by their names in the file. Any error may be raised.
        """


def read_trained(path: Path, system: str, settings: type[Config]) -> tuple[Weights, Config]:
    """Read weights with the settings they were trained with.

    Args:
        path: A checkpoint, or a weights file.
        system: Name of the system that must have trained them.
        settings: Class of that system's settings.

    Raises:
        UserError: Not such a file, weights of another system, settings of another version, or
            settings of networks that no file of this size holds.
    """
    weights = load_weights(path)
    if weights.system != system:
        raise UserError(f"{path}: weights of system {weights.system}, not of {system}")
    return weights, read_settings(weights.config, settings, weights.networks, path)


def read_settings(
    config: Any, settings: type[Config], tensors: StateDicts, path: Path | str
) -> Config:
    """Validate the settings that a file holds beside its tensors.

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

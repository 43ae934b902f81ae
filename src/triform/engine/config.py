"""The engine's settings: groups that every system's config holds. No torch here.

A system subclasses a group to change a default or to add a knob of its own.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from triform.base.settings.config import Group, Settings
from triform.base.settings.path_role import Input, Storage
from triform.pretrained.named_models import Kind, check_named, check_named_file

SHIPPED = "shipped"
"""Names the weights that ship, as `initial_weights`."""
NamedKind = Kind | Literal["file of weights", "initial weights"]
Precision = Literal["auto", "float32", "bf16", "fp16"]


def _check_device(name: str) -> str:
    """Validate the name of a device."""
    if not re.fullmatch(r"auto|cpu|gpu|cuda(:\d+)?", name):
        raise ValueError("auto, cpu, gpu, cuda or cuda:N")
    return name


def at_most_cores(count: int) -> int:
    """A number of worker processes, at most the cores that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(count, cores or 1)


DeviceName = Annotated[str, AfterValidator(_check_device)]


def _as_tuple(value: object) -> object:
    """A single text as a tuple of one."""
    return (value,) if isinstance(value, str) else value


def _not_empty(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts to generate from or to search with, which say something.

    Raises:
        ValueError: one is empty.
    """
    if not all(text.strip() for text in texts):
        raise ValueError("a text with at least one letter; leave the flag out for no text")
    return texts


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
NonEmptyTexts = Annotated[Texts, AfterValidator(_not_empty)]


class TrainingConfig(Group):
    """Length of training, learning rate, precision and checkpoints."""

    memory_knobs: ClassVar[tuple[str, ...]] = ("batch_size",)
    """Settings to lower when memory runs out, in this order."""

    epochs: int = Field(50, ge=0, description="Passes over the training data, at most.")
    lr: float = Field(1e-3, gt=0, description="Learning rate, before warm-up and schedule.")
    weight_decay: float = Field(0.0, ge=0, description="Weight decay of the optimizers.")
    warmup_steps: int = Field(
        0, ge=0, description="Steps in which the learning rate rises from 0 to its value."
    )
    grad_clip: float = Field(
        0.0, ge=0, description="Largest norm of an optimizer's gradient; 0 leaves it as it is."
    )
    use_amp: bool = Field(
        True,
        validation_alias=AliasChoices("use_amp", "amp"),
        description="Mixed precision where the device gains by it; off means float32.",
    )
    precision: Precision = Field(
        "auto",
        description="Number format of the forward pass; auto is float32 where use_amp is off, else "
        "bf16 on a GPU that has it or fp16, and on a processor that has bf16 the faster of it and "
        "float32, by a short measurement at the start that the machine and the run keep.",
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights that is "
        "evaluated and kept as best; 0 = off, 0.999 is usual.",
    )
    max_steps: int = Field(0, ge=0, description="Stop after this many steps; 0 = no limit.")
    max_minutes: float = Field(0.0, ge=0, description="Stop after this time; 0 = no limit.")
    max_nonfinite_steps: int = Field(
        10, ge=1, description="Stop after this many steps in a row whose gradient is not finite."
    )
    num_threads: int = Field(
        0, ge=0, description="Threads for computing on the processor; 0 leaves torch's choice."
    )
    evaluate_every: int = Field(1, ge=1, description="Epochs between two evaluations.")
    fsdp: bool = Field(
        False,
        description="Share parameters, gradients and optimizer states among the processes of "
        "torchrun (FSDP2); off keeps a copy in each (DDP).",
    )
    save_every_epoch: bool = Field(False, description="Keep a checkpoint of each epoch.")
    save_every_minutes: float = Field(
        10.0,
        ge=0,
        description="Minutes between two checkpoints within an epoch; 0 = only at its end.",
    )
    checkpoint_dir: Annotated[str, Storage()] = Field(
        "", description="Folder for checkpoints; empty = `checkpoints` in the run directory."
    )
    checkpoint: Annotated[str, Storage()] = Field(
        "", description="File that the best checkpoint is written to as well; empty = none."
    )
    resume_from: Annotated[str | None, Input()] = Field(
        None, description="Checkpoint or run directory to continue from."
    )
    initial_weights: Annotated[str, Input()] = Field(
        "",
        description="Weights that a new run begins with: a run, a checkpoint, or shipped, those "
        "that come with the project; empty = random ones.",
    )

    def checkpoint_file(self, name: str) -> str:
        """File name of the checkpoint `best`, `last` or `epoch_001`."""
        return f"{name}.pth"


class FinetuningConfig(TrainingConfig):
    """Training with a pretrained part."""

    lr_mode: Literal["continue", "finetune"] = Field(
        "continue",
        description="Learning rate of the pretrained part: `continue` takes lr, "
        "`finetune` takes finetune_lr.",
    )
    finetune_lr: float = Field(
        1e-5, gt=0, description="Learning rate of the pretrained part if lr_mode is finetune."
    )

    @property
    def pretrained_lr(self) -> float:
        """Learning rate of the pretrained parameters."""
        return self.finetune_lr if self.lr_mode == "finetune" else self.lr


ScheduleType = Literal["none", "ReduceLROnPlateau", "StepLR", "CosineAnnealingLR"]


class SchedulerConfig(Group):
    """Learning-rate schedule."""

    show_prefix: ClassVar[bool] = True

    type: ScheduleType = Field("ReduceLROnPlateau", description="Schedule of the learning rate.")
    factor: float = Field(
        0.5, gt=0, lt=1, description="Factor of each reduction (ReduceLROnPlateau, StepLR)."
    )
    patience: int = Field(
        2,
        ge=0,
        description="Evaluations without improvement before ReduceLROnPlateau reduces "
        "the learning rate.",
    )
    step_size: int = Field(10, ge=1, description="Epochs between two reductions of StepLR.")
    min_lr: float = Field(1e-7, ge=0, description="The learning rate never falls below this.")


class EarlyStoppingConfig(Group):
    """Early stopping."""

    show_prefix: ClassVar[bool] = True

    enabled: bool = Field(True, description="Stop early at all.")
    patience: int = Field(
        5, ge=1, description="Stop after this many evaluations without improvement."
    )
    min_delta: float = Field(
        1e-4, ge=0, description="A smaller improvement than this counts as none."
    )
    track_overfitting: bool = Field(
        True, description="Watch train_loss - val_loss, both measured in evaluation mode."
    )
    overfitting_gap_threshold: float = Field(
        0.5, gt=0, description="A gap below minus this is overfitting."
    )
    overfitting_patience: int = Field(
        3, ge=1, description="Stop after this many evaluations in a row that overfit."
    )


class ConstantSchedulerConfig(SchedulerConfig):
    """Learning-rate schedule."""

    type: ScheduleType = "none"


class CosineSchedulerConfig(SchedulerConfig):
    """Learning-rate schedule."""

    type: ScheduleType = "CosineAnnealingLR"


class NoEarlyStoppingConfig(EarlyStoppingConfig):
    """Early stopping."""

    enabled: bool = False


class WandbConfig(Group):
    """Weights & Biases."""

    project: str = Field("triform", min_length=1, description="Project at Weights & Biases.")
    entity: str | None = Field(None, description="Workspace at Weights & Biases.")


class LoggingConfig(Group):
    """Run directories and logging."""

    runs_dir: Annotated[str, Storage()] = Field(
        "runs", min_length=1, description="Folder of the run directories."
    )
    log_every: int = Field(10, ge=1, description="Steps between two lines of numbers.")
    sample_every: int = Field(1, ge=0, description="Epochs between two sets of samples; 0 = none.")
    tensorboard: bool = Field(False, description="Write TensorBoard files.")
    tensorboard_dir: Annotated[str, Storage()] = Field(
        "./runs",
        min_length=1,
        description="Folder for TensorBoard files; runs have the same names in it as in runs_dir.",
    )
    use_wandb: bool = Field(False, description="Log to Weights & Biases (package wandb).")
    wandb: WandbConfig = WandbConfig()


class SystemConfig(Settings):
    """Settings of every trainable system; a system adds `data`, `model` and `metrics`."""

    named_models: ClassVar[Mapping[tuple[str, str], tuple[NamedKind, str]]] = {
        ("training", "initial_weights"): ("initial weights", "--initial_weights")
    }
    """Settings that name a pretrained model: (group, name) -> (kind, flag); a system adds its own.

    Initial weights are read when a run begins and not when it is resumed, so that a run may name
    its own.
    """

    device: DeviceName = Field(
        "auto", description="auto, cpu, gpu, cuda or cuda:N; auto takes a GPU where there is one."
    )
    seed: int = Field(
        42, ge=0, lt=2**63, description="Seed of everything random: same seed, same run."
    )
    training: TrainingConfig = TrainingConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    logging: LoggingConfig = LoggingConfig()

    @classmethod
    def base_file(cls, flag_values: Mapping[tuple[str, ...], Any]) -> Path | None:
        """A resumed run keeps its own settings: `--resume_from RUN` alone is enough."""
        source = flag_values.get(("training", "resume_from"))
        if not source:
            return None
        path = Path(source)
        # Unlike those of Path, these return false for a text that cannot be a path.
        run_dir = path if os.path.isdir(path) else path.parent.parent
        return run_dir / "config.yaml" if os.path.isfile(run_dir / "config.yaml") else None

    @classmethod
    def check_file(
        cls,
        file_values: Mapping[str, Any],
        flag_values: Mapping[tuple[str, ...], Any],
        path: Path,
        *,
        is_explicit: bool,
    ) -> None:
        """Refuse pretrained models that the settings of a run name: they may be from a stranger.

        Raises:
            UserError: They name a pretrained model that does not come with Triform.
        """
        is_run = path.name == "config.yaml" and (path.parent / "training.log").exists()
        if is_explicit and not is_run:
            return  # a file that the user gave as settings of their own
        named = {**cls.named_models, **SystemConfig.named_models}
        file_values = move_init(file_values)
        for (group, name), (kind, flag) in named.items():
            values = file_values.get(group)
            name_in_file = values.get(name) if isinstance(values, Mapping) else None
            if (
                not name_in_file
                or not isinstance(name_in_file, str)
                or (group, name) in flag_values
            ):
                continue
            if kind == "initial weights" and (name_in_file == SHIPPED or not is_explicit):
                continue
            if kind == "file of weights" or kind == "initial weights":
                check_named_file(name_in_file, source=path, flag=flag)
            else:
                check_named(name_in_file, kind, source=path, flag=flag)


def move_init(values: Any) -> Any:
    """Settings in which `model.init` became `training.initial_weights`; older files have it."""
    model = values.get("model") if isinstance(values, Mapping) else None
    training = values.get("training", {}) if isinstance(values, Mapping) else None
    if not isinstance(model, Mapping) or "init" not in model or not isinstance(training, Mapping):
        return values
    training = {"initial_weights": model["init"], **training}
    rest = {name: value for name, value in model.items() if name != "init"}
    return {**values, "model": rest, "training": training}


class TrainedVerbConfig(Settings):
    """Settings of every verb that uses trained weights."""

    checkpoint: Annotated[str | None, Input()] = Field(
        None,
        description="Trained weights (.pth, .safetensors or a run directory); by default those "
        "that ship, or else those of the newest run here.",
    )
    device: DeviceName = Field("auto", description="auto, cpu, gpu, cuda or cuda:N.")
    seed: int = Field(42, ge=0, lt=2**63, description="Seed: same seed, same results.")


class ShowConfig(Settings):
    """Print all settings of the training with their descriptions, as a file for --config."""

    preset: str = Field("", description="Use the values of this preset; empty = the defaults.")

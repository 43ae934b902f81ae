"""Small systems, one for each way of learning that the engine's loop has to serve."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from triform.base.seeding import generator, seed_everything
from triform.base.settings.config import Group
from triform.engine.config import LoggingConfig, SystemConfig, TrainingConfig
from triform.engine.epoch_loader import EpochLoader
from triform.engine.protocol import Batch, Scalars, System
from triform.engine.update import Update

NUM_SAMPLES, WIDTH = 96, 4


class ToyTraining(TrainingConfig):
    """Short and exact."""

    epochs: int = 3
    lr: float = 1e-2
    use_amp: bool = False
    num_threads: int = 1


class ToyLogging(LoggingConfig):
    """Few lines."""

    log_every: int = 4


class ToyData(Group):
    """What to learn from."""

    batch_size: int = Field(default=8, ge=1, description="Samples per step and process.")
    num_workers: int = Field(default=0, ge=0, description="Processes that prepare batches.")


class ToyConfig(SystemConfig):
    """Train a toy."""

    data: ToyData = ToyData()
    training: ToyTraining = ToyTraining()
    logging: ToyLogging = ToyLogging()


def toy_config(folder: Path, changes: dict[str, Any] | None = None) -> ToyConfig:
    """A config whose runs are in a folder; `changes` are dotted names."""
    data: dict[str, Any] = {"device": "cpu", "logging": {"runs_dir": str(folder / "runs")}}
    for name, value in (changes or {}).items():
        group, _, leaf = name.rpartition(".")
        (data.setdefault(group, {}) if group else data)[leaf] = value
    return ToyConfig.model_validate(data)


def toy_data() -> tuple[Tensor, Tensor]:
    """Inputs (N, 4) and targets (N, 1) of a fixed smooth function."""
    inputs = torch.randn(NUM_SAMPLES, WIDTH, generator=generator("toy data"))
    return inputs, torch.sin(inputs.sum(1, keepdim=True))


def toy_fetch(indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
    """A batch with a little random augmentation."""
    inputs, targets = toy_data()
    noise = torch.randn(len(indices), WIDTH, generator=random)
    return {"inputs": inputs[list(indices)] + 0.001 * noise, "targets": targets[list(indices)]}


def plain_fetch(indices: Sequence[int], random: torch.Generator) -> dict[str, Tensor]:
    """A batch that depends on its samples alone, whichever process gets it."""
    inputs, targets = toy_data()
    codes = torch.randn(NUM_SAMPLES, 2, generator=generator("toy codes"))
    selected = list(indices)
    return {"inputs": inputs[selected], "targets": targets[selected], "codes": codes[selected]}


class Toy(System):
    """Batches of the toy data.

    Args:
        config: The settings.
        plain: Leave out everything whose random numbers or statistics differ from process to
            process.
    """

    def __init__(self, config: ToyConfig, plain: bool = False):
        super().__init__(config)
        seed_everything(config.seed)
        self.loader = EpochLoader(
            NUM_SAMPLES,
            plain_fetch if plain else toy_fetch,
            batch_size=config.data.batch_size,
            seed=config.seed,
            num_workers=config.data.num_workers,
        )
        self.stateful = {"loader": self.loader}
        self.sampled: list[int] = []

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        return len(self.loader)

    def batches(self) -> Iterator[Batch]:
        """The rest of the epoch."""
        return iter(self.loader)

    def sample(self, folder: Path, step: int) -> None:
        """Draw one number, to show that nobody minds."""
        (folder / f"{step}.txt").write_text(f"{torch.rand(()).item()}")


class Supervised(Toy):
    """One network with dropout and batch statistics, one optimizer."""

    name = "supervised"

    def __init__(self, config: ToyConfig, plain: bool = False):
        super().__init__(config, plain)
        self.networks["model"] = nn.Sequential(
            # A bias before a batch norm has no gradient but noise, which Adam makes a step of.
            nn.Linear(WIDTH, 16, bias=False),
            nn.BatchNorm1d(16),
            nn.Tanh(),
            nn.Dropout(0 if plain else 0.1),
            nn.Linear(16, 1),
        )
        self.optimizers["main"] = torch.optim.AdamW(
            self.networks["model"].parameters(), lr=config.training.lr
        )

    def step(self, batch: Batch, update: Update) -> Scalars:
        """Mean squared error."""
        loss = F.mse_loss(self.networks["model"](batch["inputs"]), batch["targets"])
        update(loss)
        return {"loss": loss}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """The same error on all samples."""
        inputs, targets = toy_data()
        predictions = self.networks["model"](inputs.to(self.device))
        return {"loss": F.mse_loss(predictions, targets.to(self.device)).item()}


class TwoPlayers(Toy):
    """Two networks against each other, two optimizers."""

    name = "two_players"

    def __init__(self, config: ToyConfig, plain: bool = False):
        super().__init__(config, plain)
        drop = nn.Dropout(0 if plain else 0.1)
        maker = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), drop, nn.Linear(8, WIDTH))
        classifier = nn.Sequential(nn.Linear(WIDTH, 8), nn.LeakyReLU(), nn.Linear(8, 1))
        self.networks = {"maker": maker, "judge": classifier}
        rate = config.training.lr
        self.optimizers = {
            "maker": torch.optim.Adam(maker.parameters(), lr=rate),
            "judge": torch.optim.Adam(classifier.parameters(), lr=rate / 2),
        }

    def losses(self, inputs: Tensor, made: Tensor) -> Tensor:
        """The judge's loss."""
        classifier = self.networks["judge"]
        return F.softplus(-classifier(inputs)).mean() + F.softplus(classifier(made.detach())).mean()

    def step(self, batch: Batch, update: Update) -> Scalars:
        """Judge first, then maker."""
        codes = batch.get("codes", None)
        if codes is None:
            codes = torch.randn(len(batch["inputs"]), 2, device=self.device)
        generated = self.networks["maker"](codes)
        judge_loss = self.losses(batch["inputs"], generated)
        update(judge_loss, "judge")
        maker_loss = F.softplus(-self.networks["judge"](generated)).mean()
        update(maker_loss, "maker")
        return {"loss": maker_loss, "judge_loss": judge_loss}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """How far apart the means are."""
        generated = self.networks["maker"](torch.randn(64, 2, device=self.device))
        return {"loss": (generated.mean(0).cpu() - toy_data()[0].mean(0)).norm().item()}


class InnerLoop(Toy):
    """Gradients through an inner step, handed over to the engine."""

    name = "inner_loop"

    def __init__(self, config: ToyConfig, plain: bool = False):
        super().__init__(config, plain)
        model = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, 1))
        self.networks["model"] = model
        self.optimizers["main"] = torch.optim.Adam(model.parameters(), lr=config.training.lr)

    def adapted_loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The loss after one inner step on fixed samples."""
        model = self.networks["model"]
        model = getattr(model, "module", model)
        names = [name for name, _ in model.named_parameters()]
        parameters = list(model.parameters())

        def loss_of(weights: Sequence[Tensor], inputs: Tensor, targets: Tensor) -> Tensor:
            call = torch.func.functional_call
            output = call(model, dict(zip(names, weights, strict=True)), (inputs,))
            return F.mse_loss(output, targets)

        first = loss_of(parameters, *(tensor[:16] for tensor in toy_data()))
        inner = torch.autograd.grad(first, parameters, create_graph=True)
        adapted = [weight - 0.1 * slope for weight, slope in zip(parameters, inner, strict=True)]
        return loss_of(adapted, inputs, targets)

    def step(self, batch: Batch, update: Update) -> Scalars:
        """Gradients through the inner step."""
        loss = self.adapted_loss(batch["inputs"], batch["targets"])
        update.apply_gradients(torch.autograd.grad(loss, list(self.networks["model"].parameters())))
        return {"loss": loss}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Error after adaptation."""
        with torch.enable_grad():
            return {"loss": self.adapted_loss(*toy_data()).item()}


class Acting(System):
    """Learns from what it does: a three-armed bandit whose last arm pays best."""

    name = "acting"
    monitor = "val/payout"
    monitor_mode = "max"
    PAYOUTS = (0.1, 0.3, 0.9)

    def __init__(self, config: ToyConfig, plain: bool = False):
        super().__init__(config)
        seed_everything(config.seed)
        self.networks["policy"] = nn.Linear(1, len(self.PAYOUTS))
        self.optimizers["main"] = torch.optim.Adam(
            self.networks["policy"].parameters(), lr=config.training.lr
        )

    def batches(self) -> Iterator[Batch]:
        """Twenty rounds; each acts with the weights of that moment."""
        for _ in range(20):
            with torch.no_grad():
                logits = self.networks["policy"](torch.ones(32, 1))
            arms = torch.distributions.Categorical(logits=logits).sample()
            yield {"arms": arms, "payouts": torch.bernoulli(torch.tensor(self.PAYOUTS)[arms])}

    def step(self, batch: Batch, update: Update) -> Scalars:
        """Policy gradient with the mean as baseline."""
        logits = self.networks["policy"](torch.ones(len(batch["arms"]), 1))
        selected = logits.log_softmax(1).gather(1, batch["arms"][:, None])[:, 0]
        loss = -(selected * (batch["payouts"] - batch["payouts"].mean())).mean()
        update(loss)
        return {"loss": loss, "payout": batch["payouts"].mean()}

    def evaluate(self, split: str = "val") -> dict[str, float]:
        """Expected payout."""
        chances = self.networks["policy"](torch.ones(1, 1)).softmax(1)[0]
        return {"payout": float(chances @ torch.tensor(self.PAYOUTS))}


TOYS: dict[str, type[System]] = {
    toy.name: toy for toy in (Supervised, TwoPlayers, InnerLoop, Acting)
}

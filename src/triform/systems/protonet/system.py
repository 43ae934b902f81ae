"""Training of prototypical networks, and their verbs."""

from torch import Tensor

from triform.engine.optimizers import adamw
from triform.engine.update import Update
from triform.systems.protonet.config import Config
from triform.systems.protonet.model import ProtoNet
from triform.systems.protonet.trained import Trained
from triform.tasks.few_shot.episodes import Episode
from triform.tasks.few_shot.loss import query_loss
from triform.tasks.few_shot.system import FewShotSystem

evaluate, classify = Trained.evaluate, Trained.classify


class System(FewShotSystem[Config]):
    """Prototypical networks."""

    name = "protonet"
    shipped = Trained.shipped

    def __init__(self, config: Config):
        super().__init__(config)
        data = config.data
        self.network = ProtoNet(config.model, data.channels, data.image_size)
        self.networks = {"protonet": self.network}
        self.optimizers = {"main": adamw(self.network.parameters(), config.training)}

    def test_logits(self, episode: Episode) -> Tensor:
        n_way = episode["support"].shape[1] // self.config.data.n_shot
        logits: Tensor = self.networks["protonet"](
            episode["support"], episode["support_labels"], episode["query"], n_way
        )
        return logits

    def step(self, batch: Episode, update: Update) -> dict[str, Tensor]:
        losses = query_loss(self.test_logits(batch), batch["query_labels"])
        update(losses["loss"])
        return losses

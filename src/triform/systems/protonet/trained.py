"""A trained prototypical network."""

from collections.abc import Mapping

from torch import Tensor, nn

from triform.engine.checkpoints.checkpoint import StateDicts
from triform.systems.protonet.config import Config
from triform.systems.protonet.model import ProtoNet
from triform.tasks.few_shot.episodes import Episode
from triform.tasks.few_shot.trained import TrainedFewShot


class Trained(TrainedFewShot[Config]):
    """A trained embedding that classifies by class means."""

    system, shipped = "protonet", "protonet_glyphs"
    config_class = Config

    def build(self, tensors: StateDicts) -> Mapping[str, nn.Module]:
        data = self.config.data
        self.network = ProtoNet(self.config.model, data.channels, data.image_size)
        return {"protonet": self.network}

    def test_logits(self, episode: Episode, *, transductive: bool) -> Tensor:
        n_way = int(episode["support_labels"].max()) + 1
        forward = self.network.transductive if transductive else self.network
        logits: Tensor = forward(
            episode["support"], episode["support_labels"], episode["query"], n_way
        )
        return logits

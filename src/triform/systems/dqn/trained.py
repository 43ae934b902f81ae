"""A trained Q-network."""

from triform.systems.dqn.config import Config
from triform.systems.dqn.model import QNetwork
from triform.tasks.agents.trained import TrainedAgent


class Trained(TrainedAgent[Config]):
    """A trained Q-network that acts greedily."""

    system, shipped = "dqn", "dqn_cartpole"
    config_class = Config
    network_name = "q"

    def build_network(self) -> QNetwork:
        model = self.config.model
        return QNetwork(self.num_inputs, self.num_actions, model.hidden_size, model.num_layers)

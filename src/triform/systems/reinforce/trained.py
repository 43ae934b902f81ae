"""A trained policy network."""

from triform.systems.reinforce.config import Config
from triform.systems.reinforce.model import PolicyNetwork
from triform.tasks.agents.trained import TrainedAgent


class Trained(TrainedAgent[Config]):
    """A trained policy that takes the most probable action."""

    system = "reinforce"
    config_class = Config
    network_name = "policy"

    def build_network(self) -> PolicyNetwork:
        model = self.config.model
        shape = (model.hidden_size, model.num_layers, model.activation)
        return PolicyNetwork(self.num_inputs, self.num_actions, *shape)

"""An agent is trained in an environment of Gymnasium and measured in new episodes.

python examples/train_an_agent.py CartPole-v1 --epochs 20
"""

import sys

from triform.base.settings.config import parse
from triform.engine.verbs import train
from triform.systems.dqn.config import Config, EvaluateConfig
from triform.systems.dqn.system import System, evaluate

environment, *flags = sys.argv[1:]
run = train(System, parse(Config, ["--environment", environment, *flags]))["run"]
scores = evaluate(EvaluateConfig(checkpoint=run, episodes=20))
print(f"score {scores['score']:.0f}; of random actions {scores['random_score']:.0f}")

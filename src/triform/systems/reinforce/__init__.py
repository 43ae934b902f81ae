"""An agent that learns to play by policy gradients (requirements RL-2, RL-3).

triform reinforce train --environment CartPole-v1
"""

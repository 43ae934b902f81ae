"""Reinforcement learning by deep Q-networks.

triform dqn play --output cartpole.gif
"""

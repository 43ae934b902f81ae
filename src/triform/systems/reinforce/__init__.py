"""Reinforcement learning by policy gradients.

triform reinforce train --environment CartPole-v1
"""

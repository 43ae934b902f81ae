"""Reinforcement learning: environments, rollouts, scores, videos, trained agents."""

"""An agent that learns to play by deep Q-learning (requirements RL-1, RL-3).

triform dqn play --output cartpole.gif
"""

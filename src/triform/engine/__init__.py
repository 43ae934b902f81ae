"""How to train anything without knowing what it is."""

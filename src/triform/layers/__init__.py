"""Layers that two systems or more are built of."""

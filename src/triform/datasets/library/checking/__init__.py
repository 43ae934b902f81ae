"""Checks of shape libraries."""

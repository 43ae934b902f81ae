"""Checkpoint files, and trained models out of them."""

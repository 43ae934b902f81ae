"""Evaluation: recall, preview images, hard queries, the HOG baseline."""

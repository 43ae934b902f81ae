"""Layers whose weights differ for each task, with first and second derivatives."""

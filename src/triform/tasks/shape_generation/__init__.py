"""Shared parts of the systems that generate shapes."""

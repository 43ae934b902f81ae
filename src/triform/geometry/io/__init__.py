"""Readers and writers of mesh files, and their limits."""

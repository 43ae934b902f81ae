"""Galleries of embeddings: build, save and query them, exact here or on a Chroma server."""

"""A gallery of shapes: items, embeddings, score fusion, search."""

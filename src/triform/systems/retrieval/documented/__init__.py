"""Files of the source document: embeddings, the pair of checkpoints, the submission."""

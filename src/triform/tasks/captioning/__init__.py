"""Image captioning: content accuracy and baselines."""

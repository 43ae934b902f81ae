"""Vectors of length 1 of several kinds."""

import numpy as np


def unit(x):
    return (x / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)


def vectors(kind, count, dim, random):
    x = random.standard_normal((count, dim)).astype(np.float32)
    if kind == "sparse":
        x[random.random(x.shape) < 0.95] = 0
        x[:, 0] += 0.01
    elif kind == "heavy":
        x = (x**9).astype(np.float32)
    elif kind == "one":
        x = np.eye(dim, dtype=np.float32)[random.integers(dim, size=count)]
    elif kind == "equal":
        x = np.ones_like(x)
    return unit(x)

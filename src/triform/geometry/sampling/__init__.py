"""Points on surfaces: uniform, Poisson disk, farthest."""

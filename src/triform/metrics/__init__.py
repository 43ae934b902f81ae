"""Measures of quality: pure functions of arrays or tensors."""

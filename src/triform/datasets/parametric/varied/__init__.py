"""Parametric objects with counted parts, colours, materials and proportions."""

"""Furniture, people and vehicles built from parameters, with captions that say what was built."""

"""Reading of PLY."""

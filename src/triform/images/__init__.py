"""Tools for pictures, no networks: files that move, charts."""

"""Tools for images, no networks: files that move, charts."""

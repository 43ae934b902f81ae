"""Tools for text: prompts from names, vocabularies."""

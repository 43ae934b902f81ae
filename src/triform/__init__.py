"""Triform: text, images and 3D shapes in one toolkit."""


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: the look-up costs more than the import."""
    if name != "__version__":
        raise AttributeError(f"module 'triform' has no attribute {name!r}")
    from importlib.metadata import version

    return version("triform")

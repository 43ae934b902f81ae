"""Images with classes, sources and captions: digits, clothes, drawings, characters, folders."""

"""Triform: text, images and 3D shapes in one toolkit."""

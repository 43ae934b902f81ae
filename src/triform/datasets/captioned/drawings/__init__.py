"""Captioned scenes that the project draws itself."""

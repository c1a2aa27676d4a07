"""Nuclei in napari: segment them, score them, see the errors."""

__version__ = "0.1.0"

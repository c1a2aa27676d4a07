"""Nuclei in napari: segment them, score them, see the errors.

What ``napari_nucseg.__all__`` lists is public, and is loaded when it is first used. All other
modules may change from one version to the next, but for those that ``docs/segmenters.md`` names.
"""

import lazy_loader

__version__ = "0.1.0"

# What is public, and where it is, stands in __init__.pyi, which type checkers read, too
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

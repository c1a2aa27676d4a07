"""Types of arrays that all floors speak of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer[Any]]
"""Label image: 0 is background, every other value one object."""
Window = tuple[slice, slice]
"""Rows and columns of a field."""

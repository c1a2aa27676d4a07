"""A drawn picture like a stained section: dark violet nuclei on ground between pink and white."""

from __future__ import annotations

import numpy as np


def draw_histology() -> tuple[np.ndarray, np.ndarray]:
    """Return colours of shape (120, 160, 3), and where the twelve nuclei are."""
    rows, columns = np.indices((120, 160))
    nuclei = (rows % 40 - 20) ** 2 + (columns % 40 - 20) ** 2 <= 81
    pink = (np.sin(rows / 17) * np.cos(columns / 23) > 0)[..., None]
    picture = np.where(pink, (228, 170, 200), (246, 240, 245))
    picture = np.where(nuclei[..., None], (88, 58, 138), picture)
    noise = np.random.default_rng(5).integers(-3, 4, picture.shape)
    return (picture + noise).astype(np.uint8), nuclei

"""What Cellpose does around its networks: scaling intensities, cutting tiles and joining them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.unet import normalise

Spans = Sequence[Sequence[int]]
"""First pixel of each tile, and the one behind its last."""


def normalise_as_cellpose(image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
    """Scale intensities as Cellpose does so that two of their percentiles become 0 and 1.

    Where the percentiles are less than 0.001 apart Cellpose gives 0 everywhere; such an image is
    scaled all the same, unless they are equal.

    Parameters
    ----------
    image : ndarray, shape (height, width) or (planes, height, width)
        Intensities; the percentiles are those of all planes.
    params : SegmentParams
        Parameters, of which the two percentiles are used.
    """
    from cellpose.transforms import normalize_img

    percentiles = params.low_percentile, params.high_percentile
    # Cellpose would overwrite single precision
    single = np.array(image[..., None], dtype=np.float32)
    scaled: NDArray[np.float32] = normalize_img(single, percentile=percentiles)[..., 0]
    return scaled if scaled.any() else normalise(image, percentiles)


@dataclass(frozen=True)
class Tiles:
    """An image in tiles that overlap.

    Attributes
    ----------
    cut : ndarray of float32, shape (tiles, channels, height, width)
        The tiles, row by row, as the network takes them.
    rows, columns : sequence of pairs
        First row and the one after the last, and so for columns, of each tile.
    shape : tuple of int
        Height and width of the image.
    flipped : tuple of int or None
        Rows and columns of tiles, if every second one is flipped along y, or x, or both.
    """

    cut: NDArray[np.float32]
    rows: Spans
    columns: Spans
    shape: tuple[int, int]
    flipped: tuple[int, int] | None = None

    @classmethod
    def of(
        cls, image: NDArray[np.float32], size: int, *, overlap: float = 0.1, augment: bool = False
    ) -> Self:
        """Cut an image as Cellpose does.

        Parameters
        ----------
        image : ndarray, shape (channels, height, width)
            Padded as its network needs it.
        size : int
            Edge of a tile, in pixels.
        overlap : float
            Part of a tile that it shares with a neighbour, by Cellpose's count.
        augment : bool
            Whether neighbours share half of a tile and are flipped; then there are at least two
            along each edge, and an image that is smaller than a tile is filled up with 0.
        """
        from cellpose.transforms import make_tiles

        grid, rows, columns, height, width = make_tiles(
            image, size, augment=augment, tile_overlap=overlap
        )
        cut = grid.reshape(-1, *grid.shape[2:])
        shape = int(height), int(width)
        return cls(cut, rows, columns, shape, grid.shape[:2] if augment else None)

    def join(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Blend what a network made of the tiles.

        Parameters
        ----------
        outputs : ndarray of float32, shape (tiles, 3, height, width)
            Flow along y and x, and cell probability.

        Returns
        -------
        ndarray of float32, shape (3, height, width)
            Output for the whole image, averaged where tiles overlap.
        """
        from cellpose.transforms import average_tiles, unaugment_tiles

        if self.flipped is not None:
            grid = outputs.reshape(*self.flipped, *outputs.shape[1:])
            outputs = unaugment_tiles(grid).reshape(outputs.shape)
        joined: NDArray[np.float32] = average_tiles(outputs, self.rows, self.columns, *self.shape)
        return joined

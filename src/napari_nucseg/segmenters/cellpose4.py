"""Running Cellpose 4's own networks, and what Cellpose does around any: scaling and tiling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import FLOW_STEPS, Flows, OutOfDeviceMemory
from napari_nucseg.segmenters.checkpoints import load_transformer
from napari_nucseg.segmenters.devices import Device, computes_bfloat16, free_memory
from napari_nucseg.segmenters.intensities import normalise
from napari_nucseg.segmenters.network import Network, refuse_too_large
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.tiling import RunBatch, tile_starts

NATIVE_DIAMETER = 30.0
"""Nucleus diameter, in pixels, that Cellpose's networks were trained at."""
GPU_BATCH = 8
"""Tiles at once on a GPU."""
TILE_SIZE = {"sam_vitl": 256}
"""Edge of a tile in pixels by backbone; 384 for the others."""
LEAST_EDGE = 16
MAX_PIXELS = 2**27
"""The largest image that is run, at the network's own scale: it takes 6 GB, with flipped
copies 16 GB."""

Spans = Sequence[Sequence[int]]
"""First pixel of each tile, and the one behind its last."""


@contextmanager
def inference_on(device: Device) -> Iterator[None]:
    """Compute without gradients; where memory runs out, free it and say so in our own words."""
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        free_memory(device)
        raise OutOfDeviceMemory(str(device)) from error


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

    def run(
        self, forward: RunBatch, device: Device, batch_size: int, progress: Progress
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Run a network on all tiles, fewer at once where memory does not suffice, and join them.

        Parameters
        ----------
        forward : callable
            Runs the network on some tiles.
        device : Device
            Device that it runs on.
        batch_size : int
            Number of tiles at once; 0 for one on a CPU, and `GPU_BATCH` elsewhere.
        progress : Progress
            Called before each batch and at the end; may raise to stop.

        Returns
        -------
        ndarray of float32, shape (3, height, width)
            Flow along y and x, and cell probability, averaged where tiles overlap.
        tuple of str
            What the user should know of how it was run.
        """
        batch = batch_size or (1 if device.kind == "cpu" else GPU_BATCH)
        outputs: list[NDArray[np.float32]] = []
        notes: list[str] = []
        done, count = 0, len(self.cut)
        while done < count:
            progress(done, count)
            chosen = self.cut[done : done + batch]
            try:
                outputs.append(forward(chosen))
            except OutOfDeviceMemory:
                if len(chosen) == 1:
                    raise
                batch = len(chosen) // 2
                notes.append(
                    f"{device} does not have enough memory for {len(chosen)} tiles at once; "
                    f"{batch} were run at once instead"
                )
            else:
                done += len(chosen)
        progress(done, count)
        return self._join(np.concatenate(outputs)), tuple(notes)

    def _join(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        from cellpose.transforms import average_tiles, unaugment_tiles

        if self.flipped is not None:
            grid = outputs.reshape(*self.flipped, *outputs.shape[1:])
            outputs = unaugment_tiles(grid).reshape(outputs.shape)
        joined: NDArray[np.float32] = average_tiles(outputs, self.rows, self.columns, *self.shape)
        return joined


@dataclass(frozen=True)
class CellposeSAM(Network):
    """A Cellpose 4 network on a device, ready to run.

    Attributes
    ----------
    net : cellpose.vit.CPSAM or cellpose.vit.CPDINO
        The network, in evaluation mode, on the device.
    device : Device
        Device that the network runs on.
    starts : callable
        Places of tiles along an edge; see `tile_starts`.
    """

    net: Any
    device: Device
    starts: Callable[[int, int, int], Sequence[int]] = tile_starts

    @classmethod
    def load(cls, path: Path, device: Device) -> Self:
        """Read a checkpoint and bring it to the device.

        Raises
        ------
        ValueError
            If the file is no whole Cellpose 4 model, or needs a package that is not installed.
        """
        net: Any = load_transformer(path, torch.device(device.kind))
        if computes_bfloat16(device):
            net.dtype = torch.bfloat16
        return cls(net, device)

    @property
    def precision(self) -> str:
        """Precision of the weights, as torch names it."""
        return str(self.net.dtype).removeprefix("torch.")

    def normalise(self, image: NDArray[Any], params: SegmentParams) -> NDArray[np.float32]:
        """Scale intensities by their percentiles."""
        return normalise_as_cellpose(image, params)

    def scale(self, params: SegmentParams) -> float:
        """Scale nuclei of the diameter, if there is one, to `NATIVE_DIAMETER`."""
        return NATIVE_DIAMETER / params.diameter if params.diameter else 1.0

    def infer(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Run it tile by tile; see `Network.infer`.

        Notes
        -----
        As ``cellpose.models.CellposeModel.eval`` does it, but for the number of tiles: fewer are
        run than it can be asked for, and they can be counted and stopped between. With
        augmentation they are Cellpose's own.
        """
        from cellpose.transforms import resize_image

        scale = self.scale(params)
        refuse_too_large(image.shape, scale, MAX_PIXELS, 128 if params.augment else 48)
        if scale == 1.0:
            return self.run(image, params, progress)
        # An edge scaled to next to nothing could not be resized
        least = math.ceil(LEAST_EDGE / scale)
        padded = np.pad(image, [(0, max(0, least - edge)) for edge in image.shape], mode="edge")
        scaled = resize_image(padded[..., None], rsz=scale)[..., 0]
        output, notes = self._run(scaled, params, progress)
        output = resize_image(output.transpose(1, 2, 0), *padded.shape).transpose(2, 0, 1)
        output = np.ascontiguousarray(output[:, : image.shape[0], : image.shape[1]])
        return Flows(output[:2], output[2], max(1, int(FLOW_STEPS / scale)), notes)

    def run(self, image: NDArray[np.float32], params: SegmentParams, progress: Progress) -> Flows:
        """Compute the flows of an image that is at the network's own scale; see `infer`."""
        output, notes = self._run(image, params, progress)
        return Flows(output[:2], output[2], FLOW_STEPS, notes)

    def _run(
        self, image: NDArray[np.float32], params: SegmentParams, progress: Progress
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Return flows along y and x and cell probability, blended where tiles overlap."""
        from cellpose.transforms import get_pad_yx

        size = TILE_SIZE.get(self.net.backbone, 384)
        height, width = image.shape
        top, bottom, left, right = get_pad_yx(height, width, min_size=(size, size))
        padded = np.pad(image, [(top, bottom), (left, right)])
        if params.augment:
            tiles = Tiles.of(padded[None], size, augment=True)
        else:
            tiles = self._cut(padded, size, params.tile_overlap)
        output, notes = tiles.run(self._forward, self.device, params.batch_size, progress)
        return output[:, top : top + height, left : left + width], notes

    def _cut(self, image: NDArray[np.float32], size: int, overlap: int) -> Tiles:
        rows, columns = (
            [(start, start + size) for start in self.starts(edge, size, overlap)]
            for edge in image.shape
        )
        places = list(product(rows, columns))
        cut = np.stack([image[slice(*y), slice(*x)] for y, x in places])
        ys, xs = zip(*places, strict=True)
        return Tiles(cut[:, None], ys, xs, (image.shape[0], image.shape[1]))

    def _forward(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        with inference_on(self.device):
            batch = torch.from_numpy(tiles).to(self.net.device, self.net.dtype)
            output: NDArray[np.float32] = self.net(batch)[0].float().cpu().numpy()
        return output

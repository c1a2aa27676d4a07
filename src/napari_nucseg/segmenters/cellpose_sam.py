"""Running Cellpose 4's own networks, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Flows, OutOfDeviceMemory, Report
from napari_nucseg.segmenters.checkpoints import check_complete, kind_of, read_state
from napari_nucseg.segmenters.devices import Device, computes_bfloat16, free_memory
from napari_nucseg.segmenters.tiling import tile_starts
from napari_nucseg.segmenters.traits import CELLPOSE

NATIVE_DIAMETER = 30.0
"""Nucleus diameter, in pixels, that Cellpose's networks were trained at."""
FLOW_STEPS = 200
GPU_BATCH = 8
"""Tiles at once on a GPU."""
TILE_SIZE = {"sam_vitl": 256}
"""Edge of a tile in pixels by backbone; 384 for the others."""
LEAST_EDGE = 16


@dataclass(frozen=True)
class CellposeSAM:
    """A Cellpose 4 network on a device, ready to run.

    Attributes
    ----------
    net : cellpose.vit.CPSAM or cellpose.vit.CPDINO
        In evaluation mode.
    device : Device
        Where it is.
    starts : callable
        Places tiles along an edge; see `tile_starts`.
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
        from cellpose.models import CellposeModel

        state = read_state(path)
        if kind_of(state, path) != "cellpose":
            raise ValueError(f"{path}: not a Cellpose 4 model")
        if "encoder.cls_token" in state and find_spec("dinov3") is None:
            raise ValueError(
                f"{path}: this model needs the package dinov3, which is not on PyPI: "
                "pip install git+https://github.com/facebookresearch/dinov3"
            )
        try:
            model = CellposeModel(
                pretrained_model=str(path),
                device=torch.device(device.kind),
                use_bfloat16=False,
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{path}: not a whole Cellpose 4 model: {error}") from error
        check_complete(state, model.net.state_dict(), path)
        if computes_bfloat16(device):
            model.net.dtype = torch.bfloat16
        return cls(model.net.eval(), device)

    @property
    def ignores(self) -> frozenset[str]:
        """Names of the parameters that it makes no use of."""
        return CELLPOSE.ignores

    @property
    def precision(self) -> str:
        """Precision of the weights, as torch names it."""
        return str(self.net.dtype).removeprefix("torch.")

    def predict(self, image: NDArray[Any], params: SegmentParams, report: Report) -> Flows:
        """Run the network tile by tile.

        Parameters
        ----------
        image : ndarray, shape (height, width)
            Intensities, of any scale.
        params : SegmentParams
            Those that need the network are used. For a diameter other than 0, nuclei are scaled
            to `NATIVE_DIAMETER`.
        report : callable
            Called before each batch of tiles and at the end.

        Raises
        ------
        OutOfDeviceMemory
            If the device cannot hold a single tile.

        Notes
        -----
        As ``cellpose.models.CellposeModel.eval`` does it, but for the number of tiles: fewer are
        run than it can be asked for, and they can be counted and stopped between.
        """
        from cellpose.transforms import normalize_img, resize_image

        scale = NATIVE_DIAMETER / params.diameter if params.diameter else 1.0
        # An edge scaled to next to nothing could not be resized
        least = math.ceil(LEAST_EDGE / scale)
        padding = [(0, max(0, least - edge)) for edge in image.shape]
        padded = np.pad(image.astype(np.float32), padding, mode="edge")
        percentiles = [params.low_percentile, params.high_percentile]
        scaled = normalize_img(padded[..., None], percentile=percentiles)
        if scale != 1.0:
            scaled = resize_image(scaled, rsz=scale)
        output, notes = self._run(scaled[..., 0], params, report)
        if scale != 1.0:
            output = resize_image(output.transpose(1, 2, 0), *padded.shape).transpose(2, 0, 1)
        height, width = image.shape
        output = np.ascontiguousarray(output[:, :height, :width])
        return Flows(output[:2], output[2], max(1, int(FLOW_STEPS / scale)), notes)

    def _run(
        self, image: NDArray[np.float32], params: SegmentParams, report: Report
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Return flows along y and x and cell probability, blended where tiles overlap."""
        from cellpose.transforms import average_tiles, get_pad_yx

        size = TILE_SIZE.get(self.net.backbone, 384)
        height, width = image.shape
        top, bottom, left, right = get_pad_yx(height, width, min_size=(size, size))
        padded = np.pad(image, [(top, bottom), (left, right)])
        rows, columns = (
            [(start, start + size) for start in self.starts(edge, size, params.tile_overlap)]
            for edge in padded.shape
        )
        tiles = list(product(rows, columns))
        cut = np.stack([padded[slice(*y), slice(*x)] for y, x in tiles])
        batch = params.batch_size or (1 if self.device.kind == "cpu" else GPU_BATCH)
        outputs, notes = self._run_tiles(cut, batch, report)
        ys, xs = zip(*tiles, strict=True)
        blended = average_tiles(outputs, ys, xs, *padded.shape)
        return np.asarray(blended[:, top : top + height, left : left + width]), notes

    def _run_tiles(
        self, tiles: NDArray[np.float32], batch: int, report: Report
    ) -> tuple[NDArray[np.float32], tuple[str, ...]]:
        """Run tiles, at most a batch at once; fewer where memory does not suffice."""
        outputs: list[NDArray[np.float32]] = []
        notes: list[str] = []
        done = 0
        while done < len(tiles):
            report(done, len(tiles))
            chosen = tiles[done : done + batch]
            try:
                outputs.append(self._forward(chosen))
            except torch.OutOfMemoryError as error:
                free_memory(self.device)
                if len(chosen) == 1:
                    raise OutOfDeviceMemory(str(self.device)) from error
                batch = len(chosen) // 2
                notes.append(
                    f"{self.device} has no memory for {len(chosen)} tiles at once; ran {batch}"
                )
            else:
                done += len(chosen)
        report(done, len(tiles))
        return np.concatenate(outputs), tuple(notes)

    def _forward(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(tiles[:, None]).to(self.net.device, self.net.dtype)
        with torch.inference_mode():
            output: torch.Tensor = self.net(batch)[0]
        return output.float().cpu().numpy()

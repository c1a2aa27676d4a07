"""Running Cellpose 4's own networks through its ``CellposeModel``."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.core.segmenting import Flows, Report, SegmentParams
from napari_nucseg.segmenters.checkpoints import check_complete, kind_of, read_state
from napari_nucseg.segmenters.devices import Device, computes_bfloat16

NATIVE_DIAMETER = 30.0
"""Nucleus diameter, in pixels, that Cellpose's networks were trained at."""
FLOW_STEPS = 200
TILE_OVERLAP = 0.1
TILE_SIZE = {"sam_vitl": 256}
"""Edge of a tile in pixels by backbone; 384 for the others."""
LEAST_EDGE = 16

# Given whole, because Cellpose writes into its own default when it is given a bool
_NORMALIZE = {
    "lowhigh": None,
    "percentile": None,
    "normalize": True,
    "norm3D": True,
    "sharpen_radius": 0,
    "smooth_radius": 0,
    "tile_norm_blocksize": 0,
    "tile_norm_smooth3D": 1,
    "invert": False,
}


@dataclass(frozen=True)
class CellposeSAM:
    """A Cellpose 4 model on a device, ready to run.

    Attributes
    ----------
    model : cellpose.models.CellposeModel
        Or anything with its ``net`` and ``eval``.
    device : Device
        Where it is.
    """

    model: Any
    device: Device

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
        return cls(model, device)

    @property
    def precision(self) -> str:
        """Precision of the weights, as torch names it."""
        return str(self.model.net.dtype).removeprefix("torch.")

    def predict(self, image: NDArray[Any], params: SegmentParams, report: Report) -> Flows:
        """Run the network tile by tile.

        Parameters
        ----------
        image : ndarray, shape (height, width)
            Intensities, of any scale.
        params : SegmentParams
            The diameter is used: other than 0, nuclei are scaled to `NATIVE_DIAMETER`.
        report : callable
            Called before each batch of tiles.
        """
        batch = 1 if self.device.kind == "cpu" else 8
        scale = NATIVE_DIAMETER / params.diameter if params.diameter else 1.0
        # Cellpose normalises in place, and fails where an edge is scaled to next to nothing
        least = math.ceil(LEAST_EDGE / scale)
        padding = [(0, max(0, least - edge)) for edge in image.shape]
        padded = np.pad(image.astype(np.float32), padding, mode="edge")
        tiles = _count_tiles(padded.shape, scale, TILE_SIZE.get(self.model.backbone, 384))
        with _counted(self.model.net, -(-tiles // batch), report):
            flows = self.model.eval(
                padded,
                batch_size=batch,
                diameter=params.diameter or None,
                normalize=_NORMALIZE,
                tile_overlap=TILE_OVERLAP,
                compute_masks=False,
            )[1]
        height, width = image.shape
        vectors = np.asarray(flows[1], dtype=np.float32)[:, :height, :width]
        cellprob = np.asarray(flows[2], dtype=np.float32)[:height, :width]
        return Flows(vectors, cellprob, max(1, int(FLOW_STEPS / scale)))


def _count_tiles(shape: tuple[int, ...], scale: float, size: int) -> int:
    """Count the tiles that ``cellpose.core.run_net`` cuts a field into."""
    from cellpose.transforms import get_pad_yx

    height, width = (int(edge * scale) for edge in shape)
    top, bottom, left, right = get_pad_yx(height, width, min_size=(size, size))
    edges = (height + top + bottom, width + left + right)
    rows, columns = (
        1 if edge <= size else math.ceil((1 + 2 * TILE_OVERLAP) * edge / size) for edge in edges
    )
    return rows * columns


@contextmanager
def _counted(net: torch.nn.Module, total: int, report: Report) -> Iterator[None]:
    """Report each batch; what `report` raises leaves the network between two batches."""
    done = 0
    owner = threading.get_ident()  # the net may be at work in another thread, too

    def before(module: torch.nn.Module, inputs: Any) -> None:
        nonlocal done
        if threading.get_ident() != owner:
            return
        report(min(done, total), total)
        done += 1

    hook = net.register_forward_pre_hook(before)
    try:
        yield
    finally:
        hook.remove()
    report(total, total)

"""Cellpose-SAM as the plugin runs it, and as Cellpose does: a ViT-L with random weights."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.rows import Peer, Row, TimesPeer
from benchmarks.sample import images
from benchmarks.setting import Setting
from benchmarks.timing import interleave, timed
from napari_nucseg.segmenters.cellpose4 import CellposeSAM
from napari_nucseg.segmenters.devices import choose
from napari_nucseg.segmenters.network import infer, prepared
from napari_nucseg.segmenters.parameters import SegmentParams

RUNS = 3
"""At most: a field takes about half a minute."""
OWN = SegmentParams()
AS_CELLPOSE = SegmentParams(tile_overlap=64)
"""Which makes as many tiles of a field of 520 x 696 px as Cellpose does by itself: 12."""


def measure(setting: Setting) -> list[Row]:
    """Take the times of one field, from the image to the flows."""
    field = images(setting.dataset)[0]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "random"
        torch.save(random_weights(), path)
        model = CellposeSAM.load(path, choose("cpu"))
        bare = _bare_cellpose(path, model.precision)
    own, alike, cellpose = interleave(
        [
            timed(partial(_predict, model, OWN), [field]),
            timed(partial(_predict, model, AS_CELLPOSE), [field]),
            timed(partial(_evaluate, bare), [field]),
        ],
        min(setting.runs, RUNS),
    )
    what = f"Cellpose-SAM in {model.precision}, flows of a field"
    peer = Peer("Cellpose", cellpose)
    return [
        Row(what, own, peer, TimesPeer(1.0)),
        Row(f"{what}, 12 tiles as Cellpose", alike, peer, TimesPeer(1.05)),
    ]


def random_weights() -> dict[str, torch.Tensor]:
    """All weights of a ViT-L, cut out of one small pool of random numbers."""
    from cellpose.vit import CPSAM

    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in CPSAM().state_dict().items()}
    torch.manual_seed(0)
    pool = 0.02 * torch.randn(max(shape.numel() for shape in shapes.values()))
    return {name: pool[: shape.numel()].view(shape) for name, shape in shapes.items()}


def _bare_cellpose(path: Path, precision: str) -> Any:
    from cellpose.models import CellposeModel

    return CellposeModel(
        pretrained_model=str(path),
        device=torch.device("cpu"),
        use_bfloat16=precision == "bfloat16",
    )


def _predict(model: CellposeSAM, params: SegmentParams, image: NDArray[Any]) -> None:
    normalised = model.normalise(prepared(image, params), params)
    infer(model, normalised, params, lambda done, total: None)


def _evaluate(bare: Any, image: NDArray[Any]) -> None:
    bare.eval(image, batch_size=1, compute_masks=False)

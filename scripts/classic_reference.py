"""Write what Cellpose 3.1.1.2 makes of a drawn image, for `tests/segmenters/test_classic_unet.py`.

In an environment of its own: ``pip install cellpose==3.1.1.2 'numpy<2.3'``, then
``python scripts/classic_reference.py tests/data/classic_unet.npz [toxo_pv_lumen.CP_model]``.
The checkpoint is ``spacr/models/cp/toxo_pv_lumen.CP_model`` of the wheel ``spacr==0.1.0``.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

SHAPE = (260, 300)
"""More than one tile along both edges, and no multiple of anything."""
EVERY = 5
"""Of the output every fifth row and column is kept, which meets all phases of the net's pooling."""


@dataclass(frozen=True)
class Case:
    """One run of Cellpose.

    Attributes
    ----------
    name : str
        Begins the names of the arrays.
    widths : tuple of int
        Features of each level; the last is 256, which Cellpose 3 takes for granted.
    own_diameter : float
        Diameter that the weights say they were trained with.
    diameter : float
        What the user asks for; 0 for nothing.
    flow_threshold : float
        0 where the weights are random, whose flows fit no object.
    seed : int
        Of random weights.
    spread : float
        How far random weights reach, and with them the flows. Both are chosen so that labels do
        not hang on the order of a sum: six times noise of 3e-6 in the flows changed none, but for
        one pixel of ``narrow`` once.
    augment : bool
        Whether flipped tiles are averaged.
    """

    name: str
    widths: tuple[int, ...] = (32, 64, 128, 256)
    own_diameter: float = 30.0
    diameter: float = 0.0
    flow_threshold: float = 0.0
    seed: int = 69
    spread: float = 3.0
    augment: bool = False


RANDOM = (
    Case("narrow", (4, 6, 8, 256)),
    Case("narrow_own_diameter", (4, 6, 8, 256), own_diameter=22.5),
    Case("narrow_large", (4, 6, 8, 256), diameter=47.0),
    Case("narrow_augmented", (4, 6, 8, 256), augment=True),
    Case("standard", own_diameter=26.0, diameter=30.0, seed=8, spread=2.0),
)
CHECKPOINT = (
    Case("checkpoint", flow_threshold=0.4),
    Case("checkpoint_small", diameter=20.0, flow_threshold=0.4),
)


def draw_image() -> NDArray[np.uint16]:
    """Draw domes on a noisy slope, by exact arithmetic alone: the same on every machine."""
    rng = np.random.RandomState(3)
    y, x = np.indices(SHAPE)
    image = 300.0 + y / 4 + x / 2
    for row in range(20, SHAPE[0], 37):
        for column in range(18, SHAPE[1], 41):
            cy, cx = row + rng.randint(-6, 7), column + rng.randint(-6, 7)
            ry, rx = rng.randint(9, 16), rng.randint(9, 16)
            height = 1.0 - ((y - cy) / ry) ** 2 - ((x - cx) / rx) ** 2
            image += np.where(height > 0, 900.0 + 600.0 * height, 0.0)
    return (image + rng.randint(0, 120, SHAPE)).astype(np.uint16)


def random_weights(shapes: Mapping[str, tuple[int, ...]], case: Case) -> dict[str, NDArray[Any]]:
    """Draw weights for a state dict, with batch normalisations that do something."""
    rng = np.random.RandomState(case.seed)
    weights: dict[str, NDArray[Any]] = {}
    for name, shape in sorted(shapes.items()):
        low, high = -0.2, 0.2
        if name.endswith("num_batches_tracked"):
            weights[name] = np.zeros(shape, np.int64)
            continue
        if len(shape) > 1:
            high = (case.spread / np.prod(shape[1:])) ** 0.5
            low = -high
        elif name.endswith(("running_var", ".0.weight")):
            low, high = 0.5, 1.5
        weights[name] = rng.uniform(low, high, shape).astype(np.float32)
    return weights


class GraphicsCard(str):
    """A device that is the CPU to torch, and to Cellpose a graphics card, for which it has code."""

    type = "cuda"


def load_model(case: Case, path: Path) -> Any:
    """Load weights as Cellpose does, which knows no widths but the standard ones."""
    from cellpose.models import CellposeModel
    from cellpose.resnet_torch import CPnet

    def make_net(widths: list[int], *args: Any, **options: Any) -> CPnet:
        return CPnet([2, *case.widths], *args, **options)

    with patch("cellpose.models.CPnet", make_net):
        return CellposeModel(pretrained_model=str(path))


def write_random(case: Case, path: Path) -> None:
    """Write a checkpoint of random weights as Cellpose 2 and 3 save theirs."""
    import torch
    from cellpose.resnet_torch import CPnet

    net = CPnet([2, *case.widths], 3, sz=3)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    weights = random_weights(shapes, case)
    weights["diam_mean"] = np.array([30.0], np.float32)
    weights["diam_labels"] = np.array([case.own_diameter], np.float32)
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()}, path)


def run(case: Case, path: Path) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield what Cellpose makes of the drawn image, and of its flows on a graphics card."""
    from cellpose.dynamics import resize_and_compute_masks

    model = load_model(case, path)
    labels, flows, _ = model.eval(
        draw_image(),
        channels=[0, 0],
        diameter=case.diameter,
        flow_threshold=case.flow_threshold,
        augment=case.augment,
    )
    scale = model.diam_mean / (case.diameter or model.diam_labels)
    on_card = resize_and_compute_masks(
        flows[1],
        flows[2],
        niter=1 / scale * 200,
        flow_threshold=case.flow_threshold,
        device=GraphicsCard("cpu"),
    )
    output = np.concatenate([flows[1], flows[2][None]])
    print(case.name, labels.max(), on_card.max(), (labels != on_card).mean(), output.std((1, 2)))
    yield f"{case.name}_output", output[:, ::EVERY, ::EVERY].astype(np.float32)
    yield f"{case.name}_labels", labels
    yield f"{case.name}_labels_of_a_card", on_card


def main(target: Path, checkpoint: Path | None) -> None:
    """Run all cases."""
    arrays: dict[str, NDArray[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in RANDOM:
            path = Path(folder) / case.name
            write_random(case, path)
            arrays.update(run(case, path))
    for case in CHECKPOINT if checkpoint else ():
        arrays.update(run(case, checkpoint))
    np.savez_compressed(target, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)

"""How well a network that is being trained does on images that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.metrics.score import score
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.segmenters.api import OutOfDeviceMemory
from napari_nucseg.segmenters.devices import free_memory
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.tiling import TiledNet, run_scaled
from napari_nucseg.segmenters.training.crops import Example
from napari_nucseg.segmenters.training.loop import Training, loss_of


@dataclass(frozen=True)
class HeldOutScores:
    """Means over the held-out images; those without nuclei count where something is found.

    Attributes
    ----------
    held_out_loss : float
        Loss as of a batch, mean over the images.
    mean_ap : float
        AP, averaged over IoU thresholds from 0.5 to 0.95.
    ap_50, f1_50 : float
        AP and F1 at an IoU of 0.5.
    """

    held_out_loss: float
    mean_ap: float
    ap_50: float
    f1_50: float


def score_held_out(
    training: Training, examples: Sequence[Example], progress: Progress
) -> HeldOutScores:
    """Score the averaged weights, each image at its own scale and with the usual thresholds.

    Parameters
    ----------
    training : Training
        The training, whose averaged weights are scored.
    examples : sequence of Example
        Held-out images; one at least has nuclei.
    progress : Progress
        Called with the number of images done before each; may raise to stop.
    """
    params = SegmentParams()
    net = _in_use(training)
    losses, ratios = [], []
    for done, example in enumerate(examples):
        progress(done, len(examples))
        flows = run_scaled(net, example.image, 1.0, False, ignore)
        output = torch.from_numpy(np.concatenate([flows.vectors, flows.cellprob[None]]))
        losses.append(loss_of(output[None], example.whole()).item())
        found = Labeller(flows, training.device)(params)
        ratios.append(score(example.labels.astype(np.int32), found).ratios()["objects"])
    mean_ap, ap, f1 = (
        float(np.nanmean([of_image[name] for of_image in ratios]))
        for name in ("mean_ap", "ap", "f1")
    )
    return HeldOutScores(float(np.mean(losses)), mean_ap, ap, f1)


def _in_use(training: Training) -> TiledNet:
    """Return the averaged net as it runs on a field: with a border, and in tiles if it is large."""

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        batch = torch.from_numpy(images).to(training.place, memory_format=training.layout)
        try:
            with torch.inference_mode():
                output = training.learner.forward(training.averaged, batch)
        except torch.OutOfMemoryError as error:
            free_memory(training.device)
            raise OutOfDeviceMemory(str(training.device)) from error
        result: NDArray[np.float32] = output.float().cpu().numpy()
        return result

    shape = training.learner.shape
    return TiledNet(run, 1, shape.stride, shape.reach)

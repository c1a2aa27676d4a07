"""How well a network does on images that are held out: it is run as it will be used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.score import score
from napari_nucseg.progress import Progress, at_step
from napari_nucseg.segmenters.flows import Labeller
from napari_nucseg.segmenters.network import Network
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.segmenters.training.examples import Example
from napari_nucseg.segmenters.training.loop import Training, loss_of

BLENDS = (0.25, 0.5, 1.0)
"""Shares of what was learned, the rest being the start, that are tried in fine-tuning."""
WITHOUT_HELD_OUT = (0.5, 0.25)
"""The shares of which the first that forgets little is taken where nothing is held out."""
MOST_FORGOTTEN = 0.01
"""How much the mean AP of images of the old kind may fall for a blend to be taken."""
PRICE_OF_CHANGE = 0.01
"""Held-out mean AP that weights without the start must win: a few images tell no less apart."""


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


@dataclass(frozen=True)
class Trial:
    """A share of what was learned, and how it did on the held-out images.

    Attributes
    ----------
    share : float
        Share of what was learned; the rest are the weights of the start.
    scores : HeldOutScores or None
        None where nothing is held out.
    labels : ndarray of int32 or None
        What they find in the first held-out image.
    """

    share: float
    scores: HeldOutScores | None
    labels: Labels | None


def score_network(
    network: Network, examples: Sequence[Example], progress: Progress
) -> tuple[HeldOutScores, Labels]:
    """Score a network on images with the usual settings.

    Parameters
    ----------
    network : Network
        Network as it is used.
    examples : sequence of Example
        Images with their labels; one at least has nuclei.
    progress : Progress
        Called with the number of images done before each; may raise to stop.

    Returns
    -------
    HeldOutScores
        Means over the images.
    ndarray of int32
        What is found in the first image.
    """
    params = SegmentParams()
    losses, ratios, labels = [], [], []
    for done, example in enumerate(examples):
        progress(done, len(examples))
        flows = network.infer(example.image, params, at_step(progress, done, len(examples)))
        output = torch.from_numpy(np.concatenate([flows.vectors, flows.cellprob[None]]))
        losses.append(loss_of(output[None], example.whole()).item())
        complete = example.weights > 0
        labels.append(_mostly_within(Labeller(flows, network.device)(params), complete))
        truth = _mostly_within(example.labels.astype(np.int32), complete)
        ratios.append(score(truth, labels[-1]).ratios()["objects"])
    names = "mean_ap", "ap", "f1"
    means = [float(np.nanmean([of_image[name] for of_image in ratios])) for name in names]
    return HeldOutScores(float(np.mean(losses)), *means), labels[0]


def merit(scores: HeldOutScores | None, share: float) -> float:
    """Return the held-out mean AP of weights, less the price of how far they left the start.

    Parameters
    ----------
    scores : HeldOutScores or None
        None where nothing is held out.
    share : float
        Share of what was learned in the weights.

    Examples
    --------
    >>> near, far = HeldOutScores(0.4, 0.725, 0.9, 0.95), HeldOutScores(0.4, 0.727, 0.9, 0.95)
    >>> merit(near, share=0.25) > merit(far, share=1.0)
    True
    """
    return scores.mean_ap - PRICE_OF_CHANGE * share if scores else 0.0


def shares_of(training: Training, has_held_out: bool) -> tuple[float, ...]:
    """Return the shares of what was learned that are to be tried now, in order of preference."""
    if not training.params.fine_tune:
        return (1.0,)
    if not training.done:
        return (0.0,)
    return BLENDS if has_held_out else WITHOUT_HELD_OUT


def try_blends(
    training: Training, shares: Iterable[float], held_out: Sequence[Example], progress: Progress
) -> list[Trial]:
    """Score a training's weights, and blends of them with those of its start.

    Parameters
    ----------
    training : Training
        The training, whose averaged weights are tried.
    shares : iterable of float
        Shares of these weights: 0 is the start.
    held_out : sequence of Example
        Held-out images; none if nothing is held out.
    progress : Progress
        Called with the number of images done before each; may raise to stop.
    """
    trials = []
    for share in shares:
        scores, labels = (
            score_network(training.network(share), held_out, progress) if held_out else (None, None)
        )
        trials.append(Trial(share, scores, labels))
    return trials


def _mostly_within(labels: Labels, complete: NDArray[np.bool_]) -> Labels:
    """Keep the objects of which half or more lies where labels are complete."""
    if complete.all():
        return labels
    whole = np.bincount(labels.ravel())
    inside = np.bincount(labels[complete], minlength=len(whole))
    return np.where((2 * inside >= whole)[labels], labels, 0).astype(labels.dtype)

"""What scripts and notebooks call: open a dataset, segment an image, score the labels.

Each is also an attribute of the package, which loads this module when it is first used.

Examples
--------
>>> import napari_nucseg as ns
>>> image, truth = ns.sample()
>>> labels = ns.segment(image).labels
>>> bool(ns.score(truth, labels).objects.f1 > 0.9)
True
"""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.io.datasets import find_field, open_dataset
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.layouts import PICTURE_SUFFIXES
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics import score as scoring
from napari_nucseg.metrics.ignoring import Ignored
from napari_nucseg.metrics.matching import STARDIST, find_preset
from napari_nucseg.metrics.score import Score
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Segmentation
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import SegmentParams

StrPath = str | os.PathLike[str]


def models() -> tuple[Model, ...]:
    """List the models: those of this package, then those that other packages add.

    Returns
    -------
    tuple of Model
        Each with its ``name``, ``about``, ``licence`` and ``megabytes``, and with ``is_ready``,
        which is false while its weights have to be downloaded first.

    Examples
    --------
    >>> [model.name for model in models()][:2]
    ['fluo-nuclei', 'otsu']
    """
    return catalogue.models()


def sample(seed: int = 0) -> tuple[NDArray[np.uint16], Labels]:
    """Draw a field of nuclei like those of BBBC039, to try things out.

    Parameters
    ----------
    seed : int
        Another number gives another field.

    Returns
    -------
    image : ndarray of uint16, shape (520, 696)
        Intensities.
    truth : ndarray of int32, shape (520, 696)
        The exact nuclei; 0 is background.
    """
    field = draw_field(seed)
    return field.image, field.labels


def open(path: StrPath, split: str | None = None, *, truths: StrPath | None = None) -> Dataset:  # noqa: A001
    """Find the fields of a dataset, or of one image, without reading any pixel.

    Parameters
    ----------
    path : str or path
        A dataset in any layout that ``docs/datasets.md`` lists, a folder of images, or an image.
    split : str, optional
        Keep the fields of one of the dataset's lists alone, such as "validation".
    truths : str or path, optional
        Folder of the ground truth, where the first one holds the images alone.

    Returns
    -------
    Dataset
        Its ``fields``, each with a ``name``, ``read_image().data`` and ``read_truth()``.

    Raises
    ------
    ValueError, OSError
        If there are no fields, or files that contradict one another; the message names them.
    """
    place = Path(path)
    if place.is_file() and place.suffix.lower() in PICTURE_SUFFIXES:
        if split is not None or truths is not None:
            raise ValueError(f"{place}: this is one image, without split and folder of truths")
        return Dataset(place.name, (find_field(place),))
    return open_dataset(place, split, truths=None if truths is None else Path(truths))


def segment(
    image: ArrayLike,
    model: str | Model = catalogue.BUNDLED,
    *,
    device: str = "auto",
    progress: Progress = ignore,
    **parameters: float,
) -> Segmentation:
    """Segment the nuclei of an image.

    Parameters
    ----------
    image : array, shape (height, width)
        Intensities of one field, of any scale, with nuclei brighter than the background;
        ``invert=True`` is for dark nuclei.
    model : str or Model
        Name of one of `models`, or the path of a model file. Weights that are not on this
        computer are downloaded first. The last two models stay in memory.
    device : str
        auto, cuda, mps or cpu.
    progress : callable, optional
        Called with (done, in all) while weights are downloaded and then while the model runs;
        what it raises stops the work.
    **parameters : float, int or bool
        Parameters by their names, such as ``diameter=30`` (see `SegmentParams`); the others have
        the values that suit the model.

    Returns
    -------
    Segmentation
        ``labels``, an int32 array of the image's shape where 0 is background and each nucleus has
        a number; ``provenance``, how they were made; and ``concerns``, signs that the model does
        not suit the image. Its ``relabelled`` makes labels with other thresholds in an instant.

    Raises
    ------
    ValueError, OSError
        If there is no such model, device or parameter, the image is no grey plane, or weights
        cannot be downloaded.

    Examples
    --------
    >>> image = np.zeros((40, 40))
    >>> image[10:30, 10:30] = 1
    >>> int(segment(image, model="otsu").labels.max())
    1
    """
    chosen = model if isinstance(model, Model) else catalogue.find(model)
    known = [field.name for field in fields(SegmentParams)]
    for name in parameters:
        if name not in known:
            raise ValueError(f"there is no parameter {name!r}; choose among {', '.join(known)}")
    params = replace(chosen.defaults, **parameters)  # type: ignore[arg-type]  # of its own types
    chosen.check(params)
    catalogue.download(chosen, progress)
    return catalogue.load(chosen, device)(np.asarray(image), params, progress)


def score(
    truth: ArrayLike,
    predicted: ArrayLike,
    threshold: float = 0.5,
    *,
    preset: str = STARDIST.name,
    outlines: bool = False,
    ignore_border: bool = False,
) -> Score:
    """Score predicted labels against the ground truth.

    Parameters
    ----------
    truth, predicted : array of integers, of one shape
        Label images of any number of axes; 0 is background.
    threshold : float
        Least IoU of a match, above 0 and at most 1.
    preset : str
        Published rule of comparison: stardist, dsb2018 or caicedo2019.
    outlines : bool
        Measure the distances of outlines, too.
    ignore_border : bool
        Leave out nuclei that touch the border, on both sides.

    Returns
    -------
    Score
        ``print`` shows it as a table; single scores are attributes, such as ``objects.f1`` and
        ``mean_ap``, and all are in ``ratios()``. Scores of several fields are joined by
        `napari_nucseg.summarise`.

    Raises
    ------
    ValueError, TypeError
        If the shapes differ, the arrays hold no labels, or there is no such preset.

    Examples
    --------
    >>> truth = np.array([[1, 1, 0, 2, 2]])
    >>> print(score(truth, np.where(truth == 1, 5, 0)))
    2 nuclei, 1 predicted, 1 matched.
    Pixels   Dice (= F1)          0.667
             IoU                  0.500
             Precision            1.000
             Recall               0.500
             Accuracy             0.600
    Nuclei   Precision at 0.50    1.000
             Recall at 0.50       0.500
             F1 at 0.50           0.667
             AP at 0.50           0.500
             AP .50:.95           0.500
             F1 .50:.90           0.667
             SQ at 0.50           1.000
             RQ at 0.50           0.667
             PQ at 0.50           0.667
             AJI                  0.500
             AJI+                 0.500
             SEG                  0.500
    """
    count = scoring.score_with_boundaries if outlines else scoring.score
    left_out = Ignored(border=True) if ignore_border else None
    labels = np.asarray(truth), np.asarray(predicted)
    return count(*labels, threshold, preset=find_preset(preset), ignore=left_out)

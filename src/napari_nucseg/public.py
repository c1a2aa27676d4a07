"""What scripts and notebooks call: open a dataset, list the models, score the labels.

Each is also an attribute of the package, which loads this module when it is first used. So is
`napari_nucseg.segmenters.segment.segment`.

Examples
--------
>>> import napari_nucseg as ns
>>> image, truth = ns.sample()
>>> labels = ns.segment(image).labels
>>> bool(ns.score(truth, labels).objects.f1 > 0.9)
True
"""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_nucseg.array_types import PATHS, Labels, StrPath, as_array
from napari_nucseg.io.datasets import find_field, open_dataset
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.layouts import PICTURE_SUFFIXES
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.plates import NO_PLATE, PlateOptions, is_plate
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics import score as scoring
from napari_nucseg.metrics.ignoring import Ignored
from napari_nucseg.metrics.matching import STARDIST, find_preset
from napari_nucseg.metrics.score import Score
from napari_nucseg.parameter_spec import check_argument
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.model import Model


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

    Raises
    ------
    ValueError
        If the seed is no such number.
    """
    is_seed = isinstance(seed, Integral) and seed >= 0
    check_argument(is_seed, "seed", seed, "a whole number from 0 on")
    field = draw_field(int(seed))
    return field.image, field.labels


def open(  # noqa: A001
    path: StrPath,
    split: str | None = None,
    *,
    truths: StrPath | None = None,
    channel: str = "",
    truth_labels: str = "",
    pattern: str = "",
) -> Dataset:
    """Find the fields of a dataset, or of one image, without reading any pixel.

    Parameters
    ----------
    path : str or path
        A dataset in any layout that ``docs/datasets.md`` lists, a folder of images, or an image.
    split : str, optional
        Keep the fields of one of the dataset's lists alone, such as "validation".
    truths : str or path, optional
        Folder of the ground truth, where the first one holds the images alone.
    channel : str
        Channel of the nuclei in a plate, by name or number; not needed if there is one.
    truth_labels : str
        Name of the labels in a plate of OME-Zarr that are the ground truth, if there are several.
    pattern : str
        How files name their well: a regular expression with a group ``(?P<well>...)``, or row and
        column, and site and channel if names have them.

    Returns
    -------
    Dataset
        Its ``fields``, each with a ``name``, ``read_image().data`` and ``read_truth()``.

    Raises
    ------
    ValueError, OSError
        If there are no fields, or files that contradict one another; the message names them.
    """
    check_argument(isinstance(path, PATHS), "path", path, "the path of a file or folder")
    check_argument(
        isinstance(truths, (*PATHS, type(None))), "truths", truths, "the path of a folder"
    )
    check_argument(
        isinstance(split, str | None), "split", split, "the name of one of the dataset's lists"
    )
    place = Path(path)
    plate = PlateOptions(channel, truth_labels, pattern)
    is_file = place.is_file() and place.suffix.lower() in PICTURE_SUFFIXES
    if is_file or (is_zarr(place) and not is_plate(place)):
        if split is not None or truths is not None or plate != NO_PLATE:
            raise ValueError(f"{place}: this is one image; open its folder to choose more than it")
        return Dataset(place.name, (find_field(place),))
    folder = None if truths is None else Path(truths)
    return open_dataset(place, split, truths=folder, plate=plate)


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
    ValueError
        If the shapes differ, the arrays hold no labels, or there is no such threshold or preset.

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
    labels = as_array("truth", truth), as_array("predicted", predicted)
    return count(*labels, threshold, preset=find_preset(preset), ignore=left_out)

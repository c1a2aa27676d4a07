"""What scripts and notebooks call: open a dataset, list the models, segment, score the labels.

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
from numbers import Integral
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_nucseg.array_types import PATHS, Labels, StrPath, as_array
from napari_nucseg.io.datasets import find_field, open_dataset
from napari_nucseg.io.fields import Dataset
from napari_nucseg.io.layouts import PICTURE_SUFFIXES
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.plate_metadata import is_plate
from napari_nucseg.io.plates import NO_PLATE, PlateOptions
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.metrics import score as scoring
from napari_nucseg.metrics.ignoring import Ignored
from napari_nucseg.metrics.matching import STARDIST, find_preset
from napari_nucseg.metrics.score import Score
from napari_nucseg.parameter_spec import check_argument
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Segmentation, VolumeSegmentation
from napari_nucseg.segmenters.devices import CHOICES
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.segmenters.volumes import segment_volume


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
    **plate: str,
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
    **plate : str
        What is taken of a plate: ``channel``, that of the nuclei, and ``acquisition`` of OME-Zarr,
        each by name or number if there are several; ``truth_labels``, those in OME-Zarr that are
        the ground truth; ``pattern``, how files name their well: a regular expression with a
        group ``(?P<well>...)``, or row and column, and site and channel if names have them.

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
    is_path, is_list = isinstance(truths, (*PATHS, type(None))), isinstance(split, str | None)
    check_argument(is_path, "truths", truths, "the path of a folder")
    check_argument(is_list, "split", split, "the name of one of the dataset's lists")
    known = [field.name for field in fields(PlateOptions)]
    for name, wanted in plate.items():
        if name not in known:
            raise ValueError(f"there is no argument {name!r}; choose among {', '.join(known)}")
        check_argument(isinstance(wanted, str), name, wanted, "text, such as '1'")
    place, options = Path(path), PlateOptions(**plate)
    is_file = place.is_file() and place.suffix.lower() in PICTURE_SUFFIXES
    if is_file or (is_zarr(place) and not is_plate(place)):
        if split is not None or truths is not None or options != NO_PLATE:
            raise ValueError(f"{place}: this is one image; open its folder to choose more than it")
        return Dataset(place.name, (find_field(place),))
    folder = None if truths is None else Path(truths)
    return open_dataset(place, split, truths=folder, plate=options)


@overload
def segment(
    image: ArrayLike, model: StrPath | Model = ..., *, volume: None = None, **options: Any
) -> Segmentation: ...
@overload
def segment(
    image: ArrayLike, model: StrPath | Model = ..., *, volume: str, **options: Any
) -> VolumeSegmentation: ...
def segment(
    image: ArrayLike,
    model: StrPath | Model = catalogue.BUNDLED,
    *,
    volume: str | None = None,
    device: str = "auto",
    progress: Progress = ignore,
    **parameters: float,
) -> Segmentation | VolumeSegmentation:
    """Segment the nuclei of an image, or of a stack.

    Parameters
    ----------
    image : array, shape (height, width), or (planes, height, width) if `volume` is given
        Intensities of one field, of any scale, with nuclei brighter than the background;
        ``invert=True`` is for dark nuclei.
    model : str, path or Model
        Name of one of `models`, or the path of a model file. Weights that are not on this
        computer are downloaded first. The last two models stay in memory.
    volume : str, optional
        How the planes of a stack belong together: "planes" segments each by itself, as those of
        a time series; "stitched" joins nuclei of neighbouring planes that overlap; "3d" follows
        flows in three dimensions.
    device : str
        auto, cuda, mps or cpu.
    progress : callable, optional
        Called with (done, in all) while weights are downloaded and then while the model runs;
        what it raises stops the work.
    **parameters : float, int or bool
        Parameters by their names, such as ``diameter=30`` (see `SegmentParams`), and of a stack
        ``stitch_threshold`` and ``anisotropy`` (see `VolumeParams`); the others have the values
        that suit the model.

    Returns
    -------
    Segmentation or, if `volume` is given, VolumeSegmentation
        ``labels``, an int32 array of the image's shape where 0 is background and each nucleus has
        a number; ``provenance``, how they were made, with the signs that the model does not suit
        the image in ``provenance.suspect``. The `Segmentation` of an image makes labels with
        other thresholds in an instant (``relabelled``), and has ``concerns``, the signs with what
        to do about each.

    Raises
    ------
    ValueError, OSError
        If there is no such model, device or parameter, the image is no grey plane or stack of
        them, or weights cannot be downloaded.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.zeros((40, 40))
    >>> image[10:30, 10:30] = 1
    >>> int(segment(image, model="otsu").labels.max())
    1
    >>> stack = np.stack([image, image])
    >>> [int(segment(stack, "otsu", volume=way).labels[1].max()) for way in ("planes", "stitched")]
    [1, 1]
    """
    is_model, is_device = isinstance(model, (Model, *PATHS)), isinstance(device, str)
    check_argument(is_model, "model", model, "the name of a model, its file's path, or a Model")
    check_argument(is_device, "device", device, f"one of {', '.join(CHOICES)}")
    check_argument(callable(progress), "progress", progress, "a function of (done, in all)")
    chosen = model if isinstance(model, Model) else catalogue.find(os.fspath(model))
    if volume not in (None, *Depth):
        raise ValueError(f"volume={volume!r}: there is no such way; choose {', '.join(Depth)}")
    depth = None if volume is None else Depth(volume)
    pixels = _pixels(image, depth)
    for_stacks = {field.name for field in fields(VolumeParams)}
    given = {name: parameters.pop(name) for name in for_stacks & parameters.keys()}
    if given and depth is None:
        raise ValueError(f"{', '.join(sorted(given))}: for stacks alone; give volume, too")
    known = [field.name for field in fields(SegmentParams)]
    for name in parameters:
        if name not in known:
            raise ValueError(f"there is no parameter {name!r}; choose among {', '.join(known)}")
    params = replace(chosen.defaults, **parameters)  # type: ignore[arg-type]  # of its own types
    in_depth = VolumeParams(**given)
    chosen.check(params, depth)
    catalogue.download(chosen, progress)
    segmenter = catalogue.load(chosen, device)
    if depth is None:
        return segmenter(pixels, params, progress)
    return segment_volume(segmenter, pixels, params, depth, in_depth, progress)


def _pixels(image: ArrayLike, depth: Depth | None) -> NDArray[Any]:
    """Return the pixels of an image, and say what to give where it is none."""
    pixels = as_array("image", image)
    if depth is not None or pixels.ndim != 3:
        return pixels
    if pixels.shape[-1] in (3, 4):
        told = "seems to have colours; give the channel of the nuclei, such as image[..., 2]"
        raise ValueError(f"an image of shape {pixels.shape} {told}")
    ways = " or ".join(repr(str(one)) for one in Depth)
    raise ValueError(
        f"an image of shape {pixels.shape}; give one plane or channel, such as image[0], or say "
        f"how its planes belong together: volume={ways}"
    )


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
    >>> print(score(truth, np.where(truth == 1, 5, 0)))  # doctest: +ELLIPSIS
    2 nuclei, 1 predicted, 1 matched.
    Pixels   Dice (= F1)          0.667
             IoU                  0.500
    ...
             SEG                  0.500
    """
    count = scoring.score_with_boundaries if outlines else scoring.score
    left_out = Ignored(border=True) if ignore_border else None
    labels = as_array("truth", truth), as_array("predicted", predicted)
    return count(*labels, threshold, preset=find_preset(preset), ignore=left_out)

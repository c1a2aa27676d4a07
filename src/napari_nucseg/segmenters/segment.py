"""Segment the pixels of an image or a stack, as scripts do: `napari_nucseg.segment`."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import Any, overload

from numpy.typing import ArrayLike, NDArray

from napari_nucseg.array_types import PATHS, StrPath, as_array
from napari_nucseg.parameter_spec import check_argument
from napari_nucseg.progress import Progress, ignore
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Segmentation, VolumeSegmentation
from napari_nucseg.segmenters.devices import CHOICES
from napari_nucseg.segmenters.model import Model
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.segmenters.volumes import segment_volume

_FOR_STACKS = frozenset(field.name for field in fields(VolumeParams))


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
    depth = None if volume is None else _depth_named(volume)
    pixels = _pixels(image, depth)
    given = {name: parameters.pop(name) for name in _FOR_STACKS & parameters.keys()}
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


def _depth_named(name: str) -> Depth:
    if name not in list(Depth):
        raise ValueError(f"volume={name!r}: there is no such way; choose {', '.join(Depth)}")
    return Depth(name)


def _pixels(image: ArrayLike, depth: Depth | None) -> NDArray[Any]:
    """Return the pixels of an image, and say what to give where it is none."""
    pixels = as_array("image", image)
    shape = pixels.shape
    if depth is None and len(shape) == 3 and shape[-1] in (3, 4):
        raise ValueError(
            f"an image of shape {shape} seems to have colours; give the channel of the nuclei, "
            "such as image[..., 2]"
        )
    if depth is None and len(shape) == 3:
        raise ValueError(
            f"an image of shape {shape}; give one plane or channel, such as image[0], or say how "
            f"its planes belong together: volume={' or '.join(repr(str(one)) for one in Depth)}"
        )
    return pixels

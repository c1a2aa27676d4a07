"""Stacks in depth, as Cellpose does: planes stitched, or flows in three dimensions.

References
----------
.. [1] Stringer et al., Nature Methods 18, 100-106 (2021); ``CellposeModel.eval`` of Cellpose 4.2
   with ``stitch_threshold`` or ``do_3D``.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.array_types import Labels
from napari_nucseg.metrics.overlap import Overlap, find_overlap
from napari_nucseg.progress import Progress, at_step
from napari_nucseg.segmenters.api import (
    FLOW_STEPS,
    Provenance,
    Segmenter,
    VolumeSegmentation,
    check_image,
)
from napari_nucseg.segmenters.devices import load_torch
from napari_nucseg.segmenters.network import NetSegmenter, Network, prepared, refuse_too_large
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.segmenters.splitting import drop_on_edges
from napari_nucseg.segmenters.suitability import Found, find_concerns

MAX_VOXELS = 2**27
"""The largest stack that is run in 3-D, at the network's own scale: it takes 9 GB."""


def stitch_planes(planes: Labels, threshold: float) -> Labels:
    """Give objects of neighbouring planes that overlap enough one number.

    An object goes on in the object of the next plane that it shares the largest IoU with; where
    two of a plane go on in one, it takes the number of the one that it overlaps more.

    Parameters
    ----------
    planes : ndarray of integers, shape (planes, height, width)
        Labels of each plane by itself.
    threshold : float
        Least IoU at which nuclei of neighbouring planes become one.

    Returns
    -------
    ndarray of int32, shape (planes, height, width)
        Labels of the volume; those of the first plane are kept.

    As ``cellpose.utils.stitch3D`` 4.2, without its table of all pairs; it may give numbers out
    twice after an empty plane, this function does not.
    """
    joined = np.zeros(planes.shape, dtype=np.int32)
    joined[:1] = planes[:1]
    highest = int(joined[:1].max(initial=0))
    for index in range(1, len(planes)):
        overlap = find_overlap(joined[index - 1], planes[index])
        numbers = _continue(overlap, threshold)
        new = numbers == 0
        numbers[new] = np.arange(highest + 1, highest + 1 + np.count_nonzero(new))
        highest += int(np.count_nonzero(new))
        table = np.zeros(int(planes[index].max(initial=0)) + 1, dtype=np.int32)
        table[overlap.predicted_ids] = numbers
        joined[index] = table[planes[index]]
    return joined


def _continue(overlap: Overlap, threshold: float) -> NDArray[np.int64]:
    """Return the number that each object of the later plane takes from the one before, or 0."""
    ious = np.where(overlap.reaches(threshold), overlap.ious, 0.0)
    best = np.zeros(len(overlap.truth_ids))
    np.maximum.at(best, overlap.truth_index, ious)
    going_on = np.flatnonzero((ious > 0) & (ious == best[overlap.truth_index]))
    order = going_on[np.lexsort((overlap.truth_index[going_on], -ious[going_on]))]
    later, first = np.unique(overlap.predicted_index[order], return_index=True)
    numbers = np.zeros(len(overlap.predicted_ids), dtype=np.int64)
    numbers[later] = overlap.truth_ids[overlap.truth_index[order[first]]]
    return numbers


def segment_volume(
    segmenter: Segmenter,
    volume: NDArray[Any],
    params: SegmentParams,
    depth: Depth,
    volume_params: VolumeParams,
    progress: Progress,
) -> VolumeSegmentation:
    """Segment a stack in depth; joined planes have their intensities scaled together.

    Parameters
    ----------
    segmenter : Segmenter
        Loaded model, as `napari_nucseg.segmenters.catalogue.load` gives it.
    volume : ndarray, shape (planes, height, width)
        Intensities of the planes, of any scale.
    params : SegmentParams
        Thresholds and diameter; sizes are in voxels. In 3-D there is no flow threshold.
    depth : Depth
        How planes belong together: not at all, stitched by their overlap, or by flows in 3-D.
    volume_params : VolumeParams
        Stitch threshold and anisotropy of the volume.
    progress : Progress
        Called with (planes done, planes in all) before each batch of tiles; what it raises stops
        the work. Following the flows in 3-D cannot be stopped.

    Raises
    ------
    ValueError
        If the stack cannot be segmented so; the message says what to choose instead.
    """
    if volume.ndim != 3:
        raise ValueError(f"a volume of shape {volume.shape}; choose planes x height x width")
    for number, plane in enumerate(volume):
        check_image(plane, f"plane {number}")
    start = time.perf_counter()
    if depth is Depth.IN_3D:
        labels, made = _segment_in_3d(segmenter, volume, params, volume_params, progress)
    elif depth is Depth.STITCHED:
        labels, made = _segment_stitched(segmenter, volume, params, volume_params, progress)
    else:
        labels, made = _segment_planes(segmenter, volume, params, progress)
    if depth is not Depth.PLANES:
        plane = _fullest(bright := prepared(volume, params))
        found = Found(labels[plane], diameter=made.diameter)
        concerns = find_concerns(bright[plane], found, params)
        made = replace(made, suspect=tuple(map(str, concerns)))
        labels = drop_on_edges(labels) if params.exclude_on_edges else labels
    provenance = replace(
        made,
        parameters=asdict(params),
        seconds=time.perf_counter() - start,
        depth={"method": str(depth), **asdict(volume_params)},
    )
    return VolumeSegmentation(np.asarray(labels, dtype=np.int32), provenance)


def _fullest(volume: NDArray[Any]) -> int:
    """Return the number of the plane that shows most."""
    return int(np.argmax(volume.std(axis=(1, 2))))


def _segment_planes(
    segment: Segmenter, volume: NDArray[Any], params: SegmentParams, progress: Progress
) -> tuple[Labels, Provenance]:
    total = len(volume)
    results = [
        segment(plane, params, at_step(progress, number, total))
        for number, plane in enumerate(volume)
    ]
    progress(total, total)
    made = [result.provenance for result in results]
    notes = dict.fromkeys(note for one in made for note in one.notes)
    found = [one.diameter for one in made if one.is_estimated and one.diameter]
    suspects = [one.suspect for one in made if one.suspect]
    labels = np.stack([result.labels for result in results])
    return labels, replace(
        made[0],
        notes=tuple(notes),
        suspect=suspects[0] if 2 * len(suspects) > total else (),
        diameter=float(np.median(found)) if found else made[0].diameter,
        is_estimated=bool(found),
    )


def _segment_stitched(
    segmenter: Segmenter,
    volume: NDArray[Any],
    params: SegmentParams,
    volume_params: VolumeParams,
    progress: Progress,
) -> tuple[Labels, Provenance]:
    load_torch()
    from cellpose.utils import fill_holes_and_remove_small_masks

    segment = segmenter
    if isinstance(segmenter, NetSegmenter):
        segment = segmenter.segment_normalised
        volume = segmenter.network.normalise(prepared(volume, params), params)
    all_parts = replace(params, min_size=0, exclude_on_edges=False)
    planes, made = _segment_planes(segment, volume, all_parts, progress)
    filled = [fill_holes_and_remove_small_masks(plane, min_size=-1) for plane in planes]
    joined = stitch_planes(np.stack(filled), volume_params.stitch_threshold)
    return fill_holes_and_remove_small_masks(joined, min_size=params.min_size), made


def _segment_in_3d(
    segmenter: Segmenter,
    volume: NDArray[Any],
    params: SegmentParams,
    volume_params: VolumeParams,
    progress: Progress,
) -> tuple[Labels, Provenance]:
    if not isinstance(segmenter, NetSegmenter):
        raise ValueError("this model works on planes, not in 3-D; choose stitched")
    if params.split_depth:
        raise ValueError("split depth works on planes, not in 3-D; set it to 0, or choose stitched")
    if min(volume.shape) < 2:
        raise ValueError(f"a volume of shape {volume.shape} is too thin for 3-D; choose planes")
    load_torch()
    network = segmenter.network
    scaled = network.normalise(prepared(volume, params), params)
    made = segmenter.provenance(params, 0.0)
    if not scaled.any():
        return np.zeros(volume.shape, dtype=np.int32), made
    # Small nuclei are not enlarged as in a plane: a volume would take eight times the memory
    large = (
        None if params.diameter else network.diameter_of_large(scaled[_fullest(scaled)], progress)
    )
    params = replace(params, diameter=large or params.diameter)
    flows, notes = flows_in_3d(network, scaled, params, volume_params.anisotropy, progress)
    labels = _follow_in_3d(network, flows, params)
    return labels, replace(made, notes=notes, diameter=large, is_estimated=large is not None)


def _follow_in_3d(network: Network, flows: NDArray[np.float32], params: SegmentParams) -> Labels:
    import torch
    from cellpose.dynamics import resize_and_compute_masks

    torch.sparse.check_sparse_tensor_invariants.disable()  # see `Labeller`
    labels: Labels = resize_and_compute_masks(
        flows[..., :-1].transpose(3, 0, 1, 2),
        flows[..., -1],
        niter=params.niter or max(1, int(FLOW_STEPS / network.scale(params))),
        cellprob_threshold=params.cellprob_threshold,
        do_3D=True,
        min_size=params.min_size,
        max_size_fraction=params.max_size_fraction,
        device=torch.device("cuda" if network.device.kind == "cuda" else "cpu"),
    )
    return labels


def flows_in_3d(
    network: Network,
    volume: NDArray[np.float32],
    params: SegmentParams,
    anisotropy: float,
    progress: Progress,
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Join the flows of all planes across each of the three axes.

    Parameters
    ----------
    network : Network
        The network, loaded and ready to run.
    volume : ndarray of float32, shape (planes, height, width)
        Intensities, scaled by the network's `normalise`.
    params : SegmentParams
        Parameters that need the network.
    anisotropy : float
        Distance of planes over the edge of a pixel.
    progress : Progress
        Called with (planes done, planes in all).

    Returns
    -------
    flows : ndarray of float32, shape (planes, height, width, 4)
        Flow along z, y and x: each the mean of two planes' through a voxel; and the sum of the
        cell probabilities of three.
    notes : tuple of str
        Sentences that the user should read about how the flows were made.

    Notes
    -----
    Cellpose 4.2 takes the sum of two flows. Its points then move by up to two voxels at once, and
    may end on both sides of a nucleus's middle, a voxel apart: only one side gets the label.
    """
    from cellpose.transforms import resize_image_3d

    scale = network.scale(params)
    factors = (anisotropy * scale, scale, scale)
    target = [max(1, int(n * f)) for n, f in zip(volume.shape, factors, strict=True)]
    refuse_too_large(tuple(target), 1.0, MAX_VOXELS, 72)
    own = volume
    if tuple(target) != volume.shape:
        own = resize_image_3d(volume[..., None], target)[..., 0]
    sums = np.zeros((*own.shape, 4), dtype=np.float32)
    notes: dict[str, None] = {}
    done, total = 0, sum(own.shape)
    for axis, across in enumerate(((1, 2), (0, 2), (0, 1))):
        planes = np.moveaxis(sums, axis, 0)
        for index, plane in enumerate(np.moveaxis(own, axis, 0)):
            flows = network.run(np.ascontiguousarray(plane), params, at_step(progress, done, total))
            planes[index, ..., 3] += flows.cellprob
            for component, other in zip(flows.vectors, across, strict=True):
                planes[index, ..., other] += component
            notes.update(dict.fromkeys(flows.notes))
            done += 1
    progress(total, total)
    sums[..., :-1] /= 2
    if own.shape != volume.shape:
        sums = resize_image_3d(sums, volume.shape)
    return sums, tuple(notes)

"""Files of labels that were corrected by hand, with a note of what was changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Labels

from napari_nucseg.io.writers import write_labels
from napari_nucseg.ui.edits import changes_of, corrected_planes, is_tracked
from napari_nucseg.ui.layers import (
    GROUND_TRUTH,
    PREDICTION,
    count_planes,
    find_image,
    full_data,
    pixel_size,
    record_of,
)
from napari_nucseg.ui.score.model import ComparisonState
from napari_nucseg.ui.score.worker import read_plane


def save_corrected(state: ComparisonState, folder: Path) -> list[Path]:
    """Write the corrected fields of both layers as label TIFFs that say what was changed.

    Files have the names of their images, so that the command ``score`` pairs them, in a folder for
    predictions and one for the ground truth.

    Returns
    -------
    list of Path
        Paths of the files that were written.

    Raises
    ------
    FileExistsError
        If one of the files is there; none is written then.
    ValueError
        If labels were edited through several fields at once.
    """
    for layer in (state.now.truth, state.now.prediction):
        if layer is not None and not is_tracked(layer):
            raise ValueError(
                f"{layer.name} was edited in several fields at once, and no note of such edits is "
                "kept; save the whole layer instead (File > Save Selected Layers)"
            )
    writes = {}
    for kind, layer in ((GROUND_TRUTH, state.now.truth), (PREDICTION, state.now.prediction)):
        for plane in () if layer is None else corrected_planes(layer):
            assert layer is not None
            path = folder / kind / f"{_stem(state, layer, plane)}.tif"
            now = read_plane(full_data(layer), plane)
            writes[path] = partial(write_labels, path, now, _note(layer, plane, path.stem))
    there = [path for path in writes if path.exists()]
    if there:
        raise FileExistsError(
            f"{there[0]} already exists; choose another folder, or move that file"
        )
    for path, write in writes.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write()
    return list(writes)


def _stem(state: ComparisonState, layer: Labels, plane: int) -> str:
    """Name a field's file: by its own stem, else by its image's layer, else by its number."""
    record = record_of(layer)
    if record is not None and plane < len(record.stems):
        return record.stems[plane]
    image = find_image(state.viewer.layers, layer)
    if image is None or count_planes(layer) > 1:
        return state.now.name_of(plane)
    return image.name


def _note(layer: Labels, plane: int, stem: str) -> dict[str, Any]:
    """Say how a field was made, as far as that is known of this field, and what was changed."""
    record = record_of(layer)
    made: Mapping[str, Any] = {}
    if record is not None:
        made = (record.by_field or {}).get(plane) or record.provenance or {}
    changes = changes_of(layer, plane)
    return {
        **made,
        "image": stem,
        "layer": layer.name,
        "pixel_size_um": pixel_size(layer),
        "corrected_by_hand": changes.nuclei,
        "corrections": asdict(changes),
    }

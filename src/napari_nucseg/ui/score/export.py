"""Files of the comparison: the menu that exports it, and what files take from the layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QMenu, QWidget

from napari_nucseg.analysis.comparison import LabelPair
from napari_nucseg.analysis.corrections import Changes
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.marks import marks_in_force
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.channels import CHANNEL, MEAN
from napari_nucseg.io.sources import as_file_name
from napari_nucseg.io.writers import check_parquet, with_ending
from napari_nucseg.ui.edits import changes_of, corrected_planes, find_corrected, is_tracked
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import (
    axes_of,
    count_planes,
    field_shape,
    full_data,
    pixel_size,
    read_plane,
    snapshot,
)
from napari_nucseg.ui.layers import GROUND_TRUTH, PREDICTION, find_image, find_source, record_of
from napari_nucseg.ui.score.export_kinds import EXPORTS, OF_LABELS, CorrectedField, Exported
from napari_nucseg.ui.score.model import NOTHING_COMPARED, Comparison, ComparisonState
from napari_nucseg.wording import plane_name, say_corrected, says

SIDES = {GROUND_TRUTH: "truth", PREDICTION: "predicted"}
"""What files call the layers."""


def _keep_labels(comparison: Comparison) -> Callable[[int], LabelPair]:
    """Return what reads a field's labels as they are now, whatever is painted until then."""
    layers = comparison.layers
    stacks = {kind: snapshot(full_data(one), comparison.plane) for kind, one in layers.items()}

    @cache
    def copied() -> tuple[Any, Any]:
        return stacks[GROUND_TRUTH](), stacks[PREDICTION]()

    def read(plane: int) -> LabelPair:
        truth, found = copied()
        return read_plane(truth, plane), read_plane(found, plane)

    return read


def _title(comparison: Comparison, model: str, changes: Mapping[int, Mapping[str, Changes]]) -> str:
    """Say what was scored against what, and which of both was corrected by hand."""
    names = []
    for kind, layer in comparison.layers.items():
        is_told = kind == GROUND_TRUTH or says(layer.name, model)
        name = layer.name if is_told else f"{layer.name} by {model}"
        corrected = say_corrected(sum(one[SIDES[kind]].nuclei for one in changes.values()))
        names.append(f"{name} ({corrected})" if corrected else name)
    return " against ".join(names)


def _keep_image(
    layers: Iterable[Layer], labels: Labels, made: Mapping[int, Mapping[str, Any]]
) -> Callable[[int], NDArray[Any]]:
    """Return what reads a field of the image that labels are of; zeros where there is none.

    It is the channel that was segmented; where that is not known the first, or the mean of colours.
    """
    image, shape, record = find_image(layers, labels), full_data(labels).shape, record_of(labels)
    if image is None or field_shape(image) != shape:
        return lambda plane: np.zeros(shape[-2:], np.uint8)
    data, axes = full_data(image), axes_of(image)
    first = MEAN if image.rgb else "1" if CHANNEL in axes else ""
    is_source = record is not None and record.source == str(image.unique_id)
    told = {plane: one.get("channel") for plane, one in made.items() if is_source and first}
    return lambda plane: FieldSource(data, axes, told.get(plane) or first).read(plane)


def collect_corrected(
    comparison: Comparison, layers: Iterable[Layer], folder: Path
) -> list[CorrectedField]:
    """Copy the fields that were edited by hand, for a worker.

    Parameters
    ----------
    comparison : Comparison
        Prediction and ground truth; a folder of its own is made for either.
    layers : iterable of Layer
        All layers of the viewer, among which their images are.
    folder : Path
        Folder that the two folders are made in.

    Raises
    ------
    ValueError
        If labels were edited through several fields at once, or two fields have one name.
    """
    layers, found = list(layers), dict[Path, CorrectedField]()
    for kind, layer in comparison.layers.items():
        if not is_tracked(layer):
            raise ValueError(
                f"{layer.name} was edited in several fields at once, and no note of such edits is "
                "kept; save the whole layer instead (File > Save Selected Layers)"
            )
        calibration = Calibration(pixel_size(layer))
        for plane in corrected_planes(layer):
            path = folder / kind / f"{_name(comparison, layers, layer, plane)}.tif"
            if path in found:
                raise ValueError(
                    f"{layer.name}: two of its fields are called {path.stem}; save the whole layer "
                    "instead (File > Save Selected Layers)"
                )
            labels = read_plane(full_data(layer), plane).copy()
            found[path] = CorrectedField(path, labels, _note(layer, plane, path.stem), calibration)
    return list(found.values())


def _name(comparison: Comparison, layers: Iterable[Layer], labels: Labels, plane: int) -> str:
    """Name a field: by its stem, in a stack as the comparison does, else by image or own layer."""
    record, planes = record_of(labels), count_planes(labels)
    name = "" if record is None else plane_name(record.stems, plane, planes)
    if name:
        return as_file_name(name)
    if planes > 1:
        return as_file_name(comparison.name_of(plane))
    return as_file_name((find_source(layers, labels) or labels).name)


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


class Exporter:
    """Asks for files, and writes them.

    Parameters
    ----------
    parent : QWidget
        Window in front of which it asks for a file.
    state : ComparisonState
        The comparison whose scores are written.
    run : callable
        Called with work to do in the background, and with what shows its result.
    tell : callable
        Called with a line of text, to show it.
    """

    def __init__(
        self, parent: QWidget, state: ComparisonState, run: Run, tell: Callable[[str], None]
    ) -> None:
        self._parent, self._state, self._run, self._tell = parent, state, run, tell

    def fill(self, menu: QMenu) -> None:
        """List what can be written, unless that was done."""
        for text in () if menu.actions() else EXPORTS:
            action = menu.addAction(text)
            assert action is not None
            action.triggered.connect(lambda checked=False, text=text: self.ask(text))

    def ask(self, kind: str) -> None:
        """Ask for a file, and write it."""
        prediction = self._state.now.prediction
        if prediction is None or not self._state.now.is_there:
            self._tell(NOTHING_COMPARED)
            return
        ending, what = EXPORTS[kind][0], kind.split(maxsplit=1)[0].lower()
        name = as_file_name(f"{prediction.name} {what}") + ending
        name, _ = QFileDialog.getSaveFileName(self._parent, kind, name, f"*{ending}")
        if name:
            self.write(kind, Path(name))

    def write(self, kind: str, path: Path) -> None:
        """Write a file in the background; its name gets the ending unless it has it."""
        ending, write = EXPORTS[kind]
        try:
            path = with_ending(path, ending)
            if ending == ".parquet":
                check_parquet()
        except (ValueError, OSError) as error:
            self._tell(str(error))
            return
        exported, told = self._exported(kind), f"Written: {path}"
        self._tell(f"Writing {path.name}...")
        self._run(lambda progress: write(path, exported, progress), lambda _: self._tell(told))

    def _exported(self, kind: str) -> Exported:
        now = self._state.now
        found, truth = now.layers[PREDICTION], now.layers[GROUND_TRUTH]
        record = record_of(found)
        made = (record and record.provenance) or {}
        made_by_field = (record and record.by_field) or dict.fromkeys(now.pairs, made)
        changes = find_corrected({SIDES[kind]: layer for kind, layer in now.layers.items()})
        return Exported(
            _title(now, str(made.get("model", "")), changes),
            *(found.name, truth.name),
            now.rule,
            now.pairs,
            {plane: now.field_of(plane) for plane in now.pairs},
            _keep_labels(now) if kind in OF_LABELS else now.label_reader(),
            _keep_image(self._state.viewer.layers, found, made_by_field),
            self._state.copy_unmeasured(),
            made,
            made_by_field,
            pixel_size(truth),
            changes,
            marks_in_force(now.marks, now.pairs),
            now.ignored,
        )

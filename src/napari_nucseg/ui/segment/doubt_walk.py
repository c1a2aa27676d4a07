"""Going through a field's nuclei by doubt, the most doubtful first, and saying why they are so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QWidget

from napari_nucseg.analysis.doubt import find_reasons, measure_edges
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.measurements import Nuclei, doubtful_first
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.canvas_trace import MarkedNucleus, Trace, trace_beside
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import itself, plane_of
from napari_nucseg.ui.segment.image_source import source_of
from napari_nucseg.ui.segment.measurement_tables import FieldTable, nuclei_of, tables_of
from napari_nucseg.ui.segment.selection import Selection

_CLOSE = 4.0
"""Canvas pixels that an image pixel gets at least when a nucleus is gone to."""
_NO_LABELS = "There are no labels yet. Press Segment."
_NO_NUCLEUS = "There is no nucleus in this field."
_NOT_SEGMENTED = "This field is not segmented yet. Press Segment."
_VOLUME = "Nuclei of volumes have no flow errors, so doubt is not known."
_NO_DOUBT = (
    "These labels have no flow errors, so doubt is not known. Segment this field with a network."
)


@dataclass(frozen=True)
class Nucleus:
    """A nucleus in the viewer: its field and label, and its centre in pixels."""

    plane: int
    label: int
    y: float
    x: float


@dataclass(frozen=True)
class _Place:
    """A field, by the id of its labels and its number, and the rank of the nucleus in sight."""

    field: tuple[str, int] = ("", 0)
    rank: int = 0


class DoubtWalk:
    """Goes from one doubtful nucleus of the field in sight to the next, and back.

    The nucleus is outlined on the canvas. A layer that marks it would take napari a quarter of a
    second to add.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the labels are shown in.
    selection : Selection
        Image and model, whose labels are gone through.
    tell : callable
        Called with a line of text, to show it.
    run : callable
        Called with work to do in the background, and with what shows its result.
    panel : QWidget
        Panel that is docked beside the canvas.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        selection: Selection,
        tell: Callable[[str], None],
        run: Run,
        panel: QWidget,
    ) -> None:
        self._viewer = viewer
        self._selection = selection
        self._tell = tell
        self._run = run
        self._panel = panel
        self._trace: Trace | None = None
        self._at = _Place()
        self._edges: tuple[FieldTable, Nuclei] | None = None

    def begin_anew(self) -> None:
        """Begin with the most doubtful nucleus again, because there are other labels now."""
        self._at = _Place()
        self._mark(None)

    def disconnect_viewer(self) -> None:
        """Take the outline away."""
        self._mark(None)

    def go(self, step: int) -> None:
        """Go so many nuclei of the field in sight on, the most doubtful first, or back."""
        layer = self._selection.prediction
        nuclei = [] if layer is None else most_doubtful(layer, self._selection.plane)
        table = None if layer is None else tables_of(layer).get(self._selection.plane)
        if layer is None or table is None or not nuclei:
            self._tell(_NO_LABELS if layer is None else _why_none(layer, table))
            return
        place = str(layer.unique_id), self._selection.plane
        before = self._at.rank if self._at.field == place else (-1 if step > 0 else 0)
        self._at = _Place(place, (before + step) % len(nuclei))
        nucleus = nuclei[self._at.rank]
        go_to(self._viewer, layer, nucleus)
        viewer, labels = itself(self._viewer), itself(layer)
        self._mark(MarkedNucleus(viewer, labels, nucleus.plane, nucleus.label, with_layer=True))
        self._explain(nucleus, table, len(nuclei))

    def _mark(self, nucleus: MarkedNucleus | None) -> None:
        if nucleus is not None and self._trace is None:
            self._trace = trace_beside(self._panel)
        if self._trace is not None:
            self._trace.mark(nucleus)

    def _explain(self, nucleus: Nucleus, table: FieldTable, count: int) -> None:
        """Say why a nucleus is doubtful; its edge is measured in the background first."""
        at, image = self._at, self._selection.image
        known = self._edges[1] if self._edges is not None and self._edges[0] is table else {}
        self._tell(_say_doubt(nucleus, at.rank, count, table.nuclei | known))
        layer = self._selection.prediction
        if known or image is None or layer is None:
            return
        labels = np.array(plane_of(layer.data, nucleus.plane))
        source = source_of(image, self._selection.channel)

        def show(edges: Nuclei) -> None:
            self._edges = (table, edges)
            if self._at == at and self._selection.prediction == layer:
                self._tell(_say_doubt(nucleus, at.rank, count, table.nuclei | edges))

        self._run(lambda tell: _measure_edges(labels, source, nucleus.plane, table), show)


def _why_none(layer: Labels, table: FieldTable | None) -> str:
    """Say why no doubt of a field's nuclei is known."""
    if table is None:
        return _NOT_SEGMENTED if tables_of(layer) else _NO_DOUBT
    if not len(table.nuclei["index"]):
        return _NO_NUCLEUS
    return _VOLUME if table.volume else _NO_DOUBT


def _say_doubt(nucleus: Nucleus, rank: int, count: int, nuclei: Nuclei) -> str:
    """Say how doubtful a nucleus is, and why; by the figure alone where no reason is known."""
    row = int(np.flatnonzero(nuclei["index"] == nucleus.label)[0])
    reason = find_reasons(nuclei)[row]
    error = f"flow error {nuclei['flow_error'][row]:.2f}"
    why = f"{reason} ({error})" if reason else f"{error}, nothing else is unusual"
    place = f"number {rank + 1} of {count}, the most doubtful first"
    return f"Nucleus {nucleus.label}: {why}. It is {place}."


def _measure_edges(
    labels: LabelImage, source: FieldSource, plane: int, table: FieldTable
) -> Nuclei:
    """Measure the edges of a field's nuclei; nothing if there are others than in a table."""
    image = source.read(plane)
    ids = np.unique(labels[labels > 0])
    if image.shape != labels.shape or not np.array_equal(ids, np.sort(table.nuclei["index"])):
        return {}
    rows = np.searchsorted(ids, table.nuclei["index"])
    return {name: values[rows] for name, values in measure_edges(labels, image).items()}


def most_doubtful(layer: Labels, plane: int) -> list[Nucleus]:
    """List a field's nuclei by doubt; none where no network told it."""
    table = nuclei_of(layer, plane)
    if "flow_error" not in table:
        return []
    row_of = {int(label): row for row, label in enumerate(table["index"])}
    places = zip(table["centroid_y"], table["centroid_x"], strict=True)
    centres = [(float(y), float(x)) for y, x in places]
    labels = map(int, doubtful_first(table))
    return [Nucleus(plane, label, *centres[row_of[label]]) for label in labels]


def go_to(viewer: ViewerModel, layer: Labels, nucleus: Nucleus) -> None:
    """Select a nucleus, and move the camera to it."""
    place = layer.data_to_world(_point(layer, nucleus))
    viewer.layers.selection = {layer}
    layer.selected_label = nucleus.label
    viewer.scene.camera.center = tuple(place[-2:])
    viewer.scene.camera.zoom = max(viewer.scene.camera.zoom, _CLOSE / float(layer.scale[-1]))


def _point(layer: Labels, nucleus: Nucleus) -> tuple[float, ...]:
    """Return a nucleus' centre along all axes of its layer, in pixels."""
    stack = np.unravel_index(nucleus.plane, layer.data.shape[:-2]) if layer.ndim > 2 else ()
    return (*map(int, stack), nucleus.y, nucleus.x)

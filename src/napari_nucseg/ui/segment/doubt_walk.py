"""Going through a field's nuclei by doubt, the most doubtful first, and saying why they are so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Points

from napari_nucseg.analysis.doubt import find_reasons, measure_edges
from napari_nucseg.analysis.field_parts import FieldSource
from napari_nucseg.analysis.measurements import Nuclei, doubtful_first
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layer_fields import plane_of
from napari_nucseg.ui.layers import RING, LayerRecord, place_like, placement, tag
from napari_nucseg.ui.segment.image_source import source_of
from napari_nucseg.ui.segment.measurement_tables import FieldTable, nuclei_of, tables_of
from napari_nucseg.ui.segment.selection import Selection

_CLOSE = 4.0
"""Canvas pixels that an image pixel gets at least when a nucleus is gone to."""
_RING, _RING_COLOUR = 1.6, "#FF00FF"
"""Diameter of the ring around a nucleus, in its diameters, and a colour that no verdict has."""
_NO_LABELS = "There are no labels yet. Press Segment."
_NO_NUCLEUS = "There is no nucleus in this field."
_NO_DOUBT = (
    "These labels have no flow errors, so doubt is not known. Segment this field with a network."
)


@dataclass(frozen=True)
class Nucleus:
    """A nucleus in the viewer: its field and label; its centre and diameter in pixels."""

    plane: int
    label: int
    y: float
    x: float
    diameter: float


@dataclass(frozen=True)
class _Place:
    """A field, by the id of its labels and its number, and the rank of the nucleus in sight."""

    field: tuple[str, int] = ("", 0)
    rank: int = 0


class DoubtWalk:
    """Goes from one doubtful nucleus of the field in sight to the next, and back.

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
    """

    def __init__(
        self, viewer: ViewerModel, selection: Selection, tell: Callable[[str], None], run: Run
    ) -> None:
        self._viewer = viewer
        self._selection = selection
        self._tell = tell
        self._run = run
        self._mark = Ring(viewer)
        self._at = _Place()
        self._edges: tuple[FieldTable, Nuclei] | None = None

    def begin_anew(self) -> None:
        """Begin with the most doubtful nucleus again, because there are other labels now."""
        self._at = _Place()
        self._mark.hide()

    def disconnect_viewer(self) -> None:
        """Take the mark away."""
        self._mark.remove()

    def go(self, step: int) -> None:
        """Go so many nuclei of the field in sight on, the most doubtful first, or back."""
        layer = self._selection.prediction
        nuclei = [] if layer is None else most_doubtful(layer, self._selection.plane)
        table = None if layer is None else tables_of(layer).get(self._selection.plane)
        if layer is None or table is None or not nuclei:
            is_empty = table is not None and not len(table.nuclei["index"])
            self._tell(_NO_LABELS if layer is None else _NO_NUCLEUS if is_empty else _NO_DOUBT)
            return
        place = str(layer.unique_id), self._selection.plane
        before = self._at.rank if self._at.field == place else (-1 if step > 0 else 0)
        self._at = _Place(place, (before + step) % len(nuclei))
        nucleus = nuclei[self._at.rank]
        go_to(self._viewer, layer, nucleus)
        self._mark.put(layer, nucleus)
        self._explain(nucleus, table, len(nuclei))

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
    places = zip(table["centroid_y"], table["centroid_x"], table["area_px"], strict=True)
    nuclei = [(float(y), float(x), float(2 * np.sqrt(area / np.pi))) for y, x, area in places]
    labels = map(int, doubtful_first(table))
    return [Nucleus(plane, label, *nuclei[row_of[label]]) for label in labels]


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


class Ring:
    """A ring around a nucleus, in a Points layer of its own.

    Where it is put away the layer is hidden, because napari takes a quarter of a second to add
    another.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the layer is added to.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._ring: Points | None = None

    def put(self, layer: Labels, nucleus: Nucleus) -> None:
        """Draw the ring; what is selected stays selected."""
        place, size = [_point(layer, nucleus)], _RING * nucleus.diameter
        ring, name = self._ring, f"{layer.name} doubtful nucleus"
        if ring is not None and ring in self._viewer.layers and ring.ndim == layer.ndim:
            ring.data, ring.size, ring.name = place, size, name
            place_like(ring, layer)
            ring.shown, ring.visible = True, True  # an overlay may have hidden it
            return
        self.remove()
        selected = set(self._viewer.layers.selection)
        self._ring = self._viewer.add_points(
            place,
            name=name,
            size=size,
            face_color="transparent",
            border_color=_RING_COLOUR,
            metadata=tag(LayerRecord(RING, source=str(layer.unique_id))),
            **placement(layer),
        )
        self._viewer.layers.selection = selected

    def hide(self) -> None:
        """Put the ring away; who shows its layer among the others sees none."""
        ring = self._ring
        if ring is not None and ring.shown.any():
            ring.shown, ring.visible = False, False

    def remove(self) -> None:
        """Take the ring away, where the user has not."""
        ring, self._ring = self._ring, None
        if ring is not None and ring in self._viewer.layers:
            self._viewer.layers.remove(ring)

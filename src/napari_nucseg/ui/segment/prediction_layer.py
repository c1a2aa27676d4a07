"""Results on their way into the viewer: one Labels layer an image and model, refreshed in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucseg.analysis.corrections import PackedLabels
from napari_nucseg.analysis.field_parts import (
    ProvenanceRecord,
    Rectangle,
    merged,
    moved,
    place_part,
    stacked,
)
from napari_nucseg.array_types import Labels as LabelImage
from napari_nucseg.ui.edits import Step, keep_made, make_room, write_field
from napari_nucseg.ui.layer_fields import field_shape, is_in_sight, plane_of, read_plane
from napari_nucseg.ui.layers import (
    PREDICTION,
    LayerRecord,
    find_prediction,
    place_like,
    put_labels,
    record_of,
    set_aside_by_axes,
    tag,
)
from napari_nucseg.ui.segment.hand_edits import (
    FieldState,
    HandEdits,
    can_hold,
    join_replacements,
    note_replacement,
    provenance_by_field,
    set_states,
    state_of,
)
from napari_nucseg.ui.segment.measurement_tables import (
    FieldTable,
    keep_tables,
    tables_of,
    to_measure_again,
)
from napari_nucseg.ui.segment.result_cache import (
    FieldResult,
    ResultCache,
    StackResult,
    joined_results,
    short_name,
)

LEFT = "Labels that were made with other axes stay as they are."
GONE = "The labels that were made have been removed. Press Segment again."


def put_prediction(viewer: ViewerModel, image: Image, made: Sequence[FieldResult]) -> Labels:
    """Show results of one model over their image, in the order they were made.

    What was segmented before keeps its labels elsewhere. What is replaced can be undone in napari,
    as one step. Labels that new ones cannot be written into stay in their layer, which gets
    another name.
    """
    layer = find_prediction(viewer.layers, str(image.unique_id), made[0].key.model)
    if layer is not None and not can_hold(layer, image):
        _set_aside(layer)
        layer = None
    if layer is None:
        layer = _add_empty(viewer, image, made[0])
    fields = _compose(layer, made)
    after = {plane: one.state for plane, one in fields.items()}
    for plane, table in to_measure_again(tables_of(layer), fields).items():
        after[plane] = replace(state_of(layer, plane), table=table)
    before = {plane: state_of(layer, plane) for plane in after}
    place_like(layer, image)
    if not layer.visible:  # napari draws all anew
        layer.visible = True
    is_replaced = any(plane_of(layer.data, plane).any() for plane in fields)
    make_room(layer, max(int(one.labels.max(initial=0)) for one in fields.values()))
    if not is_replaced:
        for plane, one in fields.items():  # which nobody wants back
            plane_of(layer.data, plane)[...] = one.labels
    elif _replace(layer, fields):
        note_replacement(layer, before, after)
    set_states(layer, after)
    if is_in_sight(viewer, layer, fields):
        layer.refresh(extent=False)
    layer.events.data(value=layer.data)
    return layer


class RunResults:
    """Shows the results of a run of a network, or of a slider.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that labels are added to.
    cache : ResultCache
        Results in memory, for the sliders.
    edits : HandEdits
        Guard of edits by hand, which saves what was painted meanwhile.
    shown : callable
        Called with a prediction that has other labels now.

    Attributes
    ----------
    remark : str
        Sentence on labels that were kept in another layer; empty if none were.
    failures : list of str
        Why fields failed, each with its name.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        cache: ResultCache,
        edits: HandEdits,
        shown: Callable[[Labels], None],
    ) -> None:
        self.remark = ""
        self.failures: list[str] = []
        self._viewer = viewer
        self._cache = cache
        self._edits = edits
        self._shown = shown
        self._parts: list[StackResult] = []
        self._asked = 0
        self._step: Step | None = None  # of the labels' history, which holds what a run replaced

    def begin(self, fields: int) -> None:
        """Begin a run over so many fields, which is undone as one step."""
        self._parts, self._asked, self.remark, self.failures = [], fields, "", []
        self._step = None

    def begin_anew(self, image: Image) -> str:
        """Forget results of an image that has changed; say whether labels of other axes are left.

        No result is written to these until the image has their axes again.
        """
        self._cache.forget(str(image.unique_id))
        return LEFT if set_aside_by_axes(self._viewer.layers, image) else ""

    @property
    def described(self) -> str:
        """Say how many of the fields are done; nothing if none is."""
        done = sum(len(part.made) for part in self._parts)
        return f"{done} of {self._asked} fields are done and stay." if done else ""

    @property
    def failed(self) -> str:
        """Say how many of the fields failed, and why the first did; nothing if none did."""
        said = f"{len(self.failures)} of {self._asked} fields failed."
        return f"{said} {self.failures[0]}." if self.failures else ""

    def put(self, image: Image, result: StackResult) -> Labels:
        """Show labels over their image, and keep what the sliders need."""
        keys = [made.key for made in result.made]
        earlier = find_prediction(self._viewer.layers, keys[0].source, keys[0].model)
        self.remark = self._edits.keep_late(image, keys) or self.remark
        labels = put_prediction(self._viewer, image, result.made)
        self._step = join_replacements(labels, self._step)
        if earlier is not None and earlier != labels:
            self.remark = f"The labels before cannot be replaced and stay in {earlier.name}."
        for key in keys:
            self._cache.replace(key, result.kept.get(key))
        self._shown(labels)
        return labels

    def put_part(self, image: Image, part: StackResult | str) -> None:
        """Show a field as soon as it is done, though others may be still to come.

        If the labels were removed meanwhile, they come back with it. Of a field that failed the
        part says why.
        """
        if isinstance(part, str):
            self.failures.append(part)
            return
        key = part.made[0].key
        is_gone = find_prediction(self._viewer.layers, key.source, key.model) is None
        before = [one for earlier in self._parts for one in earlier.made] if is_gone else []
        self.put(image, replace(part, made=(*before, *part.made)))
        self._parts.append(replace(part, kept={}))  # which the cache has, within its limit

    def finish(self) -> tuple[Labels, StackResult] | None:
        """End the run; return its labels and all that was made, if anything was and is there."""
        parts, self._parts = self._parts, []
        if not parts:
            return None
        first = parts[0].made[0].key
        labels = find_prediction(self._viewer.layers, first.source, first.model)
        known = self._cache.of(first.source, first.model)
        return None if labels is None else (labels, joined_results(parts, known))


@dataclass
class _Field:
    """A field's labels as they shall be, and what is known of them."""

    labels: LabelImage
    state: FieldState


def _set_aside(layer: Labels) -> None:
    """Leave labels as they are from now on, under a name that says so."""
    record = record_of(layer)
    if record is not None:
        layer.metadata = layer.metadata | tag(replace(record, is_copy=True))
    layer.name, layer.visible = f"{layer.name} earlier", False


def _add_empty(viewer: ViewerModel, image: Image, made: FieldResult) -> Labels:
    """Add an empty prediction."""
    of_image = record_of(image)
    stems, source = of_image.stems if of_image else (), str(image.unique_id)
    record = LayerRecord(PREDICTION, stems, source, provenance=made.provenance)
    if len(field_shape(image)) > 2:
        record = replace(record, fields=(), by_field={})
    name = f"{image.name} {short_name(made.key.model)}"
    layer = put_labels(viewer, np.zeros(field_shape(image), np.int32), image, record, name)
    keep_tables(layer, {})
    keep_made(layer, {})
    return layer


def _compose(layer: Labels, made: Sequence[FieldResult]) -> dict[int, _Field]:
    """Put results into copies of their fields, in the order of their making."""
    fields: dict[int, _Field] = {}
    told = dict(provenance_by_field(layer))
    for one in made:
        plane = one.key.plane
        if plane not in fields:
            now = read_plane(layer.data, plane)  # whose type may be too narrow for more nuclei
            labels = now.astype(np.promote_types(now.dtype, np.int32))
            fields[plane] = _Field(labels, state_of(layer, plane))
        field = fields[plane]
        before = field.labels.copy()
        above = 0 if one.provenance.get("depth") else _highest_of_volumes(layer, told, plane)
        table = _write(field.labels, one, field.state.table, above)
        told[plane] = stacked(told.get(plane), one.provenance)
        as_made = one.packed if table.fingerprint is not None else _as_made(field, before, one)
        field.state = FieldState(told[plane], table, as_made)
    return fields


def _as_made(field: _Field, before: LabelImage, one: FieldResult) -> PackedLabels:
    """Return the labels without edits by hand; those outside of a box that was written stay."""
    box, known = one.key.box, field.state.made
    if box is None:
        return PackedLabels.of(field.labels)
    labels = np.zeros_like(before) if known is None else known.unpacked()
    written = field.labels != before
    written[box.slices] = True
    labels[written] = field.labels[written]
    return PackedLabels.of(labels)


def _replace(layer: Labels, fields: Mapping[int, _Field]) -> bool:
    """Write fields as one step that can be undone, the empty among them too; tell of a change."""
    with layer.block_history():
        changed = [
            write_field(layer, plane, one.labels, refresh=False) for plane, one in fields.items()
        ]
    return any(changed)


def _highest_of_volumes(layer: Labels, told: Mapping[int, ProvenanceRecord], plane: int) -> int:
    """Return the highest number in the other planes, if volumes are among them; else 0."""
    if not any(made.get("depth") for other, made in told.items() if other != plane):
        return 0
    planes = layer.data.reshape(-1, *layer.data.shape[-2:])
    return max(int(part.max(initial=0)) for part in (planes[:plane], planes[plane + 1 :]))


def _write(field: LabelImage, made: FieldResult, old: FieldTable | None, above: int) -> FieldTable:
    """Write labels into their field, of a box whole nuclei; return the measures of all its nuclei.

    Numbers up to ``above`` belong to nuclei of other planes.
    """
    box, context = made.key.box, made.key.segmented
    if box is None and not above:
        field[...] = made.labels
        return FieldTable(made.nuclei, made.packed.fingerprint, made.volume)
    whole = Rectangle(0, 0, *field.shape)
    context = context or whole
    placed = place_part(field, made.labels, context.slices, (box or whole).slices, above)
    field[...] = placed.labels
    if box is not None and old is not None and old.volume:
        return replace(old, fingerprint=None)  # nuclei around the box are of the volume still
    nuclei = moved(made.nuclei, placed, context.slices)
    if old is not None:
        nuclei = merged(nuclei, old.nuclei, field)
    # Nuclei that lost pixels to a neighbour are still to be measured
    return FieldTable(nuclei, None)

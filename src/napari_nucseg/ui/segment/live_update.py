"""Letting labels follow the sliders, without the network, shortly after they have come to rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication

from napari_nucseg.analysis.field_parts import ProvenanceRecord, Rectangle, provenance_parts
from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.jobs import single_shot
from napari_nucseg.ui.layer_fields import count_planes
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.segment.hand_edits import HandEdits, provenance_by_field
from napari_nucseg.ui.segment.image_source import source_of
from napari_nucseg.ui.segment.result_cache import Parts, ResultCache, StackResult
from napari_nucseg.ui.segment.selection import Selection
from napari_nucseg.ui.segment.worker import relabel
from napari_nucseg.wording import counted

DEBOUNCE = 60
"""Milliseconds that a slider has to rest before labels follow it."""
BEFORE_QUESTION = 500
"""Milliseconds that it has to rest before a question is asked, which would stop typing."""

_SEGMENT_AGAIN = "Press Segment to use the new values."
IN_BLOCKS = f"Labels that were made in blocks do not follow the sliders. {_SEGMENT_AGAIN}"
Show = Callable[[Image, StackResult], None]
"""Shows what was made of a field of an image."""


@dataclass
class UpdatePlan:
    """What becomes of fields when a slider moves.

    Attributes
    ----------
    fields : list of Parts
        Results of the fields whose labels can follow.
    reasons : list of str
        The changed values that need the network, in words.
    outdated, absent : int
        Fields that the network has to run for, and that are not in memory.
    volumes : int
        Fields that are planes of a volume, of which no network output is kept.
    """

    fields: list[Parts] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    outdated: int = 0
    absent: int = 0
    volumes: int = 0

    @property
    def remark(self) -> str:
        """Say what keeps fields from following, and what to do; empty if nothing does."""
        several = len(self.fields) + self.outdated + self.absent > 1
        told = []
        if self.outdated:
            where = f" in {counted(self.outdated, 'field')}" if several else ""
            told.append(f"Press Segment to use {' and '.join(self.reasons)}{where}.")
        if self.absent:
            whose = counted(self.absent, "field") if several else "this field"
            told.append(f"The result of {whose} is not in memory. {_SEGMENT_AGAIN}")
        if self.volumes:
            told.append(f"Labels of a volume do not follow the sliders. {_SEGMENT_AGAIN}")
        return " ".join(told)


def plan(
    planes: Iterable[int],
    told: Mapping[int, ProvenanceRecord],
    known: Mapping[int, Parts],
    params: SegmentParams,
    channel: str,
) -> UpdatePlan:
    """Tell which fields can get labels of other values without the network.

    Parameters
    ----------
    planes : iterable of int
        Fields that are to follow; those that were never segmented are left out.
    told : mapping
        Provenance of each field in the layer, by its number.
    known : mapping
        Results in memory, by the field's number.
    params : SegmentParams
        The new values of the parameters.
    channel : str
        Name of the channel of a colour image; empty for a grey one.
    """
    result = UpdatePlan()
    reasons: dict[str, None] = {}
    for plane in planes:
        if plane not in told:
            continue
        if told[plane].get("depth"):
            result.volumes += 1
            continue
        parts = matching(known.get(plane, {}), told[plane])
        outdated = _outdated(parts, params, channel)
        if not parts:
            result.absent += 1
        elif outdated:
            result.outdated += 1
            reasons |= outdated
        else:
            result.fields.append(parts)
    result.reasons = list(reasons)
    return result


def matching(known: Parts, made: ProvenanceRecord) -> Parts:
    """Return the results that a field's labels were made from; empty if one is not in memory.

    After Undo there may be others in memory, of rectangles that the labels do not show.
    """
    by_box = {key.box: key for key in known}
    boxes = [part.get("box") for part in provenance_parts(made)]
    keys = [by_box.get(None if box is None else Rectangle(*box)) for box in boxes]
    return {} if None in keys else {key: known[key] for key in keys if key is not None}


def _outdated(parts: Parts, params: SegmentParams, channel: str) -> dict[str, None]:
    reasons: dict[str, None] = {}
    for key, kept in parts.items():
        if key.channel != channel:
            reasons["the new channel"] = None
        reasons |= dict.fromkeys(map(_in_words, kept.result.outdated_by(params)))
    return reasons


def _in_words(label: str) -> str:
    """Say that a value is another one now, by its label on the form."""
    name_of = {spec.label: name for name, spec in specs_of(SegmentParams).items()}
    is_switch = isinstance(getattr(SegmentParams(), name_of[label]), bool)
    return f"the new setting of {label}" if is_switch else f"the new {label.lower()}"


class LiveUpdate:
    """Makes labels anew when a value moves that needs no network.

    Parameters
    ----------
    panel : Panel
        Runs the work, and says what cannot follow.
    selection : Selection
        The chosen image, model and values.
    cache : ResultCache
        Results in memory, whose labels can follow.
    edits : HandEdits
        Asks before labels are replaced that were edited by hand.
    remember : callable
        Called with values that the user moved, to remember them.
    show : callable
        Called with the image and the new labels of a field, to show them.
    """

    begun = Signal(int)
    """Labels of so many fields are about to be shown, which are undone as one step."""
    done = Signal(str)
    """All of them were shown; gives a remark on fields that did not follow."""

    def __init__(
        self,
        panel: Panel,
        selection: Selection,
        cache: ResultCache,
        edits: HandEdits,
        remember: Callable[[SegmentParams], None],
        show: Show,
    ) -> None:
        self._panel = panel
        self._selection = selection
        self._cache = cache
        self._edits = edits
        self._remember = remember
        self._show = show
        self._waited = False
        self._resting = single_shot(panel.native, self.follow)
        form = selection.form
        for row in (*form.params.rows, *form.volume.rows, form.channel):
            row.changed.connect(self.begin)
        form.model.changed.connect(self.rest)
        form.follow_all.changed.connect(self.follow_everywhere)

    @property
    def is_about_to(self) -> bool:
        """Whether labels are about to follow a slider that has just moved."""
        return self._resting.isActive()

    def begin(self) -> None:
        """Follow once the slider rests."""
        self._waited = False
        self._resting.start(DEBOUNCE)

    def rest(self) -> None:
        """Leave labels as they are: the values are not such as the user moved."""
        self._resting.stop()

    def follow(self) -> None:
        """Give the shown field the labels of the values on the form."""
        if self._panel.running:
            self._resting.start(DEBOUNCE)  # once what is on its way is there
        elif self._selection.image is not None:
            self._relabel(self._selection.image, [self._selection.plane], at_rest=self._waited)
            self._remember(self._selection.form.params.params)

    def follow_everywhere(self) -> None:
        """Give every field that was segmented before the labels of the values on the form."""
        image = self._selection.image
        if image is not None:
            self._relabel(image, range(count_planes(image)), at_rest=True)

    def _relabel(self, image: Image, planes: Iterable[int], *, at_rest: bool) -> None:
        prediction = self._selection.prediction
        if prediction is None:
            made = [one for one in self._selection.layers if isinstance(one, Labels)]
            if any(one.multiscale for one in made):
                self._panel.status.value = IN_BLOCKS
            return
        if not prediction.editable:
            self._panel.status.value = f"{prediction.name} is locked. It does not follow sliders."
            return
        params = self._selection.form.params.params
        source = source_of(image, self._selection.channel)
        known = self._cache.of(str(image.unique_id), self._selection.model)
        todo = plan(planes, provenance_by_field(prediction), known, params, source.channel)
        if todo.fields and self._may_replace(image, todo.fields, at_rest=at_rest):
            self.begun.emit(len(todo.fields))
            self._panel.run_in_parts(
                partial(relabel, todo.fields, source, image.name, params),
                partial(self._show, image),
                lambda nothing: self.done.emit(todo.remark),
            )
        elif todo.remark and not todo.fields:
            self._panel.status.value = todo.remark

    def _may_replace(self, image: Image, fields: Iterable[Parts], *, at_rest: bool) -> bool:
        """Ask first where labels were edited by hand, but not while a slider is held or typed in.

        Where the user does not want to, the sliders go back to what made the labels.
        """
        keys = [key for parts in fields for key in parts]
        if self._edits.may_replace(image, keys, asking=False):
            return True
        if not at_rest or QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._waited = True
            self._resting.start(BEFORE_QUESTION)
            return False
        self._waited = False
        if self._edits.may_replace(image, keys):
            return True
        self.put_back()
        self._panel.status.value = "Nothing was changed. The sliders are back where they were."
        return False

    def put_back(self, *, live: bool = True) -> None:
        """Show the values that made the field in sight.

        Parameters
        ----------
        live : bool
            Whether only those are put back that labels follow at once.
        """
        prediction = self._selection.prediction
        made = None if prediction is None else provenance_by_field(prediction)
        told = (made or {}).get(self._selection.plane)
        if told is None:
            return
        for name, spec in specs_of(SegmentParams).items():
            if name in told["parameters"] and not (live and spec.needs_network):
                self._selection.form.params[name].value = told["parameters"][name]
        self.rest()

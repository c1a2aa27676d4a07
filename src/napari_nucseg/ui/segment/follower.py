"""Letting labels follow the sliders, shortly after they have come to rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from napari.layers import Image
from qtpy.QtCore import QTimer

from napari_nucseg.ui.layers import count_planes
from napari_nucseg.ui.panel import Panel
from napari_nucseg.ui.segment import preferences
from napari_nucseg.ui.segment.chosen import Chosen
from napari_nucseg.ui.segment.following import plan
from napari_nucseg.ui.segment.kept import KeptResults
from napari_nucseg.ui.segment.predictions import provenance_by_field
from napari_nucseg.ui.segment.segmenting import Result, relabel
from napari_nucseg.ui.segment.sources import source_of

DEBOUNCE = 60
"""Milliseconds that a slider has to rest before labels follow it."""

Show = Callable[[Image, Result, str], None]
"""Shows what was made of an image, with a remark."""


class Follower:
    """Makes labels anew when a value moves that needs no network.

    Parameters
    ----------
    panel : Panel
        Runs the work, and says what cannot follow.
    chosen : Chosen
        Image, model and values.
    kept : KeptResults
        What can follow.
    show : callable
        Shows the labels.
    """

    def __init__(self, panel: Panel, chosen: Chosen, kept: KeptResults, show: Show) -> None:
        self._panel = panel
        self._chosen = chosen
        self._kept = kept
        self._show = show
        self._resting = QTimer(panel.native)
        self._resting.setSingleShot(True)
        self._resting.setInterval(DEBOUNCE)
        self._resting.timeout.connect(self.follow)
        form = chosen.form
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
        self._resting.start()

    def rest(self) -> None:
        """Leave labels as they are: the values are not such as the user moved."""
        self._resting.stop()

    def follow(self) -> None:
        """Give the shown field the labels of the values on the form."""
        if self._panel.running:
            self._resting.start()  # once what is on its way is there
        elif self._chosen.image is not None:
            preferences.save_params(self._chosen.model, self._chosen.form.params.params)
            self._relabel(self._chosen.image, [self._chosen.plane])

    def follow_everywhere(self) -> None:
        """Give every field that was segmented before the labels of the values on the form."""
        image = self._chosen.image
        if image is not None:
            self._relabel(image, range(count_planes(image)))

    def _relabel(self, image: Image, planes: Iterable[int]) -> None:
        prediction = self._chosen.prediction
        if prediction is None:
            return
        params = self._chosen.form.params.params
        source = source_of(image, self._chosen.form.channel.value)
        known = self._kept.of(str(image.unique_id), self._chosen.model)
        todo = plan(planes, provenance_by_field(prediction), known, params, source.channel)
        if todo.fields:
            name = image.name
            self._panel.run(
                lambda tell: relabel(todo.fields, source, name, params, tell),
                lambda result: self._show(image, result, todo.remark),
            )
        elif todo.remark:
            self._panel.status.value = todo.remark

"""Results on their way into the viewer: each shown when it is done, all told of at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_nucseg.ui.segment.hand_edits import HandEdits
from napari_nucseg.ui.segment.prediction_layer import find_prediction, put_prediction
from napari_nucseg.ui.segment.result_cache import ResultCache
from napari_nucseg.ui.segment.worker import Result, joined_results


class RunResults:
    """Shows the results of a run of a network, or of a slider.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that labels are added to.
    kept : ResultCache
        Results in memory, for the sliders.
    edits : HandEdits
        Guard of edits by hand, which saves what was painted meanwhile.
    shown : callable
        Called with a prediction that has other labels now.

    Attributes
    ----------
    remark : str
        Sentence on what was painted meanwhile; empty if nothing was.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        kept: ResultCache,
        edits: HandEdits,
        shown: Callable[[Labels], None],
    ) -> None:
        self.remark = ""
        self._viewer = viewer
        self._kept = kept
        self._edits = edits
        self._shown = shown
        self._parts: list[Result] = []
        self._asked = 0

    def begin(self, fields: int) -> None:
        """Begin a run over so many fields."""
        self._parts, self._asked, self.remark = [], fields, ""

    @property
    def described(self) -> str:
        """Say how many of the fields are done; nothing if none is."""
        done = sum(len(part.made) for part in self._parts)
        return f"{done} of {self._asked} fields are done and stay." if done else ""

    def put(self, image: Image, result: Result) -> Labels:
        """Show labels over their image, and keep what the sliders need."""
        keys = [made.key for made in result.made]
        self.remark = self._edits.keep_late(image, keys) or self.remark
        labels = put_prediction(self._viewer, image, result.made)
        for key in keys:
            self._kept.replace(key, result.kept.get(key))
        self._shown(labels)
        return labels

    def put_part(self, image: Image, part: Result) -> None:
        """Show a field as soon as it is done, though others may be still to come."""
        self.put(image, part)
        self._parts.append(replace(part, kept={}))  # which the cache has, within its limit

    def finish(self) -> tuple[Labels, Result] | None:
        """End the run; return its labels and all that was made, if anything was and is there."""
        parts, self._parts = self._parts, []
        if not parts:
            return None
        first = parts[0].made[0].key
        labels = find_prediction(self._viewer, first.source, first.model)
        known = self._kept.of(first.source, first.model)
        return None if labels is None else (labels, joined_results(parts, known))

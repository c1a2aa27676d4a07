"""Sums of all fields, made in the background once nothing changes any more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QObject, QTimer

from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.score.comparison_state import ComparisonState
from napari_nucseg.ui.score.score_table import ScoreTable
from napari_nucseg.ui.score.scoring import Sum, sum_up

_PAUSE = 150
"""Milliseconds without a change before fields are summed up anew."""


class Summing:
    """Keeps the columns of all fields right.

    Parameters
    ----------
    state : ComparisonState
        What is summed up.
    table : ScoreTable
        Where it is shown.
    run : callable
        Does work in the background, in place of what runs.
    drop : callable
        Stops what runs.
    parent : QObject
        Whose life the timer shares.
    """

    def __init__(
        self,
        state: ComparisonState,
        table: ScoreTable,
        run: Run,
        drop: Callable[[], None],
        parent: QObject,
    ) -> None:
        self._state, self._table, self._run, self._drop = state, table, run, drop
        self._later = QTimer(parent)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE)
        self._later.timeout.connect(self.sum_up)
        state.ruled.connect(self._sum_up_later)
        state.edited.connect(self._sum_up_later)
        state.compared.connect(self._clear)

    @property
    def is_waiting(self) -> bool:
        """Whether work is about to begin."""
        return self._later.isActive()

    def sum_up(self) -> None:
        """Compare the outlines of edited fields, then pool and average all fields."""
        state = self._state
        copies = state.copy_unmeasured()
        if copies or state.is_stack:
            self._run(partial(sum_up, dict(state.pairs), copies, state.rule), self._show)

    def stop(self) -> None:
        """Begin nothing more."""
        self._later.stop()

    def _sum_up_later(self) -> None:
        if self._state.is_there:  # else layers are being compared, and summed up in the end
            self._drop()  # what it measures is of labels or a rule that are past
            self._later.start()

    def _clear(self) -> None:
        self._later.stop()
        self._table.show_summary(None)

    def _show(self, result: Sum) -> None:
        if result.measured:
            self._state.set_pairs(result.measured)
            self._table.show_field(self._state.score)
        self._table.show_summary(result.summary if self._state.is_stack else None)

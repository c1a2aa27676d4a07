"""Noticing undo and redo of labels, of which napari tells nothing while their layer is hidden."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from napari_nucseg.ui.edits import itself

_OFTEN = 150
"""Milliseconds between two looks at the histories, which take microseconds."""


class UndoWatch:
    """Tells of every Labels layer in which something was undone or redone.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer whose layers are looked at.
    call : callable
        Called with a layer, soon after undo or redo.
    parent : QObject
        Owner of the timer, which ends with it.
    """

    def __init__(
        self, viewer: ViewerModel, call: Callable[[Labels], object], parent: QObject
    ) -> None:
        self._viewer, self._call = viewer, call
        self._undone: WeakKeyDictionary[Labels, int] = WeakKeyDictionary()
        self._timer = QTimer(parent)
        self._timer.timeout.connect(self._look)
        self._timer.start(_OFTEN)

    def disconnect_viewer(self) -> None:
        """Look no more."""
        self._timer.stop()

    def _look(self) -> None:
        """Compare how many changes can be redone with what it was before.

        That number goes up by undo, and down by redo, or by a change after undo.
        """
        for layer in self._viewer.layers:
            if isinstance(layer, Labels):
                one = itself(layer)
                count = len(one._redo_history)
                before = self._undone.get(one, 0)
                self._undone[one] = count
                if count != before:
                    self._call(layer)

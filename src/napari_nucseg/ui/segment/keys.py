"""Keys that segment and cancel, while the panel has the focus or a layer of ours is selected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget

from napari_nucseg.ui.layers import record_of

SEGMENT, CANCEL = "Ctrl+Enter", "Esc"
"""What the keys are called on the screen."""
_OF_PANEL = {SEGMENT: ("Ctrl+Return", "Ctrl+Enter"), CANCEL: ("Esc",)}
_OF_LAYER = {SEGMENT: "Control-Enter", CANCEL: "Escape"}
WHEN = "while this panel has the focus, or its image or labels are selected"


class RunKeys:
    """Binds the keys to a panel and to layers.

    Parameters
    ----------
    panel : QWidget
        Panel in which the keys work while it has the focus.
    segment, cancel : callable
        What the keys do. Cancel is bound during a run alone: Esc means other things else.
    """

    def __init__(
        self, panel: QWidget, segment: Callable[[], object], cancel: Callable[[], object]
    ) -> None:
        self._acts = {SEGMENT: segment, CANCEL: cancel}
        self._bound: list[tuple[Layer, str]] = []
        self._shortcuts: dict[str, list[QShortcut]] = {}
        for key, sequences in _OF_PANEL.items():
            self._shortcuts[key] = [QShortcut(QKeySequence(one), panel) for one in sequences]
            for shortcut in self._shortcuts[key]:
                shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
                shortcut.activated.connect(self._acts[key])

    def bind(self, layers: Iterable[Layer], image: Image | None, *, is_running: bool) -> None:
        """Let a key work while an image or what was made of it is selected, and on no other layers.

        Parameters
        ----------
        layers : iterable of Layer
            All layers of the viewer.
        image : Image or None
            The chosen image.
        is_running : bool
            Whether there is something to cancel; else there may be something to segment.
        """
        wanted = CANCEL if is_running else SEGMENT
        for layer, key in self._bound:
            layer.bind_key(_OF_LAYER[key], None)
        ours = [layer for layer in layers if image is not None and _belongs(layer, image)]
        self._bound = [(layer, wanted) for layer in ours]
        for layer in ours:
            layer.bind_key(_OF_LAYER[wanted], _called(self._acts[wanted]), overwrite=True)
        for key, shortcuts in self._shortcuts.items():
            for shortcut in shortcuts:
                shortcut.setEnabled(key == wanted)


def _belongs(layer: Layer, image: Image) -> bool:
    record = record_of(layer)
    return layer == image or (record is not None and record.source == str(image.unique_id))


def _called(act: Callable[[], object]) -> Callable[[Any], None]:
    def call(layer: Any) -> None:
        act()

    return call

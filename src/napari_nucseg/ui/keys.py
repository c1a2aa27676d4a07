"""The keys of the panels, and where they work: in a panel, and while layers of its are selected."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget


@dataclass(frozen=True)
class Shortcut:
    """A key and what it does.

    Attributes
    ----------
    napari : str
        The key as napari writes it.
    qt : str
        The key as Qt writes it, and as it is called on the screen.
    what : str
        What it does.
    also : tuple of str
        Other keys of the same meaning, as Qt writes them.
    """

    napari: str
    qt: str
    what: str
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return what the key is called on the screen."""
        return self.qt


SEGMENT = Shortcut("Control-Enter", "Ctrl+Enter", "segment", ("Ctrl+Return",))
CANCEL = Shortcut("Escape", "Esc", "cancel")
WHEN = "while this panel has the focus, or its image or labels are selected"
"""When the keys of the segment panel work."""
NEXT = Shortcut("N", "N", "next error")
PREVIOUS = Shortcut("Shift-N", "Shift+N", "previous error")
ERRORS_ONLY = Shortcut("E", "E", "errors only, or everything again")
REVIEWED = Shortcut("R", "R", "mark as reviewed")
TRUTH_IS_WRONG = Shortcut("T", "T", "mark that the truth is wrong")
IGNORE = Shortcut("I", "I", "mark to be ignored")


class PanelKeys:
    """Binds keys to a panel, where they work while it has the focus, and to layers.

    Parameters
    ----------
    panel : QWidget
        The panel.
    actions : mapping
        Function that each key calls, by the key.
    """

    def __init__(self, panel: QWidget, actions: Mapping[Shortcut, Callable[[], object]]) -> None:
        self._actions = actions
        self._bound: list[tuple[Layer, Shortcut]] = []
        self._in_panel: list[tuple[QShortcut, Shortcut]] = []
        for key, act in actions.items():
            for sequence in (key.qt, *key.also):
                shortcut = QShortcut(QKeySequence(sequence), panel)
                shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
                shortcut.activated.connect(act)
                self._in_panel.append((shortcut, key))

    def bind(self, layers: Iterable[Layer], only: Shortcut | None = None) -> None:
        """Let keys work while one of these layers is selected, and on no other layers.

        Parameters
        ----------
        layers : iterable of Layer
            The layers.
        only : Shortcut, optional
            The only key that works now, in the panel, too; all of them if not given.
        """
        for layer, key in self._bound:
            layer.bind_key(key.napari, None)
        keys = [key for key in self._actions if only in (None, key)]
        self._bound = list(product(dict.fromkeys(layers), keys))
        for layer, key in self._bound:
            layer.bind_key(key.napari, _called(self._actions[key]), overwrite=True)
        for shortcut, key in self._in_panel:
            shortcut.setEnabled(key in keys)


def _called(act: Callable[[], object]) -> Callable[[Any], None]:
    def press(layer: Any) -> None:
        act()

    return press

"""Keys that work while one of the compared layers is selected, or the panel has the focus."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QWidget


@dataclass(frozen=True)
class Key:
    """A key as napari and as Qt write it, and what it does."""

    napari: str
    qt: str
    what: str


NEXT = Key("N", "N", "next error")
PREVIOUS = Key("Shift-N", "Shift+N", "previous error")
ERRORS_ONLY = Key("E", "E", "errors only, and back")
KEYS = (NEXT, PREVIOUS, ERRORS_ONLY)
Actions = Mapping[Key, Callable[[], object]]


class ErrorKeys:
    """Binds keys to layers and to a panel.

    Parameters
    ----------
    panel : QWidget
        Where the keys work while the focus is in it.
    actions : mapping
        What each key does.
    """

    def __init__(self, panel: QWidget, actions: Actions) -> None:
        self._actions = actions
        self._bound: list[Labels] = []
        for key, act in actions.items():
            shortcut = QShortcut(QKeySequence(key.qt), panel)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(act)

    def bind(self, layers: list[Labels]) -> None:
        """Let the keys work while one of these layers is selected, and no others."""
        for layer in self._bound:
            for key in self._actions:
                layer.bind_key(key.napari, None)
        self._bound = list(dict.fromkeys(layers))
        for layer in self._bound:
            for key, act in self._actions.items():
                layer.bind_key(key.napari, _called(act), overwrite=True)


def describe_keys() -> str:
    """List the keys and when they work."""
    keys = ", ".join(f"{key.qt} {key.what}" for key in KEYS)
    return f"{keys}; while one of the compared layers is selected or the panel has the focus."


def _called(act: Callable[[], object]) -> Callable[[Any], None]:
    def press(layer: Any) -> None:
        act()

    return press

"""How values on a panel take the wheel and keys: only with the focus, and in sensible steps."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QScrollBar,
    QSlider,
    QWidget,
)

from napari_nucseg.ui.long_texts import Elided

_FINER = 5
"""How many times finer a slider steps while Ctrl is held."""
_MOST_DECIMALS = 5
"""Decimals of a slider's value that count."""


class WheelGuard(QObject):
    """Keeps the mouse wheel from changing values without the focus, and sliders to their steps.

    Qt's spin boxes, combo boxes and sliders take the wheel as soon as the pointer is over them, so
    that scrolling a panel would change its values. The wheel scrolls on instead.

    Parameters
    ----------
    root : QWidget
        All that lies in it is guarded, each time it is shown.
    """

    _KINDS = (QAbstractSpinBox, QComboBox, QAbstractSlider)

    def __init__(self, root: QWidget) -> None:
        super().__init__(root)
        root.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Pass the wheel on where the widget has no focus."""
        assert event is not None
        if event.type() == QEvent.Type.Show and watched is self.parent():
            self.guard_all()
        if event.type() != QEvent.Type.Wheel or not isinstance(watched, self._KINDS):
            return False
        event.ignore()
        return not watched.hasFocus()

    def guard_all(self) -> None:
        """Guard what was added since the root was shown, too."""
        root = self.parent()
        assert isinstance(root, QWidget)
        for widget in root.findChildren(QWidget):
            if isinstance(widget, self._KINDS) and not isinstance(widget, QScrollBar):
                if widget.focusPolicy() == Qt.FocusPolicy.WheelFocus:
                    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                widget.installEventFilter(self)
                if isinstance(widget, QComboBox) and widget.findChild(Elided) is None:
                    Elided(widget)
                if isinstance(widget, QSlider) and widget.pageStep() != widget.singleStep():
                    _step_sensibly(widget)


def _step_sensibly(slider: QSlider) -> None:
    """Let a slider move by its step alone, or by a fifth of it with Ctrl, and show its value whole.

    magicgui's sliders have a million positions for 1. Groove and page keys move them by ten.
    """
    slider.setPageStep(slider.singleStep())
    row = slider.parentWidget()
    box = None if row is None else row.findChild(QDoubleSpinBox)
    if box is not None:
        slider.valueChanged.connect(partial(_show_whole, slider, box))

    def snap(action: int) -> None:
        is_fine = QApplication.keyboardModifiers() & Qt.KeyboardModifier.ControlModifier
        step = slider.singleStep() // (_FINER if is_fine else 1)
        wanted = slider.sliderPosition()
        if is_fine and QSlider.SliderAction(action) != QSlider.SliderAction.SliderMove:
            wanted = slider.value() + (step if wanted > slider.value() else -step)
        slider.setSliderPosition(round(wanted / step) * step)

    slider.actionTriggered.connect(snap)


def _show_whole(slider: QSlider, box: QDoubleSpinBox, position: int) -> None:
    """Show as many decimals as the value at a position has, but at least two."""
    value = round(position * box.singleStep() / slider.singleStep(), _MOST_DECIMALS)
    box.setDecimals(max(2, len(f"{value:.{_MOST_DECIMALS}f}".rstrip("0").partition(".")[2])))
    box.setValue(value)

"""Widgets as they behave in a narrow panel: long texts, the mouse wheel, and questions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from magicgui.widgets import FileEdit, Label
from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QClipboard, QContextMenuEvent, QHelpEvent, QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QLabel,
    QLayout,
    QMenu,
    QMessageBox,
    QScrollBar,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QWidget,
)

_BREAK = "\u200b"
"""A space without width, at which Qt may break a line."""
_LONG_WORD = re.compile(r"\S{25,}")
"""Words that may be wider than a panel; no word of a sentence is that long."""
_PART = re.compile(r"[^/\\_.-]{20}|[/\\_.-]")
"""After what a long word may be broken."""
_FINER = 5
"""How many times finer a slider steps while Ctrl is held."""
_MOST_DECIMALS = 5
"""Decimals of a slider's value that count."""
_Layout = TypeVar("_Layout", bound=QLayout)


class Elided(QObject):
    """Draws the entry of a combo box with an ellipsis where it does not fit; Qt cuts it.

    The whole entry is in the tooltip, above the box's own.

    Parameters
    ----------
    box : QComboBox
        The combo box, whose child this becomes.
    """

    def __init__(self, box: QComboBox) -> None:
        super().__init__(box)
        box.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Draw the box, and tell the whole entry, where it is too long."""
        assert event is not None
        if event.type() not in (QEvent.Type.Paint, QEvent.Type.ToolTip):
            return False
        if not isinstance(watched, QComboBox) or watched.isEditable():
            return False
        option, style = QStyleOptionComboBox(), watched.style()
        assert style is not None
        watched.initStyleOption(option)
        kind, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
        width = style.subControlRect(kind, option, part, watched).width()
        whole = option.currentText
        short = option.fontMetrics.elidedText(whole, Qt.TextElideMode.ElideMiddle, width)
        if short == whole:
            return False
        if isinstance(event, QHelpEvent):
            text = "\n\n".join(filter(None, (whole, watched.toolTip())))
            QToolTip.showText(event.globalPos(), text, watched)
            return True
        option.currentText = short
        painter = QStylePainter(watched)
        painter.drawComplexControl(kind, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
        return True


_VALUE: Any = Label.value


class TextLine(Label):
    """A line of text that breaks long paths and names at their parts, which Qt would cut off.

    It is as high as its text needs: the layout of a form at times takes that from another width.
    What is copied, or read as `value`, is the text as it was told.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        label: QLabel = self.native
        label.setWordWrap(True)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        label.setSizePolicy(policy)
        self._room = _Room(label)

    def reserve(self, lines: int) -> None:
        """Keep room for some lines of text, so that short sentences move nothing below them."""
        self._room.reserve(lines)

    @property
    def value(self) -> str:
        """The text."""
        return str(_VALUE.fget(self)).replace(_BREAK, "")

    @value.setter
    def value(self, text: str) -> None:
        broken = _LONG_WORD.sub(lambda word: _PART.sub(rf"\g<0>{_BREAK}", word[0]), str(text))
        _VALUE.fset(self, broken)
        if hasattr(self, "_room"):  # else it is being made
            self._room.fit()


class _Room(QObject):
    """Makes a label as high as its text needs at its width, and copies its text without breaks.

    Nothing is connected to the clipboard: what Python connects there ends napari with a crash.
    """

    def __init__(self, label: QLabel) -> None:
        super().__init__(label)
        self._label, self._reserved = label, 0
        label.installEventFilter(self)

    def reserve(self, lines: int) -> None:
        """Keep room for some lines."""
        told = self._label.text()
        self._label.setText("\n" * (lines - 1))
        self._reserved = self._label.sizeHint().height()
        self._label.setText(told)
        self.fit()

    def fit(self) -> None:
        """Ask for the height that the text needs now."""
        needed = max(self._label.heightForWidth(self._label.width()), self._reserved)
        if self._label.minimumHeight() != needed:
            self._label.setMinimumHeight(needed)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Fit the label to another width, and copy by keys, by the menu, and by selecting."""
        kind = None if event is None else event.type()
        is_copy = isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Copy)
        if kind == QEvent.Type.Resize:
            self.fit()
        elif kind == QEvent.Type.MouseButtonRelease:
            QTimer.singleShot(0, partial(self._copy, QClipboard.Mode.Selection))  # after Qt did
        elif kind == QEvent.Type.KeyPress and is_copy:
            self._copy(QClipboard.Mode.Clipboard)
            return True
        elif isinstance(event, QContextMenuEvent):
            menu = QMenu(self._label)
            copy = menu.addAction("Copy")
            if menu.exec(event.globalPos()) == copy:
                self._copy(QClipboard.Mode.Clipboard)
            return True
        return False

    def _copy(self, mode: QClipboard.Mode) -> None:
        board, text = QApplication.clipboard(), self._label.selectedText().replace(_BREAK, "")
        if board is not None and text:
            board.setText(text, mode)


def tight(layout: _Layout, spacing: int = -1) -> _Layout:
    """Let a layout leave no room around what lies in it; between, what is usual if not given."""
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    return layout


def file_row(label: str, tooltip: str, **options: Any) -> FileEdit:
    """Return a choice of a file or folder, whose narrow button leaves room for the path.

    Options are further arguments of `FileEdit`.
    """
    row = FileEdit(label=label, tooltip=tooltip, **options)
    row.choose_btn.text = "..."
    row.choose_btn.native.setMaximumWidth(36)
    return row


def path_in(row: FileEdit) -> Path | None:
    """Return the path that was chosen; magicgui gives the working folder for none."""
    path = row.value
    return path if isinstance(path, Path) and str(path) not in ("", ".") else None


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


def ask(parent: QWidget, title: str, question: str, detail: str, answers: Sequence[str]) -> str:
    """Ask a question in a dialog; return the text of the button that was pressed.

    Parameters
    ----------
    parent : QWidget
        Window in front of which it is asked.
    title, question, detail : str
        Title of the dialog, the question in bold, and what it means for the person.
    answers : sequence of str
        Texts of three buttons: what nothing is lost by, which Enter presses; what loses something;
        and what leaves all as it is, which Esc presses.
    """
    box = QMessageBox(QMessageBox.Icon.Question, title, question, parent=parent)
    box.setInformativeText(detail)
    role = QMessageBox.ButtonRole
    roles = (role.AcceptRole, role.DestructiveRole, role.RejectRole)
    buttons = [box.addButton(*one) for one in zip(answers, roles, strict=True)]
    box.setDefaultButton(buttons[0])
    box.setEscapeButton(buttons[-1])
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    pressed = [text for text, one in zip(answers, buttons, strict=True) if one is clicked]
    return pressed[0] if pressed else answers[-1]

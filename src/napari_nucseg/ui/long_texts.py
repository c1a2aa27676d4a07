"""Texts that are longer than their place: names in combo boxes are elided, sentences wrapped."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from magicgui.widgets import Label
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QClipboard, QHelpEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QLabel,
    QSizePolicy,
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
        self._reserved = 0
        label: QLabel = self.native
        label.setWordWrap(True)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        policy = QSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        label.setSizePolicy(policy)
        self._clean, self._resized = _CleanCopies(label), _Resized(label, self._fit)

    def reserve(self, lines: int) -> None:
        """Keep room for some lines of text, so that short sentences move nothing below them."""
        self._reserved = lines * self.native.fontMetrics().lineSpacing()
        self._fit()

    def _fit(self) -> None:
        label: QLabel = self.native
        needed = max(label.heightForWidth(label.width()), self._reserved)
        if label.minimumHeight() != needed:
            label.setMinimumHeight(needed)

    @property
    def value(self) -> str:
        """The text."""
        return str(_VALUE.fget(self)).replace(_BREAK, "")

    @value.setter
    def value(self, text: str) -> None:
        _VALUE.fset(self, _LONG_WORD.sub(_with_breaks, str(text)))
        if hasattr(self, "_resized"):  # else it is being made
            self._fit()


def _with_breaks(word: re.Match[str]) -> str:
    return _PART.sub(rf"\g<0>{_BREAK}", word[0])


class _CleanCopies(QObject):
    """Takes what breaks a label's lines out of what was copied from it."""

    def __init__(self, label: QLabel) -> None:
        super().__init__(label)
        self._label = label
        board = QApplication.clipboard()
        if board is not None:
            board.dataChanged.connect(self._mend_clipboard)  # until the label is gone
            board.selectionChanged.connect(self._mend_selection)

    def _mend_clipboard(self) -> None:
        self._mend(QClipboard.Mode.Clipboard)

    def _mend_selection(self) -> None:
        self._mend(QClipboard.Mode.Selection)

    def _mend(self, mode: QClipboard.Mode) -> None:
        board, copied = QApplication.clipboard(), self._label.selectedText()
        if board is not None and _BREAK in copied and board.text(mode) == copied:
            board.setText(copied.replace(_BREAK, ""), mode)


class _Resized(QObject):
    """Calls a function when a widget has another size."""

    def __init__(self, widget: QWidget, call: Callable[[], None]) -> None:
        super().__init__(widget)
        self._call = call
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Call the function, and let the widget go on."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._call()
        return False

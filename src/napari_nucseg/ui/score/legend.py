"""Verdicts as a legend with counts, which switches them on and off."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QGridLayout, QSizePolicy, QToolButton, QWidget

from napari_nucseg.analysis.drawing import VERDICT_COLOURS
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.score.model import Comparison, ComparisonState

LEGEND = {
    Verdict.MATCHED: "Has a partner at the IoU threshold. The number includes the loose ones.",
    Verdict.LOOSE: "Matched, but with an IoU below 0.7.",
    Verdict.MISSED: "A true nucleus that was not found.",
    Verdict.MERGED: "True nuclei that one predicted nucleus covers together.",
    Verdict.SPLIT: "A true nucleus that was cut into pieces.",
    Verdict.OFF: "Found, but with an IoU below the threshold.",
    Verdict.TANGLED: "Several true and several predicted nuclei that overlap one another.",
    Verdict.SPURIOUS: "A predicted nucleus where there is no true one.",
}
_WIDTHS = (30, 21, 24, 25)
"""Parts of the width; "matched" needs most."""
_SIDE = 11
_FRAME = "#808080"


class VerdictLegend(QWidget):
    """Colour, name and count of each verdict in the field shown; a click hides it.

    Parameters
    ----------
    state : ComparisonState
        The comparison whose verdicts are counted.
    """

    def __init__(self, state: ComparisonState) -> None:
        super().__init__()
        self._state = state
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(0)
        for column, width in enumerate(_WIDTHS):
            grid.setColumnStretch(column, width)
        self.buttons = {}
        for number, (verdict, text) in enumerate(LEGEND.items()):
            button = _button(verdict, text)
            button.toggled.connect(self._on_toggled)
            grid.addWidget(button, *divmod(number, len(_WIDTHS)))
            self.buttons[verdict] = button
        state.changed.connect(self._on_changed)
        self.refresh()

    def refresh(self) -> None:
        """Write the counts of the field shown; none without a comparison."""
        score = self._state.now.score
        for verdict, button in self.buttons.items():
            count = "" if score is None else f" {getattr(score.verdicts, verdict.word)}"
            button.setText(f"{verdict.word}{count}")

    def text(self, verdict: Verdict) -> str:
        """Return what the legend says of a verdict."""
        return self.buttons[verdict].text()

    def _on_toggled(self) -> None:
        self._state.hide(
            frozenset(verdict for verdict, b in self.buttons.items() if not b.isChecked())
        )

    def _on_changed(self, old: Comparison, new: Comparison) -> None:
        if new.score is not old.score:
            self.refresh()
        if new.hidden != old.hidden:
            self._show_hidden()

    def _show_hidden(self) -> None:
        for verdict, button in self.buttons.items():
            button.blockSignals(True)
            button.setChecked(verdict not in self._state.now.hidden)
            button.blockSignals(False)
            font = button.font()  # struck out, as an empty square alone looks like a white one
            font.setStrikeOut(not button.isChecked())
            button.setFont(font)


def _button(verdict: Verdict, text: str) -> QToolButton:
    button = QToolButton()
    button.setCheckable(True)
    button.setChecked(True)
    button.setAutoRaise(True)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setIcon(_squares(VERDICT_COLOURS[verdict]))
    button.setIconSize(QSize(_SIDE, _SIDE))
    button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    button.setStyleSheet("QToolButton { background: transparent; border: none; padding: 1px; }")
    button.setToolTip(
        f"{text} The number counts true nuclei; for spurious, predicted nuclei. The table also "
        "lists the predicted nuclei of the other errors. Click to hide or show these nuclei in "
        "the overlay and the table."
    )
    return button


def _squares(colour: str) -> QIcon:
    """Return a full square for a verdict that is shown, and an empty one for one that is not."""
    icon = QIcon()
    for state, fill in ((QIcon.State.On, QColor(colour)), (QIcon.State.Off, None)):
        pixmap = QPixmap(_SIDE, _SIDE)
        pixmap.fill(QColor(0, 0, 0, 0) if fill is None else fill)
        painter = QPainter(pixmap)
        painter.setPen(QColor(_FRAME))
        painter.drawRect(0, 0, _SIDE - 1, _SIDE - 1)
        painter.end()
        icon.addPixmap(pixmap, QIcon.Mode.Normal, state)
    return icon

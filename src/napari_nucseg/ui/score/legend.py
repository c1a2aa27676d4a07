"""Legends: of the verdicts, which are hidden by a click, and of the overlay in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPaintEvent, QPen, QPixmap
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from napari_nucseg.analysis.drawing import AGREEMENT_COLOURS, VERDICT_COLOURS, VERDICT_MEANINGS
from napari_nucseg.metrics.verdicts import Agreement, Verdict
from napari_nucseg.ui.layers import AGREEMENT, DIFFERENCE, ERRORS, IOU
from napari_nucseg.ui.score.model import Comparison, ComparisonState
from napari_nucseg.ui.score.overlay_drawing import COLOURS, FIRST, SECOND, iou_colours
from napari_nucseg.ui.widgets import tight

_COLUMNS = 4
_FRAME = "#808080"
_LINE = "#909090"
"""Of samples of lines: seen in both themes, and the colour of no verdict."""
_LENGTH, _SIDE = 24, 11
"""Pixels of a sample of a line, and of a coloured square."""


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
        self._grid = grid = tight(QGridLayout(self), 0)
        self.buttons: dict[Verdict, QToolButton] = {}
        for number, (verdict, text) in enumerate(VERDICT_MEANINGS.items()):
            button = _verdict_button(verdict, text)
            button.toggled.connect(self._on_toggled)
            grid.addWidget(button, *divmod(number, _COLUMNS))
            self.buttons[verdict] = button
        state.changed.connect(self._on_changed)
        self.refresh()

    def refresh(self) -> None:
        """Write the counts of the field shown; none without a comparison."""
        score = self._state.now.score
        for verdict, button in self.buttons.items():
            count = "" if score is None else f" {getattr(score.verdicts, verdict.word)}"
            button.setText(f"{verdict.word}{count}")
        for column in range(_COLUMNS):  # each gets as much of the width as its texts need
            texts = list(self.buttons.values())[column::_COLUMNS]
            self._grid.setColumnStretch(column, max(one.sizeHint().width() for one in texts))

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


def _verdict_button(verdict: Verdict, text: str) -> QToolButton:
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


@dataclass(frozen=True)
class Sample:
    """An entry of a legend: how something is drawn, and what that means.

    Attributes
    ----------
    text : str
        What it means, in a word or two.
    colour : str
        Colour of a square; empty for a line.
    dashes : tuple of int
        Pixels of a dash of the line and of the gap behind it; empty for a solid line.
    width : int
        Width of the line.
    """

    text: str
    colour: str = ""
    dashes: tuple[int, ...] = ()
    width: int = 1


@dataclass(frozen=True)
class Legend:
    """What the colours and lines of an overlay mean.

    Attributes
    ----------
    help : str
        Whole sentences.
    samples : sequence of Sample
        Entries beside one another.
    bar : mapping, optional
        Colours from the least to the largest value, where they are a scale from 0 to 1.
    """

    help: str
    samples: Sequence[Sample] = ()
    bar: Mapping[int, Any] | None = None


LEGENDS = {
    ERRORS: Legend(
        "True nuclei have a solid line of two pixels, predicted ones a broken line: of dots if "
        "they match, of dashes if not. The colours are those of the verdicts above.",
        (
            Sample("truth", width=3),
            Sample("match", dashes=(1, 1), width=2),
            Sample("no match", dashes=(4, 2), width=2),
        ),
    ),
    AGREEMENT: Legend(
        "Pixels of nuclei that were found, missed, or predicted where there are none.",
        tuple(
            Sample(text, AGREEMENT_COLOURS[one])
            for one, text in (
                (Agreement.TRUE_POSITIVE, "found"),
                (Agreement.FALSE_NEGATIVE, "missed"),
                (Agreement.FALSE_POSITIVE, "too many"),
            )
        ),
    ),
    IOU: Legend(
        "IoU of true nuclei: missed ones are yellow, the brightest; faultless ones dark. Spurious "
        "nuclei, which have no IoU, are outlined in yellow.",
        bar=iou_colours(),
    ),
    DIFFERENCE: Legend(
        "True nuclei that only one of the two predictions found: the first, which is chosen at the "
        "top, or the second, which is chosen in the table.",
        (Sample("only in first", COLOURS[FIRST]), Sample("only in second", COLOURS[SECOND])),
    ),
}
"""Legend of each role of an overlay."""


class OverlayLegend(QWidget):
    """One line: samples of colours and lines, or a colour bar, with what they mean."""

    def __init__(self) -> None:
        super().__init__()
        self._pages: dict[str, QWidget] = {}
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(2, 0, 2, 0)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def show_role(self, role: str) -> None:
        """Explain the overlay of a role.

        Parameters
        ----------
        role : str
            Role of the overlay in sight, a key of `LEGENDS`.
        """
        if role not in self._pages:
            self._pages[role] = _page(LEGENDS[role])
            self._layout.addWidget(self._pages[role])
        for each, page in self._pages.items():
            page.setVisible(each == role)
        self.setVisible(True)

    @property
    def text(self) -> str:
        """All words that are shown."""
        shown = (page for page in self._pages.values() if not page.isHidden())
        return " ".join(label.text() for page in shown for label in page.findChildren(QLabel))


def _page(legend: Legend) -> QWidget:
    page = QWidget()
    page.setToolTip(legend.help)
    layout = tight(QHBoxLayout(page), 4)
    if legend.bar is not None:
        layout.addWidget(QLabel("IoU 0"))
        layout.addWidget(ColourBar(legend.bar), 1)
        layout.addWidget(QLabel("1"))
    for sample in legend.samples:
        layout.addWidget(_Swatch(sample))
        layout.addWidget(QLabel(sample.text))
        layout.addStretch()
    return page


class _Swatch(QWidget):
    """A sample of a line, or a coloured square."""

    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self._sample = sample
        self.setFixedSize(QSize(_SIDE if sample.colour else _LENGTH, _SIDE))

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw a filled square, or a line as it is drawn over the image."""
        painter, sample = QPainter(self), self._sample
        if sample.colour:
            painter.fillRect(self.rect(), QColor(sample.colour))
        else:
            pen = QPen(QColor(_LINE), sample.width)
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
            if sample.dashes:
                pen.setDashPattern(sample.dashes)
            painter.setPen(pen)
            middle = self.height() / 2
            painter.drawLine(QPointF(0, middle), QPointF(self.width(), middle))
        painter.end()


class ColourBar(QWidget):
    """A colour bar from the least to the largest value."""

    def __init__(self, colours: Mapping[int, Any]) -> None:
        super().__init__()
        self._colours = [QColor.fromRgbF(*map(float, colours[value])) for value in sorted(colours)]
        self.setMinimumWidth(4 * _LENGTH)
        self.setFixedHeight(_SIDE)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw columns of colour from the least value on the left to the largest on the right."""
        painter = QPainter(self)
        for x in range(self.width()):
            colour = self._colours[x * len(self._colours) // self.width()]
            painter.fillRect(x, 0, 1, self.height(), colour)
        painter.end()

"""A form made from a dataclass of parameters, and the parameters made from the form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar, get_type_hints

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSlider,
    FloatSpinBox,
    PushButton,
    SpinBox,
)
from magicgui.widgets.bases import ValueWidget, Widget
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QGraphicsOpacityEffect,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_nucseg.metrics.matching import PRESETS, STARDIST, THRESHOLD
from napari_nucseg.parameter_spec import Spec, describe_values, specs_of
from napari_nucseg.ui.widgets import tight

Params = TypeVar("Params")
DOCK_WIDTH = 345
"""Pixels that every row of a panel fits into, beside a scroll bar."""
LEAST_THRESHOLD = 0.05
"""The lowest IoU that can be chosen: outlines are compared from there on."""
_MOST_SLIDER_STEPS = 200
_FAINT = 0.4
"""Opacity of what is locked."""


class ParamsForm(Generic[Params]):
    """One widget a field: a switch, a slider where few steps cover the range, or a number box.

    Parameters
    ----------
    params : Params
        The values to begin with, which are the defaults.
    has_resets : bool, optional
        Whether there are buttons that set values back; they have to be laid out, then.

    Attributes
    ----------
    rows : tuple of ValueWidget
        Widgets of all parameters, in the order of the fields.
    main, advanced : tuple of ValueWidget
        Widgets that are always in sight, and those to be folded away.
    resets : mapping
        A button by the label of its row, which is seen where the value is not the default, and
        sets it back.
    """

    marked = Signal(int)
    """Tells how many values differ from the defaults."""

    def __init__(self, params: Params, *, has_resets: bool = False) -> None:
        self._type = type(params)
        kinds = get_type_hints(self._type)
        described = specs_of(self._type)
        self.rows = tuple(
            _row(name, kinds[name], getattr(params, name), spec) for name, spec in described.items()
        )
        self.main = tuple(row for row in self.rows if not described[row.name].advanced)
        self.advanced = tuple(row for row in self.rows if described[row.name].advanced)
        self._defaults = params
        self.resets: dict[str, QToolButton] = {}
        for row in self.rows if has_resets else ():
            button = self.resets[row.label] = _reset_button()
            button.clicked.connect(partial(self._reset, row))
            row.changed.connect(self._mark)

    def __getitem__(self, name: str) -> ValueWidget:
        """Return the widget of a field."""
        return next(row for row in self.rows if row.name == name)

    @property
    def params(self) -> Params:
        """The values on the form."""
        return self._type(**{row.name: _value(row) for row in self.rows})

    @params.setter
    def params(self, params: Params) -> None:
        for row in self.rows:
            row.value = getattr(params, row.name)

    @property
    def defaults(self) -> Params:
        """The values that rows are marked for differing from."""
        return self._defaults

    @defaults.setter
    def defaults(self, defaults: Params) -> None:
        self._defaults = defaults
        for row in self.rows if self.resets else ():
            value = describe_values(self._type, {row.name: getattr(defaults, row.name)})[0]
            self.resets[row.label].setToolTip(f"Set back to the model's default: {value}")
        self._mark()

    def suit(self, defaults: Params) -> None:
        """Take other defaults; values that were the old ones follow, and others stay."""
        following = [row for row in self.rows if self._is_default(row)]
        self.defaults = defaults
        for row in following:
            row.value = getattr(defaults, row.name)

    def _mark(self) -> None:
        differing = [row for row in self.rows if not self._is_default(row)]
        for row in self.rows if self.resets else ():
            self.resets[row.label].setVisible(row in differing)
        self.marked.emit(len(differing))

    def _is_default(self, row: ValueWidget) -> bool:
        return math.isclose(row.value, getattr(self._defaults, row.name), abs_tol=1e-6)

    def _reset(self, row: ValueWidget) -> None:
        row.value = getattr(self._defaults, row.name)


def _value(row: ValueWidget) -> Any:
    """Return what a row shows; a slider's positions are a little less."""
    return round(row.value, 5) if isinstance(row, FloatSlider) else row.value


def threshold_slider() -> FloatSlider:
    """Return the slider of the IoU from which on nuclei match."""
    return FloatSlider(
        label="IoU threshold",
        value=THRESHOLD,
        min=LEAST_THRESHOLD,
        max=1.0,
        step=0.05,
        tooltip="Nuclei match if their IoU (intersection over union) is at least this. Hold Ctrl "
        "for finer steps.",
    )


def preset_box() -> ComboBox:
    """Return the choice of a published rule of comparison."""
    return ComboBox(
        label="Preset",
        value=STARDIST.name,
        choices=[(preset.title, preset.name) for preset in PRESETS.values()],
        tooltip="Published rule of comparison. An IoU of exactly the threshold is a match in "
        "StarDist / Cellpose, and none in DSB2018 and Caicedo 2019.",
    )


def switch(label: str, tooltip: str, **options: Any) -> CheckBox:
    """Return a check box whose name stands in the column of labels alone.

    Options are further arguments of `CheckBox`, such as its name and value.
    """
    box = CheckBox(label=label, tooltip=tooltip, **options)
    box.text = ""  # Given at once, an empty text would be taken for none, and the label shown
    return box


def labelled(rows: Iterable[Widget], resets: Mapping[str, QWidget] | None = None) -> QWidget:
    """Lay out widgets under one another, their labels in a column of one width.

    Behind a row stands its button of ``resets``, if there is one, by the row's label.
    """
    box = QWidget()
    layout = tight(QFormLayout(box))
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for row in rows:
        if not row.label:  # text has all of the width
            layout.addRow(row.native)
            continue
        label = QLabel(row.label)
        label.setToolTip(row.tooltip or "")
        button = (resets or {}).get(row.label)
        layout.addRow(label, row.native if button is None else beside(row.native, button))
    return box


def beside(widget: QWidget, button: QWidget) -> QWidget:
    """Put a button behind a widget, which has the rest of the width."""
    box = QWidget()
    layout = tight(QHBoxLayout(box), 2)
    layout.addWidget(widget, 1)
    layout.addWidget(button)
    return box


def side_by_side(*widgets: Widget) -> Container[Any]:
    """Lay out widgets in a row."""
    row = Container(widgets=widgets, layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def _reset_button() -> QToolButton:
    """Return a button whose place stays free while it is hidden."""
    button = QToolButton()
    button.setText("\u21ba")
    button.setAutoRaise(True)
    policy = button.sizePolicy()
    policy.setRetainSizeWhenHidden(True)
    button.setSizePolicy(policy)
    button.hide()
    return button


def show_row(box: QWidget, row: Widget, shown: bool, title: str = "") -> None:
    """Show or hide a row of what `labelled` laid out, with its label, or with another title."""
    layout = box.layout()
    if isinstance(layout, QFormLayout):
        layout.setRowVisible(row.native, shown)
        label = layout.labelForField(row.native)
        if title and isinstance(label, QLabel):
            label.setText(title)


def folded(title: str, tooltip: str, *widgets: QWidget) -> QCollapsible:
    """Fold widgets away under a title that opens them; what is folded away takes no focus."""
    fold = QCollapsible(title, expandedIcon="\u25bc", collapsedIcon="\u25b6")
    for widget in widgets:
        fold.addWidget(widget)
    fold.toggleButton().setToolTip(tooltip)
    fold.content().setVisible(False)
    fold.toggled.connect(fold.content().setVisible)
    return fold


def show_enabled(row: Widget) -> None:
    """Let a widget that is locked be faint: napari's themes draw sliders all the same."""
    faint = row.native.graphicsEffect()
    if faint is None:
        faint = QGraphicsOpacityEffect(row.native)
        faint.setOpacity(_FAINT)
        row.native.setGraphicsEffect(faint)
    faint.setEnabled(not row.enabled)


def scrolled(*widgets: QWidget) -> QScrollArea:
    """Stack widgets in an area that scrolls where the window is too low for them."""
    body = QWidget()
    layout = tight(QVBoxLayout(body))
    for widget in widgets:
        layout.addWidget(widget)
    layout.addStretch()
    area = QScrollArea()
    area.setWidget(body)
    area.setWidgetResizable(True)
    area.setMinimumWidth(DOCK_WIDTH)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


def _row(name: str, kind: type, value: Any, spec: Spec) -> ValueWidget:
    if kind is bool:
        return switch(spec.label, spec.help, name=name, value=value)
    few = (spec.high - spec.low) / spec.step <= _MOST_SLIDER_STEPS
    widget = SpinBox if kind is int else FloatSlider if few else FloatSpinBox
    unit = f" ({spec.unit})" if spec.unit else ""
    row = widget(
        name=name,
        label=f"{spec.label}{unit}",
        tooltip=spec.help,
        value=value,
        min=spec.low if kind is float else int(spec.low),
        max=spec.high if kind is float else int(spec.high),
        step=spec.step if kind is float else int(spec.step),
    )
    if spec.lowest:
        row.native.setSpecialValueText(spec.lowest)
    return row


def add_model_button() -> PushButton:
    """Return the button that asks for a model file."""
    return PushButton(
        text="Add a model file...",
        tooltip="Add a model that was trained with Cellpose or with napari-nucseg train.",
    )

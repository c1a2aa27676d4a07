"""The form shows every parameter, within its bounds, and gives the values back."""

from dataclasses import fields

import pytest
from magicgui.widgets import CheckBox, FloatSlider, SpinBox
from qtpy.QtWidgets import QCheckBox, QLabel

from napari_nucseg.parameter_spec import specs_of
from napari_nucseg.segmenters.parameters import SegmentParams
from napari_nucseg.ui.params_form import ParamsForm, labelled


@pytest.fixture
def form(qtbot) -> ParamsForm[SegmentParams]:
    return ParamsForm(SegmentParams())


def row(form, name):
    return next(widget for widget in form.rows if widget.name == name)


def test_every_parameter_has_a_row_with_its_bounds_and_help(form):
    assert [widget.name for widget in form.rows] == [f.name for f in fields(SegmentParams)]
    for widget, spec in zip(form.rows, specs_of(SegmentParams).values(), strict=True):
        if not isinstance(widget, CheckBox):
            assert (widget.min, widget.max) == (spec.low, spec.high)
        assert widget.tooltip == spec.help


def test_what_is_typed_comes_back_as_parameters(form):
    row(form, "flow_threshold").value = 0.75
    row(form, "min_size").value = 40

    assert form.params == SegmentParams(flow_threshold=0.75, min_size=40)


def test_parameters_are_shown_on_the_form(form):
    form.params = SegmentParams(cellprob_threshold=-1.5, diameter=33.0)

    assert row(form, "cellprob_threshold").value == -1.5
    assert form.params.diameter == 33.0


def test_thresholds_are_sliders_and_sizes_and_switches_are_boxes(form):
    assert isinstance(row(form, "flow_threshold"), FloatSlider)
    assert isinstance(row(form, "min_size"), SpinBox)
    assert isinstance(row(form, "augment"), CheckBox)
    row(form, "augment").value = True
    assert form.params == SegmentParams(augment=True)


def test_dark_nuclei_are_a_switch_that_is_always_in_sight(form):
    assert form["invert"] in form.main
    assert isinstance(form["invert"], CheckBox)
    form["invert"].value = True
    assert form.params == SegmentParams(invert=True)


def test_the_name_of_a_switch_is_shown_once(qtbot, form):
    shown = labelled([form["invert"], form["augment"]])
    qtbot.addWidget(shown)

    labels = [label.text() for label in shown.findChildren(QLabel)]
    assert labels == ["Dark nuclei", "Flipped copies"]
    assert [box.text() for box in shown.findChildren(QCheckBox)] == ["", ""]

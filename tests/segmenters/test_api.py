from __future__ import annotations

import doctest
import json
import math
from dataclasses import FrozenInstanceError, asdict, fields

import numpy as np
import pytest

from napari_nucseg import progress
from napari_nucseg.parameter_spec import Spec, specs_of
from napari_nucseg.segmenters import api, intensities, parameters
from napari_nucseg.segmenters.api import check_image
from napari_nucseg.segmenters.intensities import with_bright_nuclei
from napari_nucseg.segmenters.parameters import SegmentParams, completed

KNOBS = specs_of(SegmentParams)


@pytest.fixture(params=KNOBS)
def name(request: pytest.FixtureRequest) -> str:
    """Each parameter in turn."""
    return str(request.param)


# Parameters


def test_every_parameter_has_a_knob_in_the_order_of_the_form():
    assert list(KNOBS) == [field.name for field in fields(SegmentParams)]
    assert all(isinstance(spec, Spec) for spec in KNOBS.values())


def test_a_knob_says_what_it_is_for_and_has_room_to_turn(name):
    spec = KNOBS[name]
    assert spec.label
    assert spec.help.endswith(".")
    assert spec.low < spec.high
    assert 0 < spec.step <= spec.high - spec.low


def test_the_default_lies_inside_the_bounds(name):
    assert KNOBS[name].low <= getattr(SegmentParams(), name) <= KNOBS[name].high


def test_labels_of_parameters_differ():
    assert len({spec.label for spec in KNOBS.values()}) == len(KNOBS)


@pytest.mark.parametrize("bound", ["low", "high"])
def test_both_bounds_are_allowed(name, bound):
    value = getattr(KNOBS[name], bound)
    assert asdict(SegmentParams(**{name: value}))[name] == value


@pytest.mark.parametrize("side", ["below", "above", "infinite", "undefined"])
def test_a_value_outside_the_bounds_is_refused_with_its_name_and_its_bounds(name, side):
    spec = KNOBS[name]
    values = {
        "below": spec.low - spec.step,
        "above": spec.high + spec.step,
        "infinite": math.inf,
        "undefined": math.nan,
    }
    with pytest.raises(ValueError, match=f"^{spec.label.lower()} is ") as failure:
        SegmentParams(**{name: values[side]})
    told, allowed = str(failure.value).split(f" is {values[side]}; it must be ")
    assert told == spec.label.lower()
    assert allowed in {"True or False", bounds_of(spec), f"a whole number, {bounds_of(spec)}"}


@pytest.mark.parametrize("value", ["30", None, [30], 30 + 0j, np.array([30.0, 40.0])], ids=repr)
def test_a_value_that_is_no_number_is_refused_with_its_name(name, value):
    with pytest.raises(ValueError, match=f"^{KNOBS[name].label.lower()} is .*; it must be "):
        SegmentParams(**{name: value})


def test_a_number_of_another_kind_is_taken_if_it_says_the_same():
    taken = SegmentParams(
        diameter=np.float32(30), min_size=20.0, invert=np.True_, niter=np.int64(9)
    )

    assert [taken.diameter, taken.min_size, taken.invert, taken.niter] == [30.0, 20, True, 9]
    assert json.loads(json.dumps(asdict(taken))) == asdict(taken)
    with pytest.raises(ValueError, match=r"minimum size is 1\.5; it must be a whole number, 0 to"):
        SegmentParams(min_size=1.5)
    with pytest.raises(ValueError, match=r"dark nuclei is 0\.5; it must be True or False"):
        SegmentParams(invert=0.5)
    with pytest.raises(ValueError, match="diameter is True; it must be 0 to 2000 px"):
        SegmentParams(diameter=True)


def bounds_of(spec) -> str:
    return f"{spec.low:g} to {spec.high:g} {spec.unit}".rstrip()


def test_parameters_cannot_change_once_they_are_checked(name):
    with pytest.raises(FrozenInstanceError):
        setattr(SegmentParams(), name, KNOBS[name].low)


def test_values_of_an_older_version_are_completed_by_what_it_did():
    older = {name: value for name, value in asdict(SegmentParams()).items() if name != "invert"}
    assert completed(older | {"min_size": 40}) == asdict(SegmentParams(min_size=40))
    assert completed({"invert": True})["invert"] is True


@pytest.mark.parametrize("module", [parameters, api, intensities, progress])
def test_the_examples_in_the_documentation_are_right(module):
    assert doctest.testmod(module).failed == 0


# Images


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "int16", "int64", "float32"])
def test_a_grey_image_of_any_type_may_be_segmented(dtype):
    image = np.eye(4, 6).astype(dtype)
    assert check_image(image, "field") is None


@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 5), (4, 5, 3), (0, 5), (5, 0)], ids=str)
def test_an_image_of_no_plane_is_refused_by_name(shape):
    with pytest.raises(ValueError, match=r"^field: an image of shape") as failure:
        check_image(np.zeros(shape), "field")
    assert str(shape) in str(failure.value)
    assert "grey plane" in str(failure.value)


@pytest.mark.parametrize("dtype", ["complex64", "object", "U3", "datetime64[s]"])
def test_an_image_of_no_intensities_is_refused_by_name(dtype):
    with pytest.raises(ValueError, match=r"^field: .*grey intensities"):
        check_image(np.zeros((4, 5)).astype(dtype), "field")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_an_image_with_holes_is_refused_by_name(dtype, value):
    image = np.ones((4, 5), dtype=dtype)
    image[2, 3] = value
    with pytest.raises(ValueError, match=r"^field: it holds NaN or infinite values"):
        check_image(image, "field")


def test_an_image_of_huge_but_finite_values_may_be_segmented():
    assert check_image(np.full((4, 5), np.finfo(np.float64).max), "field") is None


# Dark nuclei

DARK = SegmentParams(invert=True)


def test_an_image_of_bright_nuclei_stays_as_it_is():
    image = np.eye(4, dtype=np.uint8)
    assert with_bright_nuclei(image, SegmentParams()) is image


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([0, 3, 255], "u1", [255, 252, 0]),
        ([7, 7, 7], "u2", [0, 0, 0]),
        ([0, 9, 65535], ">u2", [65535, 65526, 0]),
        ([0, 2**64 - 1, 5], "u8", [2**64 - 1, 0, 2**64 - 6]),
        ([-128, 0, 127], "i1", [255, 127, 0]),
        ([-(2**63), 2**63 - 1, 0], "i8", [2**64 - 1, 0, 2**63 - 1]),
        ([-65504, 65504, 0], "f2", [131008, 0, 65504]),
        ([0.25, -1.5, 1.0], "f4", [0.75, 2.5, 0]),
        ([0.25, -1.5, 1.0], ">f8", [0.75, 2.5, 0]),
        ([True, False, True], "?", [False, True, False]),
    ],
    ids=str,
)
def test_dark_nuclei_become_bright_whatever_the_type(values, kind, expected):
    image = np.array([values], dtype=kind)
    before = image.copy()
    assert with_bright_nuclei(image, DARK).tolist() == [expected]
    assert np.array_equal(image, before)

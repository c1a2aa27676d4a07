"""What scripts and notebooks call, as they call it."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile

import napari_nucseg as ns
from napari_nucseg import public


def test_the_public_names_are_these_and_all_are_there():
    assert ns.__all__ == [
        "Dataset",
        "Field",
        "Model",
        "Score",
        "Segmentation",
        "Summary",
        "VolumeSegmentation",
        "models",
        "open",
        "sample",
        "score",
        "segment",
        "summarise",
    ]
    assert all(getattr(ns, name).__doc__ for name in ns.__all__)


def test_the_import_loads_nothing_until_something_is_used():
    told = subprocess.run(
        [sys.executable, "-c", "import sys, napari_nucseg\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()

    assert "napari_nucseg" in told
    assert not {"numpy", "napari", "torch", "napari_nucseg.public"} & set(told)


def test_the_examples_of_the_docstrings_come_out_as_they_say():
    assert doctest.testmod(public).failed == 0


def test_a_drawn_field_is_opened_segmented_and_scored(drawn_dataset):
    field = ns.open(drawn_dataset, "training").fields[0]

    found = ns.segment(field.read_image().data)
    scored = ns.score(field.read_truth(), found.labels)

    assert found.provenance.model == "fluo-nuclei"
    assert scored.objects.f1 > 0.9
    assert f"Nuclei   Precision at 0.50    {scored.objects.precision:.3f}" in str(scored)
    assert "Hausdorff" not in str(scored)
    assert "Hausdorff" in str(ns.score(field.read_truth(), found.labels, outlines=True))


def test_an_image_by_itself_is_a_dataset_of_one_field(tmp_path, drawn_fields):
    tifffile.imwrite(tmp_path / "cells.tif", drawn_fields[0].image)

    (field,) = ns.open(str(tmp_path / "cells.tif")).fields

    assert np.array_equal(field.read_image().data, drawn_fields[0].image)
    with pytest.raises(ValueError, match=r"cells\.tif: this is one image"):
        ns.open(tmp_path / "cells.tif", "validation")


def test_parameters_are_those_of_the_form_and_others_are_refused(drawn_fields):
    image = drawn_fields[0].image

    assert ns.segment(image, "otsu", min_size=1000).labels.max() == 0
    with pytest.raises(ValueError, match=r"no parameter 'diametre'; choose among diameter, "):
        ns.segment(image, "otsu", diametre=30)
    with pytest.raises(ValueError, match="there is no model 'cellpose'; choose fluo-nuclei"):
        ns.segment(image, "cellpose")


def test_stacks_are_segmented_as_the_user_says(drawn_fields):
    stack = np.stack([drawn_fields[0].image, drawn_fields[0].image])
    alone = ns.segment(stack[0], "otsu").labels

    planes = ns.segment(stack, "otsu", volume="planes")
    stitched = ns.segment(stack, "otsu", volume="stitched", stitch_threshold=0.5)

    assert np.array_equal(planes.labels, [alone, alone])
    assert ns.score(alone, stitched.labels[0]).objects.recall == 1
    assert np.array_equal(stitched.labels[0], stitched.labels[1])
    assert stitched.provenance.depth["method"] == "stitched"
    assert stitched.provenance.depth["stitch_threshold"] == 0.5


def test_a_volume_is_segmented_in_3d(drawn_fields):
    shown = drawn_fields[0]
    fading = np.array([0.1, 0.6, 1, 0.6, 0.1])[:, None, None]
    volume = (shown.image.min() + fading * (shown.image - shown.image.min())).astype(np.uint16)

    found = ns.segment(volume, volume="3d", anisotropy=2)

    assert found.labels.shape == volume.shape
    assert found.provenance.depth == {
        "method": "3d", "stitch_threshold": 0.25, "anisotropy": 2
    }  # fmt: skip
    assert ns.score(shown.labels, found.labels[2]).objects.f1 > 0.8


def test_what_is_no_plane_is_refused_with_what_to_give(drawn_fields):
    image = drawn_fields[0].image

    with pytest.raises(ValueError, match=r"give one plane .* volume='planes' or 'stitched' or "):
        ns.segment(np.stack([image, image]))
    with pytest.raises(ValueError, match=r"seems to have colours; .* such as image\[\.\.\., 2\]"):
        ns.segment(np.stack([image] * 3, axis=-1))
    with pytest.raises(ValueError, match="choose planes, stitched, 3d"):
        ns.segment(np.stack([image, image]), volume="3D")
    with pytest.raises(ValueError, match="anisotropy: for stacks alone; give volume, too"):
        ns.segment(image, anisotropy=2)
    with pytest.raises(ValueError, match="choose planes x height x width"):
        ns.segment(image, "otsu", volume="planes")
    with pytest.raises(ValueError, match="otsu works on planes, not in 3-D; choose stitched"):
        ns.segment(np.stack([image, image]), "otsu", volume="3d")
    with pytest.raises(ValueError, match=r"image is the path 'cells\.tif'; give the array"):
        ns.segment("cells.tif")
    with pytest.raises(ValueError, match=r"give its labels, such as found\.labels"):
        ns.score(image, ns.segment(image, "otsu"))


def test_the_channel_of_a_colour_image_can_be_chosen(tmp_path, drawn_fields):
    image = (drawn_fields[0].image // 16).astype(np.uint8)
    blue = np.stack([0 * image, 0 * image, image], axis=-1)
    tifffile.imwrite(tmp_path / "cells.tif", blue, photometric="rgb")
    field = ns.open(tmp_path / "cells.tif").fields[0]

    assert np.array_equal(field.read_image("blue").data, image)
    with pytest.raises(ValueError, match="a colour image") as told:
        field.read_image()
    assert told.value.__notes__ == ["In Python: read_image(channel='blue'), or 1 to 3, or mean."]


def test_every_listed_model_is_taken_as_it_is(drawn_fields):
    otsu = next(model for model in ns.models() if model.name == "otsu")

    by_model, by_name = (ns.segment(drawn_fields[0].image, one) for one in (otsu, "otsu"))

    assert np.array_equal(by_model.labels, by_name.labels)


def test_scores_of_several_fields_are_printed_as_one_table(drawn_fields):
    scores = [ns.score(field.labels, field.labels) for field in drawn_fields]

    told = str(ns.summarise(scores)).splitlines()

    assert told[0] == "3 fields, 1 of them without nuclei."
    assert "Nuclei   Precision at 0.50    1.000   1.000  1.000-1.000" in told
    assert max(map(len, told)) <= 80


def test_the_border_and_the_rule_can_be_chosen(drawn_fields):
    truth = np.zeros((20, 20), int)
    truth[:5, :5], truth[10:14, 10:14] = 1, 2

    assert ns.score(truth, np.where(truth == 1, 7, 0)).objects.recall == 0.5
    assert ns.score(truth, truth, ignore_border=True).areas.true == 1
    half = np.where((truth == 2) & (np.arange(20) < 12), 2, 0)
    assert ns.score(truth, half).objects.tp == 1
    assert ns.score(truth, half, preset="dsb2018").objects.tp == 0


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"diameter": "x"}, "diameter is 'x'; it must be 0 to 2000 px"),
        ({"min_size": 2.5}, "minimum size is 2.5; it must be a whole number, 0 to 1000 px"),
        ({"invert": "no"}, "dark nuclei is 'no'; it must be True or False"),
        ({"model": 5}, "model is 5; it must be the name of a model, its file's path, or a Model"),
        ({"device": None}, "device is None; it must be one of auto, cuda, mps, cpu"),
        ({"progress": None}, "progress is None; it must be a function of"),
        ({"image": "cells.tif"}, "image is the path 'cells.tif'; give the array that is read"),
        ({"image": [[1, 2], [3]]}, "image is no array of numbers"),
        ({"image": [["a"]]}, "convert the image to grey intensities"),
    ],
    ids=str,
)
def test_what_cannot_be_segmented_is_refused_in_words(arguments, reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        ns.segment(**{"image": np.zeros((8, 8)), "model": "otsu", **arguments})


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"threshold": "x"}, "the IoU threshold is x; it must be above 0 and at most 1"),
        ({"threshold": None}, "the IoU threshold is None; it must be above 0 and at most 1"),
        ({"preset": ["dsb2018"]}, "there is no preset ['dsb2018']; choose one of stardist"),
        ({"truth": "truth.tif"}, "truth is the path 'truth.tif'; give the array that is read"),
        ({"predicted": np.ones((4, 4))}, "the prediction holds float64 values; labels are whole"),
    ],
    ids=str,
)
@pytest.mark.parametrize("ignore_border", [False, True])
def test_what_cannot_be_scored_is_refused_in_words(arguments, reason, ignore_border):
    labels = np.ones((4, 4), int)
    with pytest.raises(ValueError, match=re.escape(reason)):
        ns.score(**{"truth": labels, "predicted": labels, **arguments}, ignore_border=ignore_border)


def test_what_cannot_be_drawn_or_opened_is_refused_in_words(tmp_path):
    for seed in ("x", -1, 1.5):
        with pytest.raises(ValueError, match=f"seed is {seed!r}; it must be a whole number from 0"):
            ns.sample(seed)
    with pytest.raises(ValueError, match="path is 5; it must be the path of a file or folder"):
        ns.open(5)
    with pytest.raises(ValueError, match="split is 5; it must be the name of one of the dataset"):
        ns.open(tmp_path, 5)


def test_a_threshold_of_numpy_is_taken():
    labels = np.ones((4, 4), int)

    assert ns.score(labels, labels, np.float32(0.5)).objects.f1 == 1


def test_channels_of_a_stack_are_not_taken_for_its_planes(tmp_path, drawn_fields):
    volume = np.stack([drawn_fields[0].image] * 3)
    both = np.stack([volume // 2, volume])
    tifffile.imwrite(tmp_path / "cells.ome.tif", both, metadata={"axes": "CZYX"})
    field = ns.open(tmp_path / "cells.ome.tif").fields[0]

    assert np.array_equal(field.read_image("2").data, volume)
    with pytest.raises(ValueError, match="CZ before height and width; choose the channel"):
        field.read_image()

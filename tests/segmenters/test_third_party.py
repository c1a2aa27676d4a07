"""Models that other packages add, by one file and an entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_nucseg.io.writers import read_provenance
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.api import Capabilities, all_but
from napari_nucseg.segmenters.model import LabelSegmenter, Model
from napari_nucseg.segmenters.parameters import Depth, SegmentParams
from tests.segmenters.third_party import NAME, example, install

OURS = [model.name for model in (catalogue.networks.BUNDLED, catalogue.otsu.MODEL)]
DECLARATION = (
    "from napari_nucseg.segmenters.model import Model\n"
    "MODEL = Model({name!r}, 'about', 'MIT', lambda model, device: None)\n"
)


@pytest.fixture
def command_line(site):
    """Run the command line in a process of its own, where the folder is looked into, too."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        paths = [str(site), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-m", "napari_nucseg", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def image(tmp_path, drawn_fields) -> Path:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, drawn_fields[0].image)
    return path


# The example of the documentation


@pytest.mark.slow
def test_the_example_is_listed_with_its_licence(site, command_line):
    install(site, NAME, example(), {NAME: "MODEL"})
    done = command_line("models")
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if f" {NAME} " in line)
    assert "A threshold that follows uneven light" in row
    assert "MIT" in row


@pytest.mark.slow
def test_the_example_segments_and_the_file_says_by_what(site, command_line, image, tmp_path):
    install(site, NAME, example(), {NAME: "MODEL"})
    line = ("segment", image, "--out", tmp_path / "out", "--model", NAME, "--diameter", 25)

    done = command_line(*line)

    assert done.returncode == 0, done.stderr
    assert tifffile.imread(tmp_path / "out" / "image.tif").max() > 5
    made = read_provenance(tmp_path / "out" / "image.tif")
    assert made["model"] == NAME
    assert made["licence"] == "MIT"
    assert made["versions"][NAME] == "1.2.3"
    assert "scipy" in made["versions"]
    assert "already exists" in command_line(*line).stdout


@pytest.mark.slow
def test_labels_of_an_earlier_version_are_made_anew(site, command_line, image, tmp_path):
    install(site, NAME, example(), {NAME: "MODEL"})
    line = ("segment", image, "--out", tmp_path / "out", "--model", NAME, "--diameter", 25)
    command_line(*line)
    metadata = next(site.glob("*.dist-info")) / "METADATA"
    metadata.write_text(metadata.read_text().replace("1.2.3", "1.3"))

    done = command_line(*line)

    assert "already exists" not in done.stdout
    assert read_provenance(tmp_path / "out" / "image.tif")["versions"][NAME] == "1.3"


@pytest.mark.slow
def test_what_it_cannot_do_is_refused_before_anything_is_written(
    site, command_line, image, tmp_path
):
    install(site, NAME, example(), {NAME: "MODEL"})
    line = ("segment", image, "--out", tmp_path / "out", "--model", NAME)

    without_diameter = command_line(*line)
    in_3d = command_line(*line, "--diameter", 25, "--volume", "3d")

    assert f"{NAME} needs the diameter of the nuclei" in without_diameter.stderr
    assert f"{NAME} works on planes, not in 3-D" in in_3d.stderr
    assert without_diameter.returncode == in_3d.returncode == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_image_that_is_too_large_for_it_is_refused_in_one_line(
    site, command_line, image, tmp_path, monkeypatch
):
    install(site, NAME, example(), {NAME: "MODEL"})
    monkeypatch.setenv("NUCSEG_MAX_PIXELS", "1000")
    out = tmp_path / "out"
    done = command_line("segment", image, "--out", out, "--model", NAME, "--diameter", 25)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert f"image.tif: {NAME} takes an image as a whole" in line
    assert "choose a model with a network, such as fluo-nuclei" in line
    assert not list(out.glob("*"))


# Packages that are broken


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import a_package_that_is_not_there", "No module named 'a_package_that_is_not_there'"),
        ("raise RuntimeError('no licence server')", "RuntimeError: no licence server"),
        ("OTHER = 1", "AttributeError"),
        ("MODEL = 'bright'", "is not a Model"),
        ("MODEL = (1, 2)", "is not a Model"),
        (DECLARATION.format(name="../outside"), "'../outside' is not a valid name for a model"),
        (DECLARATION.format(name=""), "'' is not a valid name for a model"),
    ],
)
def test_a_broken_package_is_named_and_the_others_stay(site, caplog, code, reason):
    install(site, "broken", code, {"bad": "MODEL"})
    install(site, NAME, example(), {NAME: "MODEL"})

    names = [model.name for model in catalogue.models()]

    assert names[-1] == NAME
    assert names[: len(OURS)] == OURS
    (record,) = caplog.records
    assert "broken: its model bad cannot be loaded" in record.message
    assert reason in record.message


@pytest.mark.slow
def test_the_command_line_tells_of_a_broken_package_in_a_line(site, command_line):
    install(site, "broken", "raise RuntimeError('no licence server')", {"bad": "MODEL"})
    done = command_line("models")
    assert done.returncode == 0
    assert "otsu" in done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert "broken: its model bad" in done.stderr


def test_a_name_that_is_taken_is_refused_by_name(site, caplog):
    install(site, "a-pretender", DECLARATION.format(name="otsu"), {"x": "MODEL"})
    install(site, "b-first", DECLARATION.format(name="new"), {"x": "MODEL"})
    install(site, "c-second", DECLARATION.format(name="new"), {"x": "MODEL"})

    names = [model.name for model in catalogue.models()]

    assert catalogue.find("otsu") is catalogue.otsu.MODEL
    assert names.count("new") == 1
    assert "b-first" in catalogue.find("new").libraries
    assert "a-pretender: its model otsu is left out" in caplog.text
    assert "c-second: its model new is left out" in caplog.text


def test_weights_of_others_are_not_taken_for_those_of_cellpose(site, caplog):
    remote = "remote=RemoteFile('cyto3', 'https://localhost/cyto3')"
    code = DECLARATION.format(name="mine").replace("None)", f"None, {remote})")
    code = f"from napari_nucseg.io.download import RemoteFile\n{code}"
    install(site, "careless", code, {"x": "MODEL"})

    assert "mine" not in [model.name for model in catalogue.models()]
    assert "careless: its model mine is left out" in caplog.text
    assert "file of cyto3" in caplog.text


def test_a_package_can_add_several(site):
    code = DECLARATION.format(name="one") + "ALL = (MODEL, Model('two', '', '', None))\n"
    install(site, "several", code, {"family": "ALL"})
    assert [model.name for model in catalogue.models()][-2:] == ["one", "two"]


# What a function returns


def segmenter(labels, **capabilities) -> LabelSegmenter:
    def load(model, device):
        return made

    model = Model("mine", "", "", load, capabilities=Capabilities(**capabilities))
    made = LabelSegmenter(model, lambda image, params, progress: labels)
    return made


def run(labels, **capabilities):
    params = SegmentParams(min_size=0)
    return segmenter(labels, **capabilities)(np.zeros((2, 3)), params, lambda *_: None)


@pytest.mark.parametrize(
    "labels",
    [np.zeros((3, 2), int), np.zeros((2, 3)), np.full((2, 3), -1), np.zeros((1, 2, 3), int), 7],
    ids=["turned", "floats", "negative", "stack", "number"],
)
def test_what_are_no_labels_of_the_image_is_refused(labels):
    with pytest.raises(ValueError, match="mine returned"):
        run(labels)


@pytest.mark.parametrize("kind", ["u1", "i8", "u8"])
def test_labels_of_any_integers_are_numbered(kind):
    labels = np.array([[0, 7, 7], [5, 0, np.iinfo(kind).max]], dtype=kind)
    assert np.array_equal(run(labels).labels, [[0, 1, 1], [2, 0, 3]])


def test_the_minimum_size_is_followed_without_another_call():
    result = run(np.array([[0, 7, 7], [5, 0, 9]]))
    assert np.array_equal(
        result.relabelled(SegmentParams(min_size=2)).labels, [[0, 1, 1], [0, 0, 0]]
    )


def test_a_model_is_refused_what_it_cannot_do():
    with pytest.raises(ValueError, match="mine needs the diameter"):
        run(np.zeros((2, 3), int), needs_diameter=True)
    model = segmenter(None).model
    model.check(SegmentParams(), Depth.STITCHED)
    with pytest.raises(ValueError, match="mine works on planes"):
        model.check(SegmentParams(), Depth.IN_3D)


def test_a_parameter_that_is_misspelt_is_told():
    with pytest.raises(
        ValueError, match="diamter: no such parameter; choose among augment, batch_size"
    ):
        all_but("diamter")

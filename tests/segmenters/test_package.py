"""Trained weights as a BioImage.IO package: valid, whole, and it gives what the network gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import onnxruntime
import pytest
import torch

from napari_nucseg.segmenters import networks
from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.training.package import scale_range, write_package

BUNDLED = networks.BUNDLED.path
VALIDATE = """
import sys
from bioimageio.spec import load_description
found = load_description(sys.argv[1])
summary = found.validation_summary
print(type(found).__name__, summary.status, [one.errors for one in summary.details])
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The package of a file of weights that a user trained."""
    weights = tmp_path_factory.mktemp("package") / "my nuclei.v2.safetensors"
    shutil.copy(BUNDLED, weights)
    return write_package(weights)


@pytest.fixture(scope="module")
def opened(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opened")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


def test_it_is_valid_for_the_library_of_the_format(package):
    pytest.importorskip("bioimageio.spec", reason="bioimageio.spec is not installed")
    # in a process of its own, as that library leaves files open
    done = subprocess.run(
        [sys.executable, "-c", VALIDATE, str(package)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ModelDescr valid-format"), done.stdout


def test_what_it_describes_lies_in_it(package, opened):
    described = json.loads((opened / "bioimageio.yaml").read_text())
    assert described["type"] == "model"
    assert described["format_version"].startswith("0.5")
    assert package.name == "my nuclei.v2.bioimageio.zip"
    assert described["name"] == "Nuclei my nuclei v2"
    named = [
        described["documentation"],
        described["weights"]["onnx"]["source"],
        *(tensor["test_tensor"]["source"] for tensor in described["inputs"]),
        *(tensor["test_tensor"]["source"] for tensor in described["outputs"]),
    ]
    assert all((opened / name).is_file() for name in named)


def test_its_network_gives_the_output_that_it_says_and_that_of_the_weights(opened):
    described = json.loads((opened / "bioimageio.yaml").read_text())
    step = described["inputs"][0]["preprocessing"][0]
    assert step["id"] == "scale_range"
    image = scale_range(np.load(opened / "input.npy"))
    session = onnxruntime.InferenceSession(
        opened / "weights.onnx", providers=["CPUExecutionProvider"]
    )
    found = session.run(None, {session.get_inputs()[0].name: image})[0]
    assert np.abs(found - np.load(opened / "output.npy")).max() < 1e-4
    with torch.inference_mode():
        expected = load_unet(BUNDLED)(torch.from_numpy(image)).numpy()
    assert np.abs(found - expected).max() < 1e-3
    channels = described["outputs"][0]["axes"][1]["channel_names"]
    assert found.shape == (1, len(channels), *image.shape[2:])


def test_a_network_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "mine.pt"
    torch.save(load_unet(BUNDLED).state_dict(), path)
    with pytest.raises(ValueError, match=r"mine\.pt: only networks like fluo-nuclei, saved as"):
        write_package(path)
    assert sorted(tmp_path.iterdir()) == [path]

"""A torch whose libraries do not load."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from napari_nucseg.segmenters import catalogue, networks
from napari_nucseg.segmenters.devices import TorchNotLoaded, load_torch
from tests.segmenters.random_nets import write_residual_unet

WINERROR = (
    "[WinError 1114] A dynamic link library (DLL) initialization routine failed. "
    "Error loading c10.dll or one of its dependencies."
)


@pytest.fixture
def broken_torch(tmp_path, monkeypatch):
    """A function that puts a torch in the place of ours, which raises when it is imported."""

    def install(raising: str) -> None:
        (tmp_path / "torch.py").write_text(f"raise {raising}\n")
        kept = {n: m for n, m in sys.modules.items() if n.split(".")[0] == "torch"}
        for name in kept:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.syspath_prepend(tmp_path)

    return install


@pytest.mark.parametrize(
    "raising",
    [f"OSError({WINERROR!r})", "ImportError('DLL load failed while importing _C')"],
    ids=["WinError 1114", "DLL load failed"],
)
def test_on_windows_the_message_says_what_to_install(broken_torch, monkeypatch, raising):
    broken_torch(raising)
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(TorchNotLoaded) as failure:
        load_torch()
    message = str(failure.value)
    assert "DLL" in message
    assert "Microsoft Visual C++ Redistributable" in message
    assert "before Qt" in message
    assert "CPU build" in message
    assert catalogue.BUNDLED in message
    assert "\n" not in message


def test_elsewhere_the_message_names_the_library_and_not_windows(broken_torch):
    broken_torch("OSError('libcudart.so.13: cannot open shared object file')")
    with pytest.raises(TorchNotLoaded, match=r"libcudart\.so\.13.*reinstall torch") as failure:
        load_torch()
    assert "Microsoft" not in str(failure.value)


def test_a_torch_that_is_not_there_is_named_as_python_does(broken_torch):
    broken_torch("ModuleNotFoundError(\"No module named 'torch'\")")
    with pytest.raises(ModuleNotFoundError, match="No module named 'torch'"):
        load_torch()


def test_a_model_that_needs_torch_is_refused_with_what_to_do(broken_torch, tmp_path):
    weights = write_residual_unet(tmp_path / "by torch")
    model = replace(catalogue.find(catalogue.BUNDLED), file=weights, onnx=None, name="by torch")
    broken_torch(f"OSError({WINERROR!r})")
    with pytest.raises(TorchNotLoaded, match="WinError 1114"):
        catalogue.load(model, "cpu")
    with pytest.raises(TorchNotLoaded, match="WinError 1114"):
        networks.check(model.path)


@pytest.mark.slow
def test_on_the_command_line_it_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text(f"raise OSError({WINERROR!r})\n")
    weights = Path(catalogue.find(catalogue.BUNDLED).path)
    (tmp_path / "image.tif").write_bytes(b"")
    line = ["segment", "image.tif", "-o", "out", "--model", str(weights), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-m", "napari_nucseg", *line],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("napari-nucseg: torch is installed but cannot be loaded")
    assert done.stderr.count("\n") == 1

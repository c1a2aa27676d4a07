"""What the commands have in common: where they write, and the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console

from napari_nucseg.cli_progress import follow_with, transferring
from napari_nucseg.core.parameters import SegmentParams
from napari_nucseg.core.segmenting import Segmenter
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.model import Model

console = Console(markup=False, highlight=False, soft_wrap=True)


def prepare(
    name: str, device: str, chosen: dict[str, Any] | None
) -> tuple[Segmenter, SegmentParams]:
    """Load a model, fetching it if need be, and complete the chosen parameters by its own."""
    model = catalogue.find(name)
    params = replace(model.defaults, **(chosen or {}))
    fetch_weights(model, device)
    return catalogue.load(model, device), params


def fetch_weights(model: Model, device: str) -> None:
    """Download the weights of a model, unless they are here or the device is not."""
    if model.is_ready:
        return
    catalogue.require_device(device)
    assert model.remote is not None
    console.print(
        f"Downloading {model.name}: {model.megabytes} MB from {model.remote.url} to {model.path}",
    )
    with transferring() as progress:
        follow = follow_with(progress, "Download")
        catalogue.download(model, lambda done, total: follow(done, total or 0, ""))

"""What the commands have in common: where they write, and the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console

from napari_nucseg.batch.plan import Setup
from napari_nucseg.cli.options import errors, follow_with, transferring
from napari_nucseg.metrics.presets import DEFAULT_RULE, ScoreRule
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.model import Model

console = Console(markup=False, highlight=False, soft_wrap=True)


def warn(line: str) -> None:
    """Tell on standard error of what need not be wrong."""
    errors.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def prepare(
    name: str, device: str, chosen: dict[str, Any] | None, rule: ScoreRule = DEFAULT_RULE
) -> Setup:
    """Set up a model, fetching it if need be, and complete the chosen parameters by its own."""
    from napari_nucseg.batch.run_setup import set_up

    model = catalogue.find(name)
    fetch_weights(model, device)
    return set_up(model, device, chosen or {}, rule)


def refuse_failures(errors: Sequence[Exception], count: int) -> None:
    """Tell which of several images failed, with exit code 1; if all did, raise the first error."""
    if len(errors) == count:
        raise errors[0]
    for error in errors:
        console.print(str(error), style="red")
    if errors:
        console.print(f"{len(errors)} of {count} images failed, the others are done", style="red")
        raise typer.Exit(1)


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

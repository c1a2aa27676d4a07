"""A log that TensorBoard shows, written by torch if the package tensorboard is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from napari_nucseg.segmenters.devices import load_torch

PACKAGE = "tensorboard"


def check_tensorboard() -> None:
    """Refuse to log for TensorBoard where it is not installed.

    Raises
    ------
    ValueError
        Saying how to install it.
    """
    if find_spec(PACKAGE) is None:
        raise ValueError(
            f"the package {PACKAGE} is not installed, so no log can be written for it; install it "
            f"with: pip install {PACKAGE}, or leave out --tensorboard"
        )


def log_scalars(folder: Path, batch: int, values: Mapping[str, float | None]) -> None:
    """Add values to the log in a folder; None is left out.

    Parameters
    ----------
    folder : Path
        Folder that ``tensorboard --logdir`` is given.
    batch : int
        Number of batches that were learned from.
    values : mapping of str to float or None
        Values by their names.
    """
    load_torch()
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, batch)

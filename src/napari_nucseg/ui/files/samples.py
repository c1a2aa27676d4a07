"""Sample data: a drawn field that is always there, and BBBC039 by download with progress."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QApplication

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.download import DownloadError
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.ui.files.opening import (
    LayerData,
    Opened,
    WorkDialog,
    read_ahead,
    read_and_wait,
    wait_for,
)
from napari_nucseg.ui.files.reader import read_dataset
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, LayerRecord, tag

SYNTHETIC = "U2OS-like field"


class DownloadDialog(WorkDialog):
    """Says how far the download is.

    Parameters
    ----------
    folder : Path
        Folder that the dataset is downloaded to.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__("BBBC039", after=0)
        self._folder = folder
        self.setMaximum(100)
        self.show_progress(0, 0, "")

    def show_progress(self, done: int, total: int, what: str) -> None:
        """Show bytes done and in all."""
        amount = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else "connecting"
        self.setLabelText(f"Downloading BBBC039: {amount}\n{self._folder}")
        self.setValue(100 * done // max(total, 1))


def download_in_window(folder: Path) -> None:
    """Download the dataset and return when it is there, as napari wants a sample's layers at once.

    Parameters
    ----------
    folder : Path
        Folder that the dataset is downloaded to.

    Raises
    ------
    OSError
        If it cannot be had, the download was cancelled, or another is on its way.
    """
    from napari_nucseg.io.bbbc039 import download_dataset

    _refuse_a_second()
    dialog = DownloadDialog(folder)
    dialog.show()
    try:
        wait_for(Job(lambda progress: download_dataset(folder, progress)), dialog)
    except Stopped:
        raise DownloadError(
            "BBBC039 was not opened, because the download was cancelled. What has arrived is "
            "kept. Open the sample again to go on."
        ) from None


def _refuse_a_second() -> None:
    for window in QApplication.topLevelWidgets():
        if isinstance(window, DownloadDialog) and window.isVisible():
            window.raise_()
            raise DownloadError(
                "BBBC039 is being downloaded already. It opens when the download is done."
            )


def synthetic() -> list[LayerData]:
    """Draw a field of U2OS-like nuclei with its exact ground truth, with the window alive."""
    return read_and_wait(SYNTHETIC, partial(read_ahead, _draw)).told()


def _draw(progress: Progress) -> Opened:
    from napari_nucseg.io.synthetic import PIXEL_SIZE_UM, draw_field  # not in the window's thread

    field = draw_field()
    placed: dict[str, Any] = {
        "scale": (PIXEL_SIZE_UM, PIXEL_SIZE_UM),
        "units": ("um", "um"),
        "axis_labels": ("y", "x"),
    }
    stems = (SYNTHETIC,)
    image = {"name": SYNTHETIC, "metadata": tag(LayerRecord(IMAGE, stems)), **placed}
    truth = {
        "name": f"{SYNTHETIC} {GROUND_TRUTH}",
        "metadata": tag(LayerRecord(GROUND_TRUTH, stems)),
        **placed,
    }
    return Opened([(field.image, image, "image"), (field.labels, truth, "labels")])


def bbbc039() -> list[LayerData]:
    """Open BBBC039; when it is not here yet, download it first, with the window alive.

    Raises
    ------
    OSError
        If it cannot be had, the download was cancelled, or another is on its way.
    """
    from napari_nucseg.io.bbbc039 import dataset_folder, missing_archives

    folder = dataset_folder()
    if missing_archives(folder):
        download_in_window(folder)

    def read(progress: Progress) -> Opened:
        return read_dataset(open_dataset(folder), progress)

    return read_and_wait(folder.name, partial(read_ahead, read)).told()

"""Sample data: a drawn field that is always there, and BBBC039 by download with progress."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QApplication, QMainWindow, QProgressDialog, QWidget

from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.download import DownloadError
from napari_nucseg.io.synthetic import PIXEL_SIZE_UM, draw_field
from napari_nucseg.ui.files.reader import LayerData, read_dataset
from napari_nucseg.ui.jobs import Job
from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, LayerRecord, tag

SYNTHETIC = "U2OS-like field"


class DownloadDialog(QProgressDialog):
    """Says how far the download is.

    Parameters
    ----------
    folder : Path
        Folder that the dataset is downloaded to.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(shown_window())  # which lends it its looks, and takes it along
        self._folder = folder
        self.setWindowTitle("BBBC039")
        self.setMinimumDuration(0)
        self.setAutoReset(False)
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
    loop, dialog = QEventLoop(), DownloadDialog(folder)
    job = Job(lambda progress: download_dataset(folder, progress))
    failures: list[Exception] = []

    def cancel() -> None:
        job.abandon()  # a stalled connection would keep it from stopping at once
        loop.quit()

    job.progressed.connect(dialog.show_progress)
    job.failed.connect(failures.append)
    job.finished.connect(dialog.deleteLater)
    job.finished.connect(loop.quit)
    dialog.canceled.connect(dialog.deleteLater)
    dialog.canceled.connect(cancel)
    dialog.destroyed.connect(cancel)  # with the window
    dialog.show()
    job.start()
    loop.exec()
    if failures:
        raise failures[0]
    if job.is_stopping:
        raise DownloadError(
            "BBBC039 was not opened, because the download was cancelled. What has arrived is "
            "kept. Open the sample again to go on."
        )


def shown_window() -> QWidget | None:
    """Return the window that the user is in, else one that can be seen."""
    return QApplication.activeWindow() or main_window()


def main_window() -> QWidget | None:
    """Return a window of napari that can be seen."""
    windows = QApplication.topLevelWidgets()
    seen = (one for one in windows if isinstance(one, QMainWindow) and one.isVisible())
    return next(seen, None)


def _refuse_a_second() -> None:
    for window in QApplication.topLevelWidgets():
        if isinstance(window, DownloadDialog) and window.isVisible():
            window.raise_()
            raise DownloadError(
                "BBBC039 is being downloaded already. It opens when the download is done."
            )


def synthetic() -> list[LayerData]:
    """Draw a field of U2OS-like nuclei with its exact ground truth."""
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
    return [(field.image, image, "image"), (field.labels, truth, "labels")]


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
    return read_dataset(open_dataset(folder)).told()

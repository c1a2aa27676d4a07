"""Sample data: a drawn field that is always there, and BBBC039 by download."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.utils import progress
from napari.utils.notifications import show_info
from qtpy.QtCore import QEventLoop

from napari_nucseg.core.bbbc039 import open_dataset
from napari_nucseg.core.synthetic import PIXEL_SIZE_UM, draw_field
from napari_nucseg.ui.jobs import Job, Work
from napari_nucseg.ui.layers import GROUND_TRUTH, IMAGE, LayerRecord, tag
from napari_nucseg.ui.reader import LayerData, read_dataset

SYNTHETIC = "U2OS-like field"


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
    """Open BBBC039; when it is not here yet, download it first, with the window alive."""
    from napari_nucseg.runs.download import dataset_folder, download_dataset, missing_archives

    folder = dataset_folder()
    if missing_archives(folder):
        show_info(f"Downloading BBBC039 to {folder}; the activity button shows how far it is")
        with progress(total=100, desc="BBBC039") as bar:
            _wait_for(
                lambda tell: download_dataset(folder, lambda done, of: tell(done, of, "")),
                lambda done, of, what: bar.update(100 * done // of - bar.n),
            )
    return read_dataset(open_dataset(folder))


def _wait_for(work: Work, on_progress: Callable[[int, int, str], None]) -> None:
    """Do work in a thread while the window goes on: napari wants a sample's layers at once."""
    loop, job = QEventLoop(), Job(work)
    failures: list[Exception] = []
    job.progressed.connect(on_progress)
    job.failed.connect(failures.append)
    job.finished.connect(loop.quit)
    job.start()
    loop.exec()
    if failures:
        raise failures[0]

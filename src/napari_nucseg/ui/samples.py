"""Sample data: a drawn field that is always there, and BBBC039 by download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import napari
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils import progress
from napari.utils.notifications import show_info

from napari_nucseg.core.bbbc039 import open_dataset
from napari_nucseg.core.synthetic import PIXEL_SIZE_UM, draw_field
from napari_nucseg.ui.jobs import Job, notify
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
    """Open BBBC039; when it is not here yet, download it first, in the background."""
    from napari_nucseg.runs.download import dataset_folder, missing_archives

    folder = dataset_folder()
    if not missing_archives(folder):
        return read_dataset(open_dataset(folder))
    viewer = napari.current_viewer()
    if viewer is not None:
        _start_download(folder, viewer)
    return []


def _start_download(folder: Path, viewer: ViewerModel) -> Job:
    from napari_nucseg.runs.download import download_dataset

    show_info(f"Downloading BBBC039 to {folder}; it opens by itself when it is here")
    bar = progress(total=100, desc="BBBC039")
    job = Job(lambda report: download_dataset(folder, lambda done, of: report(done, of, "")))
    job.progressed.connect(lambda done, of, what: bar.update(100 * done // of - bar.n))
    job.returned.connect(lambda opened: _add(viewer, read_dataset(open_dataset(opened))))
    job.failed.connect(notify)
    job.finished.connect(bar.close)
    job.start()
    return job


def _add(viewer: ViewerModel, layers: list[LayerData]) -> None:
    for data, keywords, kind in layers:
        viewer.add_layer(Layer.create(data, keywords, kind))

"""Make the documentation's screenshots: both panels on a real field, in a window of 1280 x 800.

    NUCSEG_BBBC039=/path/to/BBBC039 make screenshots

Without ``NUCSEG_BBBC039`` the synthetic sample field is shown.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, QTimer
from scipy import ndimage as ndi

from napari_nucseg.cli.main import PLUGIN, SCORE, SEGMENT
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.layer_fields import read_plane
from napari_nucseg.ui.layers import PREDICTION, LayerRecord, record_of, role_of, tag
from napari_nucseg.ui.mending_tools import SPLIT
from napari_nucseg.ui.score.canvas import show_box
from napari_nucseg.ui.score.panel import COMPARE, GALLERY, PLOTS, ScorePanel
from napari_nucseg.ui.score.plots import AREAS, CURVES, FIELDS, IOUS
from napari_nucseg.ui.segment.form import Scope
from napari_nucseg.ui.train.fields import AFTER, BEFORE

IMAGES = Path(__file__).parents[1] / "docs" / "images"
ZOOM = 1.9
MINUTES, FIELDS_TO_LEARN = 5, 4
"""How long a model is taught for the picture, and by how many fields."""
BUNDLED, RIVAL = catalogue.BUNDLED, "otsu"
PICTURES = {CURVES: "curves", IOUS: "ious", FIELDS: "fields", AREAS: "areas"}


def main() -> None:
    """Take pictures of all panels, of a dataset or of the synthetic field."""
    folder = os.environ.get("NUCSEG_BBBC039")
    with TemporaryDirectory(prefix="demo-") as place:
        dataset = None
        if folder:
            dataset = Path(place) / "BBBC039"  # whatever the folder is called here
            dataset.symlink_to(folder)
        shoot_panels(dataset)
        shoot_training()
        if dataset is not None:
            shoot_run(dataset, Path(place) / "results")


def shoot_panels(dataset: Path | None) -> None:
    """Segment fields, score them, and take pictures on the way."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    if dataset is not None:
        viewer.open(str(dataset / "metadata" / "validation.txt"), plugin=PLUGIN)
        viewer.dims.set_current_step(0, 7)
        viewer.layers[0].contrast_limits = (100, 1500)
    else:
        viewer.open_sample(PLUGIN, "synthetic")
    dock, segment = viewer.window.add_plugin_dock_widget(PLUGIN, SEGMENT)
    score_dock, score = viewer.window.add_plugin_dock_widget(PLUGIN, SCORE, tabify=True)
    viewer.layers[1].visible = False

    segment.model_selector.use_defaults()
    segment.start()
    wait(lambda: not segment.running)
    if dataset is not None:
        segment.form.scope.value = Scope.ALL
    segment.start()
    wait(lambda: not segment.running)
    wait(lambda: not score.running)
    dock.raise_()
    shoot(viewer, "segment_panel")

    camera = viewer.scene.camera
    usual = camera.center, camera.zoom
    segment.result.show_as.value = "flow error"
    segment.result.doubtful.native.click()
    shoot(viewer, "segment_panel_doubt")
    segment.result.begin_anew()  # takes the outline away

    segment.result.show_as.value = "outlines"
    camera.center, camera.zoom = usual
    score_dock.raise_()
    score.show_errors()
    shoot(viewer, "score_panel_errors")

    viewer.layers[-1].visible = False
    viewer.scene.camera.zoom *= ZOOM
    add_rival(viewer)
    score.prediction.value = next(
        one for one in score.prediction.choices if one.name != RIVAL and role_of(one) == PREDICTION
    )
    wait(lambda: score.state.is_there and not score.running)
    shoot_errors(viewer, score)
    viewer.close()


def shoot_training() -> None:
    """Teach a model nuclei that are stained at their rims alone, and take a picture of it."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    for seed in range(FIELDS_TO_LEARN):
        field = draw_field(seed, shape=(260, 260), nuclei=25)
        rims = ndi.gaussian_gradient_magnitude(field.image.astype(np.float32), 1.5)
        viewer.add_image(rims, name=f"rims {seed + 1}")
        viewer.add_labels(field.labels, name=f"rims {seed + 1} corrected", visible=False)
    _, train = viewer.window.add_plugin_dock_widget(PLUGIN, "Train on labels")
    with TemporaryDirectory(prefix="demo-") as folder:
        train.form.out.value = Path(folder) / "my-nuclei.safetensors"
        train.form.minutes.value = MINUTES
        train.form.values["crop"].value, train.form.values["batch_size"].value = 128, 4
        train.start()
        wait(lambda: not train.running)
        (held,) = (one.name for one in viewer.layers if f"{one.name} {BEFORE}" in viewer.layers)
        for layer in viewer.layers:
            layer.visible = layer.name in (held, f"{held} {BEFORE}", f"{held} {AFTER}")
        shoot(viewer, "train_panel")
        viewer.close()


def shoot_run(dataset: Path, results: Path) -> None:
    """Run two models over a split, and take a picture of the panel with the results shown."""
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1280, 800)
    _, run = viewer.window.add_plugin_dock_widget(PLUGIN, "Run on dataset")
    run.form.dataset.value, run.form.out.value = dataset, results
    run.form.split.value = "validation"
    run.form.models.value = [BUNDLED, RIVAL]
    run.start()
    wait(lambda: not run.running)
    run.show_results()
    wait(lambda: len(viewer.layers) == 6)  # image, truth, and labels and errors of each model
    viewer.dims.set_current_step(0, 7)
    shoot(viewer, "run_panel")
    viewer.close()


def shoot_errors(viewer: napari.Viewer, score: ScorePanel) -> None:
    """Take pictures of the table, the other overlays, the plots and the comparison."""
    score.buttons.toggle_errors_only()
    score.tabs.setCurrentWidget(score.objects)
    score.buttons.step(1)
    shoot(viewer, "errors_nuclei")
    viewer.reset_view()
    shoot(viewer, "errors_only")
    score.buttons.toggle_errors_only()
    hide_overlays(viewer)
    score.buttons.iou.native.click()
    shoot(viewer, "errors_iou")
    score.tabs.setCurrentIndex(PLOTS)
    for kind, name in PICTURES.items():
        score.plots.kind.setCurrentText(kind)
        wait(lambda: score.plots.view.is_drawn)
        shoot(viewer, f"plot_{name}")
    hide_overlays(viewer)
    score.tabs.setCurrentIndex(COMPARE)
    score.comparison.compare()
    wait(lambda: bool(score.comparison.scores.all_scored) and not score.running)
    score.comparison.show_differences()
    shoot(viewer, "errors_compare")
    hide_overlays(viewer)
    score.tabs.setCurrentIndex(GALLERY)
    score.buttons.step(1)
    shoot(viewer, "errors_gallery")
    score.tabs.setCurrentIndex(0)
    shoot_mending(viewer, score)


def shoot_mending(viewer: napari.Viewer, score: ScorePanel) -> None:
    """Take a picture of the line that is about to split the largest nucleus of the field."""
    layer, plane = score.state.prediction, score.state.plane
    labels = read_plane(layer.data, plane)
    rows, columns = np.nonzero(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    layer.visible = True
    viewer.layers.selection = {layer}
    show_box(viewer, layer, [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    score.mending.buttons[SPLIT].click()
    height, width = viewer.canvas.size
    steps = np.linspace(0.36, 0.64, 20)
    line = [(width * (0.5 + 0.02 * np.sin(9 * step)), height * step) for step in steps]
    score.mending.mender.trace.draw(line, is_closed=False)
    shoot(viewer, "errors_mending")
    score.mending.mender.leave()


def add_rival(viewer: napari.Viewer) -> None:
    """Add a second prediction, by the model that needs no network."""
    image = viewer.layers[0]
    model = catalogue.find(RIVAL)
    segment = catalogue.load(model, "cpu")
    fields = np.asarray(image.data).reshape(-1, *image.data.shape[-2:])
    results = [segment(field, model.defaults, lambda done, total: None) for field in fields]
    record = LayerRecord(
        PREDICTION,
        stems=record_of(image).stems,
        source=str(image.unique_id),
        provenance=results[0].provenance.as_dict(),
    )
    placed = {key: getattr(image, key) for key in ("scale", "translate", "units", "axis_labels")}
    shape = image.data.shape
    viewer.add_labels(
        np.stack([result.labels for result in results]).reshape(shape),
        name=RIVAL,
        metadata=tag(record),
        visible=False,
        **placed,
    )


def hide_overlays(viewer: napari.Viewer) -> None:
    """Leave the image alone."""
    for layer in viewer.layers[1:]:
        layer.visible = False


def shoot(viewer: napari.Viewer, name: str) -> None:
    """Save the whole window once it has settled."""
    settle = QEventLoop()
    QTimer.singleShot(1500, settle.quit)
    settle.exec()
    IMAGES.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(IMAGES / f"{name}.png"), canvas_only=False, flash=False)
    print(IMAGES / f"{name}.png")


def wait(until: Callable[[], bool]) -> None:
    """Let the window live until something is so."""
    loop, timer = QEventLoop(), QTimer()
    timer.timeout.connect(lambda: loop.quit() if until() else None)
    timer.start(50)
    loop.exec()


if __name__ == "__main__":
    main()

"""What the menus do: open a panel with the selected layer in it, show errors, open a dataset.

They ask for the viewer themselves: what napari would hand over is a proxy, which panels that keep
it could not tell from another viewer, nor its layers from other layers.

What a panel imports is imported in a thread first, as that takes half a second.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

import napari
from magicgui.widgets.bases import Widget
from napari.layers import Image, Labels
from napari.settings import get_plugin_settings
from napari.utils.notifications import show_info
from qtpy.QtCore import QEventLoop
from qtpy.QtWidgets import QFileDialog, QInputDialog
from superqt.utils import create_worker

from napari_nucseg.ui.layer_fields import itself
from napari_nucseg.ui.layers import AGREEMENT, ERRORS, GROUND_TRUTH, PREDICTION, record_of, role_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucseg.io.plates import PlateOptions
    from napari_nucseg.progress import Progress
    from napari_nucseg.ui.files.opening import Opened
    from napari_nucseg.ui.score.panel import ScorePanel
    from napari_nucseg.ui.segment.panel import SegmentPanel
    from napari_nucseg.ui.train.panel import TrainPanel

    Read = Callable[[Path, PlateOptions, Progress], Opened]

SEGMENT = "Segment nuclei (Nuclei segmentation)"
SCORE = "Score nuclei (Nuclei segmentation)"
TRAIN = "Train on labels (Nuclei segmentation)"
RUN = "Run on dataset (Nuclei segmentation)"
"""Names of the docks, those that napari's own menu gives to the panels."""


class PanelToLoad(Widget):
    """Stands for a panel in napari's manifest; its module is loaded when a panel is made.

    It is a class, because napari tells those alone in which window they will be. A function could
    take no other than the one used last.
    """

    where: ClassVar[str]
    """Module and name of the panel's class."""

    def __new__(cls, napari_viewer: napari.Viewer) -> Any:
        """Make the panel, which is of another class."""
        return cls.load()(itself(napari_viewer))

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        """Say what is needed; it is never called."""

    @classmethod
    def load(cls) -> Any:
        """Load the module of the panel, and return the panel's class."""
        module, _, name = cls.where.rpartition(".")
        return getattr(_load(module), name)


class SegmentPanelToLoad(PanelToLoad):
    """The panel that segments."""

    where = "segment.panel.SegmentPanel"


class ScorePanelToLoad(PanelToLoad):
    """The panel that scores."""

    where = "score.panel.ScorePanel"


class TrainPanelToLoad(PanelToLoad):
    """The panel that teaches a model."""

    where = "train.panel.TrainPanel"


class RunPanelToLoad(PanelToLoad):
    """The panel that runs models over a dataset."""

    where = "run.panel.RunPanel"


def segment_selected() -> None:
    """Open the segment panel with the selected image."""
    viewer = _viewer()
    panel: SegmentPanel = _show_panel(viewer, SegmentPanelToLoad.load(), SEGMENT)
    selected = viewer.layers.selection.active
    if isinstance(selected, Image) and selected in panel.form.image.choices:
        panel.form.image.value = selected


def train_selected() -> None:
    """Open the panel that teaches a model, with the selected labels or images ticked."""
    viewer = _viewer()
    panel: TrainPanel = _show_panel(viewer, TrainPanelToLoad.load(), TRAIN)
    panel.choose(viewer.layers.selection)


def score_selected() -> None:
    """Open the score panel with the selected labels, as prediction or as ground truth."""
    viewer = _viewer()
    panel: ScorePanel = _show_panel(viewer, ScorePanelToLoad.load(), SCORE)
    selected = viewer.layers.selection.active
    if selected in panel.prediction.choices:
        panel.prediction.value = selected
    elif selected is not None and role_of(selected) == GROUND_TRUTH:
        panel.truth.value = selected


def show_errors() -> None:
    """Outline the errors of the selected labels, or of those made last, in their verdicts."""
    viewer = _viewer()
    prediction = _prediction(viewer)
    if prediction is None:
        show_info("There is no prediction yet. Segment an image first, or select a Labels layer.")
        return
    panel: ScorePanel = _show_panel(viewer, ScorePanelToLoad.load(), SCORE)
    panel.prediction.value = prediction
    if panel.truth.value is None:
        show_info(f"Choose the ground truth of {prediction.name} in the panel.")
    show_errors_when_compared(panel)
    panel.start()


def show_errors_when_compared(panel: ScorePanel) -> None:
    """Show the errors as soon as the panel has scores.

    Parameters
    ----------
    panel : ScorePanel
        The score panel, which is about to compare layers.
    """

    def show() -> None:
        panel.compared.disconnect(show)
        panel.show_errors()

    panel.compared.connect(show)


def open_dataset_folder() -> None:
    """Ask for a folder, and open the dataset in it as stacks, in the background."""
    viewer = _viewer()
    folder = QFileDialog.getExistingDirectory(None, "Open dataset")
    if folder:
        _open(viewer, Path(folder), _read_dataset)


def open_folder_of_images() -> None:
    """Ask for a folder, and open the images in it as stacks, in the background.

    A folder that is a dataset is opened as one, with its ground truth.
    """
    viewer = _viewer()
    chosen = QFileDialog.getExistingDirectory(None, "Open folder of images")
    if chosen:
        _open(viewer, Path(chosen), _read_folder)


def run_on_dataset() -> None:
    """Open the panel that runs models over a dataset."""
    _show_panel(_viewer(), RunPanelToLoad.load(), RUN)


def _open(viewer: napari.Viewer, folder: Path, read: Read, **plate: str) -> None:
    """Open a folder; of a plate, ask for what has to be chosen, and open it again."""
    _load("files.image_folder")
    from napari_nucseg.io.plates import ChoiceNeededError, PlateOptions
    from napari_nucseg.ui.files.opening import open_in_window
    from napari_nucseg.ui.jobs import tell_user

    def ask(error: Exception) -> None:
        if not isinstance(error, ChoiceNeededError):
            tell_user(error)
            return
        asked = f"{error.reason}."
        chosen, is_sure = QInputDialog.getItem(
            None, f"Open {folder.name}", asked, error.choices, 0, False
        )
        if is_sure:
            _open(viewer, folder, read, **{**plate, error.option: chosen})

    open_in_window(viewer, folder.name, partial(read, folder, PlateOptions(**plate)), ask)


def _read_dataset(folder: Path, plate: PlateOptions, progress: Progress) -> Opened:
    from napari_nucseg.io.datasets import open_dataset
    from napari_nucseg.ui.files.reader import read_dataset

    return read_dataset(open_dataset(folder, plate=plate), progress)


def _read_folder(folder: Path, plate: PlateOptions, progress: Progress) -> Opened:
    from napari_nucseg.io.layouts import holds_dataset
    from napari_nucseg.io.limits import is_zarr
    from napari_nucseg.ui.files.image_folder import read_image_folder

    if is_zarr(folder) or holds_dataset(folder):
        return _read_dataset(folder, plate, progress)
    return read_image_folder(folder, progress)


def _load(module: str) -> ModuleType:
    """Load a module in a thread; the window is drawn meanwhile, and what is clicked comes after."""
    loop = QEventLoop()
    name = f"napari_nucseg.ui.{module}"
    # What fails is told by the import that follows
    worker: Any = create_worker(_import, name, _start_thread=False, _ignore_errors=True)
    worker.finished.connect(loop.quit)
    worker.start()
    loop.exec(QEventLoop.ProcessEventsFlag.ExcludeUserInputEvents)
    return import_module(name)


def _import(name: str) -> None:
    get_plugin_settings("napari-nucseg")  # for which napari reads every plugin's manifest at first
    import_module(name)


def _viewer() -> napari.Viewer:
    viewer = napari.current_viewer()
    if viewer is None:
        raise RuntimeError("there is no napari window; open one first")
    return viewer


def _show_panel(viewer: napari.Viewer, kind: Any, name: str) -> Any:
    """Return the panel of a kind, opened or brought to the front."""
    docked = viewer.window.dock_widgets.values()
    panel = next((widget for widget in docked if isinstance(widget, kind)), None)
    if panel is None:
        panel = kind(viewer)
        viewer.window.add_dock_widget(panel, name=name, tabify=True)
    panel.come_to_front()
    return panel


def _prediction(viewer: napari.Viewer) -> Labels | None:
    """Return the selected labels, or those an overlay was made of, or the prediction on top."""
    selected = viewer.layers.selection.active
    record = None if selected is None else record_of(selected)
    if record is not None and record.role in (ERRORS, AGREEMENT):
        sources = (layer for layer in viewer.layers if str(layer.unique_id) == record.source)
        selected = next(sources, None)
    if isinstance(selected, Labels) and role_of(selected) != GROUND_TRUTH:
        return selected
    made = (layer for layer in reversed(viewer.layers) if role_of(layer) == PREDICTION)
    return next(made, None)

"""The models to choose from: those that are ready, those to be downloaded, and the user's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox
from napari.settings import get_plugin_settings
from qtpy.QtCore import QModelIndex, QSignalBlocker, Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from napari_nucseg.segmenters import catalogue, networks
from napari_nucseg.segmenters.model import Model, weights_folder
from napari_nucseg.ui.jobs import Run

READY, TO_DOWNLOAD, ADDED = "Ready", "To download first", "Yours"
"""Headings of the list."""
YOURS, MISSING = "yours", "yours, missing"
"""What is said in a list of a model file that the user added."""
_NEEDS = Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True)
class ModelRow:
    """A row of the list.

    Attributes
    ----------
    title : str
        What the model is called on a form.
    key : str
        Its unique key: its name, or the whole path of a file.
    group : str
        The heading that it stands under.
    needs : str
        Its licence and what it was trained on, or where its file is.
    about : str
        What it is for, in a line.
    refusal : str
        Why it cannot be chosen here; empty where it can.
    """

    title: str
    key: str
    group: str
    needs: str
    about: str
    refusal: str = ""


def load_model_files() -> tuple[Path, ...]:
    """Model files that the user added, whether they are there now or not."""
    lines = get_plugin_settings("napari-nucseg").segment.model_files.splitlines()
    return tuple(Path(line) for line in lines if line)


def save_model_files(paths: Sequence[Path]) -> None:
    """Remember the user's model files."""
    lines = "\n".join(map(str, dict.fromkeys(paths)))
    get_plugin_settings("napari-nucseg").segment.model_files = lines


def describe_model(model: Model) -> str:
    """Say what a model is, its licence, and where its weights will go if they are not here."""
    told = [model.about]
    if not model.is_ready and model.remote is not None:
        told.append(f"Segment first downloads its {model.megabytes} MB to {weights_folder()}")
    if model.terms:
        told.append(f"Licence: {model.terms}")
    return ". ".join(told)


def ask_for_model(parent: QWidget, run: Run, take_up: Callable[[Path], None]) -> None:
    """Ask for a model file, and take it up if it is one, which is looked at in the background."""
    title = "Model trained with Cellpose or napari-nucseg"
    name, _ = QFileDialog.getOpenFileName(parent, title)
    if name:
        path = Path(name).absolute()
        run(lambda tell: networks.check(path), lambda _: take_up(path))


class ModelFiles:
    """The user's model files, remembered until the next start; all panels share them."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Paths of the files, whether they are there now or not."""
        return load_model_files()

    def rows(self) -> list[ModelRow]:
        """List all models: those that are ready, those to be downloaded, then the user's files."""
        known = sorted(catalogue.models(), key=lambda model: not model.is_ready)
        times = Counter([*(model.name for model in known), *(path.name for path in self.paths)])
        files = []
        for path in self.paths:
            title = path.name if times[path.name] == 1 else f"{path.name} in {path.parent}"
            title = f"{title} ({YOURS if self.is_there(str(path)) else MISSING})"
            about = f"Your file {path}"
            files.append(ModelRow(title, str(path), ADDED, f"in {path.parent}", about))
        return [*map(_row, known), *files]

    def choices(self) -> list[tuple[str, str]]:
        """List all models by what they are called on a form, and their keys."""
        return [(row.title, row.key) for row in self.rows()]

    def is_there(self, key: str) -> bool:
        """Whether a model is none of these files, or one that is there now."""
        return Path(key) not in self.paths or Path(key).is_file()

    def add(self, path: Path) -> None:
        """Take up a file, and remember it."""
        save_model_files([*self.paths, path])


def _row(model: Model) -> ModelRow:
    """List a model; one that has to be downloaded first with its size."""
    title = model.name if model.is_ready else f"{model.name} \u2193 {model.megabytes:,} MB"
    group = READY if model.is_ready else TO_DOWNLOAD
    return ModelRow(title, model.name, group, model.terms, describe_model(model))


class ModelBox(ComboBox):
    """A choice of models under headings, which keys and clicks pass over.

    Options are arguments of `ComboBox`, such as its label.
    """

    def __init__(self, **options: Any) -> None:
        self.files = ModelFiles()
        super().__init__(**options)
        box: QComboBox = self.native
        box.setItemDelegate(_WithNeeds(box))
        box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )  # long names do not widen the panel

    def rows(self) -> list[ModelRow]:
        """List the models to choose from."""
        return self.files.rows()

    def reset_choices(self, *_: Any) -> None:
        """List the models that there are now; what is chosen stays so."""
        box: QComboBox = self.native
        chosen = self.value
        blocker = QSignalBlocker(box)
        box.clear()
        _fill(box, self.rows())
        at = -1 if chosen is None else box.findData(chosen)
        box.setCurrentIndex(at if at >= 0 else 1)  # below the first heading
        view = box.view()
        if view is not None:
            room = box.fontMetrics().horizontalAdvance("M" * 5)  # for the style's margins
            view.setMinimumWidth(view.sizeHintForColumn(0) + room)
        blocker.unblock()
        if at < 0:
            self.changed.emit(self.value)


class _WithNeeds(QStyledItemDelegate):
    """Shows behind a model's title what it needs; a screen reader is told it, too."""

    def initStyleOption(self, option: QStyleOptionViewItem | None, index: QModelIndex) -> None:
        """Write both; the closed box has room for the title alone."""
        super().initStyleOption(option, index)
        needs = index.data(_NEEDS)
        if needs and option is not None:
            option.text = f"{option.text}   {needs}"


def _fill(box: QComboBox, rows: Iterable[ModelRow]) -> None:
    """Add rows to an empty list, each group below its heading."""
    heading, items = "", box.model()
    assert isinstance(items, QStandardItemModel)
    for row in rows:
        if row.group != heading:
            heading = row.group
            box.addItem(heading)
            item = items.item(box.count() - 1)
            assert item is not None
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            font = item.font()
            font.setBold(True)
            item.setFont(font)
        box.addItem(row.title, row.key)
        item = items.item(box.count() - 1)
        assert item is not None
        item.setEnabled(not row.refusal)
        told = {
            _NEEDS: row.needs,
            Qt.ItemDataRole.ToolTipRole: row.refusal or row.about,
            Qt.ItemDataRole.AccessibleTextRole: ", ".join(filter(None, (row.title, row.needs))),
            Qt.ItemDataRole.AccessibleDescriptionRole: f"{row.group}. {row.about}",
        }
        for role, text in told.items():
            box.setItemData(box.count() - 1, text, role)

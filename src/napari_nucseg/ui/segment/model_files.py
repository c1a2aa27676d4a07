"""Models to choose from: those of the catalogue, and the files that the user added."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from magicgui.widgets import PushButton
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_nucseg.segmenters import catalogue
from napari_nucseg.ui.segment import preferences


class ModelFiles:
    """The user's model files, remembered until the next start."""

    def __init__(self) -> None:
        self.paths = list(preferences.load_model_files())

    def choices(self, widget: Any = None) -> list[tuple[str, str]]:
        """List all models by what they are called on a form, and their keys.

        A model is told from others by its key: its name, or the whole path of a file.
        """
        named = [model.name for model in catalogue.models()]
        times = Counter([*named, *(path.name for path in self.paths)])
        files = []
        for path in self.paths:
            title = path.name if times[path.name] == 1 else f"{path.name} in {path.parent}"
            files.append((title if self.is_there(str(path)) else f"{title} (missing)", str(path)))
        return [*((name, name) for name in named), *files]

    def is_there(self, key: str) -> bool:
        """Whether a model is none of these files, or one that is there now."""
        return Path(key) not in self.paths or Path(key).is_file()

    def add(self, path: Path) -> None:
        """Take up a file, and remember it."""
        self.paths = [*dict.fromkeys([*self.paths, path])]
        preferences.save_model_files(self.paths)


def add_model_button() -> PushButton:
    """Return the button that asks for a model file."""
    return PushButton(
        text="Add a model file...",
        tooltip="Use a model that was trained with Cellpose or with napari-nucseg train.",
    )


def ask_for_model(parent: QWidget) -> Path | None:
    """Ask for a model file; None if none was chosen."""
    title = "Model trained with Cellpose or napari-nucseg"
    name, _ = QFileDialog.getOpenFileName(parent, title)
    return Path(name).absolute() if name else None

"""The menu that writes the comparison to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

from napari_nucseg.runs.saving import check_parquet, with_ending
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.layers import find_image, full_data, plane_of, record_of
from napari_nucseg.ui.score.comparison_state import NOTHING_COMPARED, ComparisonState
from napari_nucseg.ui.score.exported import KINDS, Exported
from napari_nucseg.ui.score.scoring import read_plane


class ExportButton(QPushButton):
    """A menu of files.

    Parameters
    ----------
    parent : QWidget
        Over which it asks for a file.
    state : ComparisonState
        What is exported.
    run : callable
        Does work in the background.
    tell : callable
        Shows a line of text.
    """

    def __init__(
        self,
        parent: QWidget,
        state: ComparisonState,
        run: Run,
        tell: Callable[[str], None],
    ) -> None:
        super().__init__("Export", parent)
        self._state, self._run, self._tell = state, run, tell
        self.setToolTip(
            "Write nuclei, fields, scores or a report to a file; plots have a Save of their own."
        )
        menu = QMenu(self)
        for text in KINDS:
            action = menu.addAction(text)
            assert action is not None
            action.triggered.connect(lambda checked=False, text=text: self.ask(text))
        self.setMenu(menu)

    def ask(self, kind: str) -> None:
        """Ask for a file, and write it."""
        if not self._state.is_there:
            self._tell(NOTHING_COMPARED)
            return
        ending = KINDS[kind][0]
        name, _ = QFileDialog.getSaveFileName(self, kind, f"scores{ending}", f"*{ending}")
        if name:
            self.write(kind, Path(name))

    def write(self, kind: str, path: Path) -> None:
        """Write a file in the background; its name gets the ending unless it has it."""
        ending, write = KINDS[kind]
        try:
            path = with_ending(path, ending)
            if ending == ".parquet":
                check_parquet()
        except (ValueError, OSError) as error:
            self._tell(str(error))
            return
        exported = self._exported()
        self._tell(f"Writing {path.name}...")
        self._run(
            lambda tell: write(path, exported, tell),
            lambda nothing: self._tell(f"Written: {path}"),
        )

    def _exported(self) -> Exported:
        state = self._state
        assert state.prediction is not None
        assert state.truth is not None
        truth, predicted = full_data(state.truth), full_data(state.prediction)
        record, image = record_of(state.prediction), self._image()
        micrometres = str(state.truth.units[-1]) in ("um", "micrometer", "micron")
        return Exported(
            state.prediction.name,
            state.rule,
            dict(state.pairs),
            {plane: state.name_of(plane) for plane in state.pairs},
            lambda plane: (read_plane(truth, plane).copy(), read_plane(predicted, plane).copy()),
            lambda plane: np.asarray(plane_of(image, plane)),
            state.copy_unmeasured(),
            (record and record.provenance) or {},
            float(state.truth.scale[-1]) if micrometres else None,
        )

    def _image(self) -> NDArray[Any]:
        """Return the intensities that the prediction was made from; zeros if there are none."""
        assert self._state.prediction is not None
        image = find_image(self._state.viewer.layers, self._state.prediction)
        if image is not None and full_data(image).shape == full_data(self._state.prediction).shape:
            return full_data(image)
        return np.broadcast_to(np.uint8(0), full_data(self._state.prediction).shape)

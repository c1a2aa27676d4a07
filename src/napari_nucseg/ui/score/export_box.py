"""The comparison as files: tables of nuclei and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QWidget

from napari_nucseg.core.matching import match
from napari_nucseg.core.presets import ScoreRule
from napari_nucseg.core.summaries import Summary
from napari_nucseg.runs.comparing import FieldPair
from napari_nucseg.runs.object_records import join, object_columns
from napari_nucseg.runs.papers import latex_table, markdown_table
from napari_nucseg.runs.records import summary_record
from napari_nucseg.runs.saving import (
    check_parquet,
    write_columns,
    write_json,
    write_parquet,
    write_text,
)
from napari_nucseg.ui.jobs import Job, Tell, Work
from napari_nucseg.ui.layers import full_data
from napari_nucseg.ui.score.comparison_state import ComparisonState
from napari_nucseg.ui.score.scoring import Both, read_plane, sum_up


@dataclass(frozen=True)
class Exported:
    """What a file is written from; plain values, so that a worker can write it.

    Attributes
    ----------
    title : str
        What was scored.
    rule : ScoreRule
        By which rule.
    pairs : mapping
        Number of a field to its comparison.
    names : mapping
        Number of a field to its name.
    read : callable
        Reads a field's true and predicted labels.
    copies : mapping
        Labels of fields whose outlines are not compared yet.
    pixel_size : float or None
        Edge of a pixel in micrometres.
    """

    title: str
    rule: ScoreRule
    pairs: Mapping[int, FieldPair]
    names: Mapping[int, str]
    read: Callable[[int], Both]
    copies: Mapping[int, Both]
    pixel_size: float | None

    def objects(self, tell: Tell) -> dict[str, list[object]]:
        """List all objects of both sides, as the command line does."""
        tables = []
        for done, (plane, pair) in enumerate(self.pairs.items()):
            tell(done, len(self.pairs), "Listing")
            matching = match(pair.overlap, self.rule.threshold, self.rule.preset.strict)
            size = self.pixel_size
            name = self.names[plane]
            tables.append(object_columns(name, *self.read(plane), matching, pixel_size=size))
        return join(tables)

    def summary(self, tell: Tell) -> Summary:
        """Sum up the fields."""
        return sum_up(self.pairs, self.copies, self.rule, tell).summary


Write = Callable[[Path, Exported, Tell], None]
KINDS: dict[str, tuple[str, Write]] = {
    "Nuclei as CSV...": (".csv", lambda path, e, tell: write_columns(path, e.objects(tell))),
    "Nuclei as Parquet...": (
        ".parquet",
        lambda path, e, tell: write_parquet(path, e.objects(tell)),
    ),
    "Scores as JSON...": (
        ".json",
        lambda path, e, tell: write_json(path, summary_record(e.summary(tell))),
    ),
    "Scores as LaTeX...": (
        ".tex",
        lambda path, e, tell: write_text(path, latex_table(e.summary(tell), e.title)),
    ),
    "Scores as Markdown...": (
        ".md",
        lambda path, e, tell: write_text(path, markdown_table(e.summary(tell), e.title)),
    ),
}
"""What can be exported: the ending of the file, and how it is written."""


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
        run: Callable[[Work, Callable[[object], None]], Job],
        tell: Callable[[str], None],
    ) -> None:
        super().__init__("Export", parent)
        self._state, self._run, self._tell = state, run, tell
        self.setToolTip("Write the nuclei and the scores to files; plots have their own Save.")
        menu = QMenu(self)
        for text in KINDS:
            action = menu.addAction(text)
            assert action is not None
            action.triggered.connect(lambda checked=False, text=text: self.ask(text))
        self.setMenu(menu)

    def ask(self, kind: str) -> None:
        """Ask for a file, and write it."""
        if not self._state.is_there:
            self._tell("Press Score first.")
            return
        ending = KINDS[kind][0]
        name, _ = QFileDialog.getSaveFileName(self, kind, f"scores{ending}", f"*{ending}")
        if name:
            self.write(kind, Path(name))

    def write(self, kind: str, path: Path) -> None:
        """Write a file in the background; its name gets the ending if it has none."""
        ending, write = KINDS[kind]
        path = path if path.suffix else path.with_suffix(ending)
        if ending == ".parquet":
            try:
                check_parquet()
            except ValueError as error:
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
        micrometres = str(state.truth.units[-1]) in ("um", "micrometer", "micron")
        return Exported(
            state.prediction.name,
            state.rule,
            dict(state.pairs),
            {plane: state.name_of(plane) for plane in state.pairs},
            lambda plane: (read_plane(truth, plane), read_plane(predicted, plane)),
            {plane: state.copies[plane] for plane in state.unmeasured},
            float(state.truth.scale[-1]) if micrometres else None,
        )

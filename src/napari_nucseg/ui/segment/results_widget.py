"""What can be done with a result when there is no ground truth: look at doubtful nuclei, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from magicgui.widgets import ComboBox, Container, PushButton
from napari.components import ViewerModel
from napari.layers import Labels
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.analysis.measurements import describe_size
from napari_nucseg.io.writers import write_columns
from napari_nucseg.progress import Progress
from napari_nucseg.ui.files.writer import FILTERS, chosen_format, file_in, save_in
from napari_nucseg.ui.jobs import Run
from napari_nucseg.ui.keys import CANCEL, SEGMENT, WHEN
from napari_nucseg.ui.layer_fields import shown_plane, snapshot
from napari_nucseg.ui.layers import record_of
from napari_nucseg.ui.mending import MendingRow
from napari_nucseg.ui.mending_tools import MENDING_KEYS, FlowsOf
from napari_nucseg.ui.segment.display import CONTOURS, MEASURES, Foreground, MeasureBar, ShowAs
from napari_nucseg.ui.segment.doubt_walk import DoubtWalk
from napari_nucseg.ui.segment.measurement_tables import (
    corrected_in,
    joined,
    measured_once,
    nuclei_of,
    tables_of,
)
from napari_nucseg.ui.segment.result_cache import FieldResult, StackResult
from napari_nucseg.ui.segment.selection import Selection
from napari_nucseg.ui.widgets import TextLine
from napari_nucseg.wording import counted, say_corrected

KEYS_HELP = f"Keys: {SEGMENT} segment, {CANCEL} cancel, {WHEN}. Mending: {MENDING_KEYS}"


class ResultsWidget(Container[Any]):
    """Buttons that act on the prediction of the segment panel.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer that the labels are shown in.
    selection : Selection
        Image and model, whose labels they act on.
    tell : callable
        Called with a line of text, to show it.
    run : callable
        Called with work to do in the background, and with what shows its result.
    """

    def __init__(
        self, viewer: ViewerModel, selection: Selection, tell: Callable[[str], None], run: Run
    ) -> None:
        self._make_widgets()
        super().__init__(labels=False)
        self.mending = MendingRow(viewer, lambda: selection.prediction, tell)
        self._arrange()
        self.margins = (0, 0, 0, 0)
        self._viewer = viewer
        self._selection = selection
        self._tell = tell
        self._run = run
        self._showing = ShowAs(viewer)
        self._walk = DoubtWalk(viewer, selection, tell, run, self.native)
        self._front = Foreground(viewer)
        self.show_range()
        self._connect()

    def _arrange(self) -> None:
        walk = Container(widgets=[self.doubtful, self.previous], layout="horizontal", labels=False)
        ways = Container(widgets=[self.show_as])
        saving = [self.save_labels, self.save]
        files = Container(widgets=saving, layout="horizontal", labels=False)
        for row in (walk, files, ways):
            row.margins = (0, 0, 0, 0)
        self.extend([ways, self.range, walk, files])
        self.native.layout().insertWidget(1, self.bar)
        self.native.layout().insertWidget(2, self.mending)

    def _connect(self) -> None:
        self.help = PushButton(text="?", tooltip=KEYS_HELP)
        self.help.max_width = self.help.native.sizeHint().height()
        tools = self.mending.layout()
        assert tools is not None
        tools.addWidget(self.help.native)
        self.help.changed.connect(lambda: self._tell(KEYS_HELP))
        selection = self._selection
        for box in (selection.form.image, selection.form.model, self.show_as):
            box.native.activated.connect(self.bring)  # not if an image layer is selected
        self.doubtful.changed.connect(lambda: self._walk.go(1))
        self.previous.changed.connect(lambda: self._walk.go(-1))
        self.save.changed.connect(self.save_measures)
        self.save_labels.changed.connect(self.save_label_image)
        self.show_as.changed.connect(self.choose_way)

    def _make_widgets(self) -> None:
        """Make the buttons, and what shows the colours."""
        self.doubtful = PushButton(
            text="Most doubtful nucleus",
            tooltip="Go to the nucleus of this field whose shape fits the network's flows worst, "
            "and say why it is doubtful. Press again for the next.",
        )
        self.previous = PushButton(text="Previous", tooltip="Go back to the nucleus before.")
        self.save = PushButton(
            text="Save measurements...",
            tooltip="Save area, position, intensity, shape and doubt of every nucleus as CSV.",
        )
        self.save_labels = PushButton(
            text="Save labels...",
            tooltip="Save the labels, as a TIFF that says how they were made or for others.",
        )
        self.show_as = ComboBox(
            label="Show as",
            choices=[*CONTOURS, *MEASURES],
            tooltip="Show the nuclei as outlines, or filled, or coloured by a measurement, from "
            "dark (low) to bright (high). Nuclei without a value are grey.",
        )
        self.range = TextLine(label="")
        self.bar = MeasureBar()

    def disconnect_viewer(self) -> None:
        """Give the labels their own colours back, and napari its mouse."""
        self.use_flows(None)
        self.mending.disconnect_viewer()
        self._showing.give_back()
        self._walk.disconnect_viewer()
        self._front.disconnect_viewer()

    def bring(self, *_: Any) -> None:
        """Bring the result that is chosen to the top, and hide what would cover it."""
        image, labels = self._selection.image, self._selection.prediction
        if image is not None and labels is not None:
            self._front.bring(image, labels)

    def use_flows(self, flows_of: FlowsOf | None) -> None:
        """Propose missed nuclei by what is kept of a network's flows."""
        self.mending.mender.flows_of = flows_of

    def begin_anew(self) -> None:
        """Start with the most doubtful nucleus again, because there are other labels now."""
        self._walk.begin_anew()

    def choose_way(self, way: str) -> None:
        """Show the nuclei as outlines, filled, or coloured by a measure."""
        self._showing.choose(way)
        self.show_range()

    def recolour(self, layer: Labels) -> None:
        """Let a prediction's colours follow its measures."""
        self._showing.show(layer)
        self.show_range()

    def show_range(self) -> None:
        """Say what the colours stand for."""
        layer, way = self._selection.prediction, self._showing.way
        found = None if layer is None else self._showing.range_of(layer)
        self.bar.setVisible(found is not None)
        if found is not None:
            self.bar.show_range(found)
        self.range.visible = way in MEASURES and found is None
        self.range.value = f"There is no {way} for this field."

    def describe(self, labels: Labels, result: StackResult, ran: bool) -> str:
        """Say in a line what was made.

        Parameters
        ----------
        labels : Labels
            Labels layer that shows the result.
        result : StackResult
            The new labels, with their measurements.
        ran : bool
            Whether a network ran for it.
        """
        if result.is_volume:
            return _describe_volume(result)
        count = sum(len(nuclei_of(labels, plane)["index"]) for plane in result.planes)
        where = f" in {len(result.planes)} fields" if len(result.planes) > 1 else ""
        if ran and result.made[0].key.box is not None:
            count = sum(_count_inside(made) for made in result.made)
            where = " in the rectangle"
        took = f" in {result.seconds:.2f} s" if ran else ""
        size = self._size()
        nuclei = counted(count, "nucleus")
        about = f"{nuclei}{where}{took}{', ' if size else ''}{size}{_estimate(result)}."
        return f"{about} Sliders now change this result." if ran and result.kept else about

    def describe_field(self) -> str:
        """Say in a line what is known of the field in sight; nothing without any labels."""
        layer = self._selection.prediction
        if layer is None:
            return ""
        table = tables_of(layer).get(self._plane(layer))
        if table is None:
            return "This field is not segmented yet. Press Segment."
        count, where = len(table.nuclei["index"]), "volume" if table.volume else "field"
        corrected = say_corrected(len(corrected_in(layer, self._plane(layer))))
        told = (f"{counted(count, 'nucleus')} in this {where}", self._size(), corrected)
        return f"{', '.join(filter(None, told))}."

    def _size(self) -> str:
        """Say how large the nuclei in sight are."""
        layer = self._selection.prediction
        return "" if layer is None else describe_size(nuclei_of(layer, self._plane(layer)))

    def save_measures(self) -> None:
        """Ask for a file, and write the measures of all fields to it."""
        layer = self._selection.prediction
        columns = {} if layer is None else joined(layer, self._names(layer))
        if not columns or layer is None:
            self._tell("There are no measurements yet. Press Segment.")
            return
        suggestion = f"{layer.name} nuclei.csv"
        name, _ = QFileDialog.getSaveFileName(self.native, "Save measurements", suggestion, "*.csv")
        if name:
            columns |= {"corrected_by_hand": _corrected_rows(layer)}
            told = f"Measurements of {counted(len(columns['field']), 'nucleus')} are in {name}"
            corrected = say_corrected(
                sum(len(corrected_in(layer, p)) for p in measured_once(layer))
            )
            told = ", ".join(filter(None, (told, corrected)))
            self._run(
                lambda progress: write_columns(Path(name), columns),
                lambda nothing: self._tell(f"{told}."),
            )

    def save_label_image(self) -> None:
        """Ask for a file, and write the labels of all fields to it in the background."""
        layer = self._selection.prediction
        if layer is None:
            self._tell("There are no labels yet. Press Segment. Large ones are on disk already.")
            return
        stem = stems[0] if len(stems := self._names(layer)) == 1 else layer.name
        name, pattern = QFileDialog.getSaveFileName(
            self.native, "Save labels", f"{stem} labels.tif", ";;".join(FILTERS)
        )
        if not name:
            return
        copied, form = snapshot(layer.data, self._plane(layer)), chosen_format(name, pattern)
        attributes = layer.as_layer_data_tuple()[1]

        def write(progress: Progress) -> str:
            return save_in(form, file_in(form, Path(name)), copied(), attributes)[0]

        self._run(write, lambda path: self._tell(f"The labels of {layer.name} are in {path}."))

    def _plane(self, layer: Labels) -> int:
        return shown_plane(self._viewer.dims.point, layer)

    def _names(self, layer: Labels) -> tuple[str, ...]:
        return record.stems if (record := record_of(layer)) else ()


def _corrected_rows(layer: Labels) -> list[int]:
    """Tell of each row of the measures whether its nucleus was added or changed by hand."""
    tables = measured_once(layer)
    edited = {plane: corrected_in(layer, plane) for plane in tables}
    return [
        int(label in edited[plane])
        for plane, table in tables.items()
        for label in table.nuclei["index"].tolist()
    ]


def _count_inside(made: FieldResult) -> int:
    """Count the nuclei whose centre lies in the box that was segmented, not in its context."""
    box, context = made.key.box, made.key.segmented
    if box is None or context is None:
        return len(made.nuclei["index"])
    y = made.nuclei["centroid_y"] + context.top
    x = made.nuclei["centroid_x"] + context.left
    within = (y >= box.top) & (y < box.bottom) & (x >= box.left) & (x < box.right)
    return int(within.sum())


def _describe_volume(result: StackResult) -> str:
    """Say in a line what was made of a volume, whose nuclei lie in several planes."""
    measured, planes = result.made[0].nuclei, len(result.made)
    nuclei, size = counted(len(measured["index"]), "nucleus"), describe_size(measured)
    about = f"{nuclei} in a volume of {planes} planes in {result.seconds:.2f} s"
    return f"{', '.join(filter(None, (about, size)))}{_estimate(result)}."


def _estimate(result: StackResult) -> str:
    """Say what diameter was found in the image, if that decided anything."""
    found = result.estimate
    return "" if found is None else f", diameter {found:.0f} px (estimated)"

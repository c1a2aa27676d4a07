"""The two ways that most users go, and how many files of the package each of them enters.

The figures only go down. `make house` prints the files in the order in which they are entered;
CONTRIBUTING.md lists them for newcomers.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.call_trace import files_entered
from tests.ui.scored import add_stacks, open_panel, spoil
from tests.ui.segment_actions import predictions

FILES_TO_SEGMENT = 69
"""Files entered from an image on disk to its labels; the goal is 28."""
FILES_TO_AN_ERROR = 37
"""Files entered from two Labels layers to the first error; the goal is 24."""

pytestmark = pytest.mark.slow


def test_from_an_image_to_its_labels(qtbot, viewer, drawn_dataset):
    with files_entered() as entered:
        viewer.open(drawn_dataset, plugin="napari-nucseg")
        panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
        panel.form.segment.native.click()
        # The first time on a computer, numba compiles its loops, and that is traced, too
        qtbot.waitUntil(lambda: not panel.running, timeout=300_000)
    _print("Open an image and segment it", entered, FILES_TO_SEGMENT)

    assert predictions(viewer)[0].data.any()
    assert len(entered) <= FILES_TO_SEGMENT, entered
    assert not _unlisted(entered)


def test_from_two_layers_to_the_first_error(qtbot, viewer, drawn_fields):
    truths = np.stack([field.labels for field in drawn_fields])
    _, truth = add_stacks(viewer, truths, spoil(truths))
    viewer.dims.set_current_step(0, 0)
    with files_entered() as entered:
        panel = open_panel(qtbot, viewer)
        panel.buttons.next.native.click()
    _print("Score it and go to an error", entered, FILES_TO_AN_ERROR)

    assert viewer.layers.selection.active is truth
    assert truth.selected_label == 3
    assert len(entered) <= FILES_TO_AN_ERROR, entered
    assert not _unlisted(entered)


def _print(way: str, entered: list[str], most: int) -> None:
    sys.stdout.write(f"{way}: {len(entered)} files, at most {most}\n")
    sys.stdout.write("".join(f"  {path}\n" for path in entered))


def _unlisted(entered: list[str]) -> list[str]:
    """Return the files that CONTRIBUTING.md does not name."""
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
    return [path for path in entered if f"`{path}`" not in text]

"""The measures of a volume that was segmented as one: a row a nucleus, as the command line's."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.layers import Layer
from qtpy.QtWidgets import QFileDialog

from napari_nucseg.progress import ignore
from napari_nucseg.ui.files.image_folder import read_image_folder
from napari_nucseg.ui.segment.form import Scope
from tests.ui.segment_actions import RUN, predictions
from tests.ui.segment_actions import run as press_segment

LIGHT = (0.2, 0.7, 1.0, 0.4)


@pytest.fixture
def planes(field):
    return (field.image[None, :100, :110] * np.array(LIGHT)[:, None, None]).astype(np.uint16)


@pytest.fixture
def folder(planes, tmp_path):
    """A folder with a stack whose file says how large voxels are."""
    made = tmp_path / "stacks"
    made.mkdir()
    tifffile.imwrite(
        made / "depths.tif",
        planes,
        imagej=True,
        resolution=(2, 2),
        metadata={"axes": "ZYX", "spacing": 1.5, "unit": "um"},
    )
    return made


@pytest.fixture
def stack(viewer, folder):
    """The stack as it is opened by *Open folder of images...*."""
    (data,) = read_image_folder(folder, ignore).layers
    return viewer.add_layer(Layer.create(*data))


@pytest.fixture
def saved(qtbot, panel, monkeypatch, tmp_path):
    """Save the measurements, and read them again."""

    def save() -> list[dict[str, str]]:
        path = tmp_path / "nuclei.csv"
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        qtbot.waitUntil(lambda: not panel.measurements.measuring, timeout=RUN)
        panel.result.save.native.click()
        qtbot.waitUntil(lambda: not panel.running)
        return rows_of(path)

    return save


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def volume(qtbot, stack, panel, viewer, stand_in):
    """Labels of the volume, stitched from what the stand-in finds in its planes."""
    panel.form.scope.value = Scope.STITCHED
    press_segment(qtbot, panel)
    (labels,) = predictions(viewer)
    return labels


@pytest.mark.parametrize("scope", [Scope.STITCHED, Scope.IN_3D])
def test_measures_are_those_of_the_command_line(
    qtbot, run, stack, folder, panel, saved, tmp_path, scope
):
    panel.form.scope.value = scope
    press_segment(qtbot, panel)
    volume = "3d" if scope is Scope.IN_3D else "stitched"
    done = run("segment", folder, "--volume", volume, "--measures", "--out", tmp_path / "out")
    assert done.code == 0

    rows = saved()

    expected = rows_of(tmp_path / "out" / "measurements.csv")
    assert len(rows) == len(expected) > 1
    assert "volume_um3" in rows[0]
    assert {row.pop("field") for row in rows} == {"depths"}
    assert {row.pop("corrected_by_hand") for row in rows} == {"0"}
    assert {row.pop("image") for row in expected} == {"depths.tif"}
    assert rows == expected


def test_a_volume_is_coloured_in_all_planes(qtbot, viewer, volume, panel):
    panel.result.show_as.value = "volume"

    colours = [volume.colormap.map(volume.data[0, plane]) for plane in range(len(LIGHT))]

    for number in np.unique(volume.data)[1:]:
        seen = [c[volume.data[0, p] == number] for p, c in enumerate(colours)]
        assert len(np.unique(np.concatenate(seen), axis=0)) == 1
    assert panel.result.bar.high.text().endswith(" µm³")
    viewer.dims.set_current_step(1, 2)
    assert "nuclei in this volume, median volume" in panel.status.value
    assert list(volume.features["index"]) == list(np.unique(volume.data)[1:])


@pytest.mark.parametrize("names", [("times", "z"), ("z", "times")])
def test_several_volumes_have_rows_of_their_own(
    qtbot, viewer, planes, panel, saved, stand_in, names
):
    data = np.stack([planes, planes[:, ::-1]], axis=names.index("times"))
    axes = ("time" if name == "times" else name for name in names)
    viewer.add_image(data, name="stack", axis_labels=(*axes, "y", "x"))
    panel.form.scope.value = Scope.STITCHED
    for time in (0, 1):
        viewer.dims.set_current_step(names.index("times"), time)
        press_segment(qtbot, panel)
    (labels,) = predictions(viewer)

    rows = saved()

    assert "volume_um3" not in rows[0]
    for time in (0, 1):
        volume = labels.data.take(time, axis=names.index("times"))
        found = {row["index"]: row["volume_voxels"] for row in rows if row["field"] == str(time)}
        numbers, voxels = np.unique(volume[volume > 0], return_counts=True)
        assert found == dict(zip(map(str, numbers), map(str, voxels), strict=True))


def test_planes_by_themselves_are_measured_each(qtbot, viewer, stack, panel, saved, stand_in):
    panel.form.scope.value = Scope.ALL
    press_segment(qtbot, panel)
    (labels,) = predictions(viewer)

    rows = saved()

    assert "area_um2" in rows[0]
    assert "volume_um3" not in rows[0]
    counts = [len(np.unique(plane)) - 1 for plane in labels.data[0]]
    assert [sum(row["plane"] == str(n) for row in rows) for n in range(len(LIGHT))] == counts
    assert {row["field"] for row in rows} == {"depths"}


def test_an_edit_in_one_plane_is_measured_in_the_volume(qtbot, viewer, volume, panel, saved):
    before = {row["index"]: row for row in saved()}
    number = int(volume.data[0, 2].max())
    viewer.dims.set_current_step(1, 2)
    y, x = (int(n[0]) for n in np.nonzero(volume.data[0, 2] == 0))

    volume.selected_label = number
    volume.brush_size = 1
    volume.paint((0, 2, y, x), number)

    rows = {row["index"]: row for row in saved()}
    was, now = before.pop(str(number)), rows.pop(str(number))
    assert int(now["volume_voxels"]) == int(was["volume_voxels"]) + 1
    assert (was["corrected_by_hand"], now["corrected_by_hand"]) == ("0", "1")
    assert rows == before
    assert panel.status.value.endswith("corrected by hand: 1 nucleus.")

    volume.undo()

    assert {row["index"]: row for row in saved()} == before | {str(number): was}


def test_a_plane_that_is_segmented_by_itself_leaves_the_volume(qtbot, viewer, volume, panel, saved):
    before = saved()
    viewer.dims.set_current_step(1, 1)
    panel.form.scope.value = Scope.FIELD

    press_segment(qtbot, panel)

    rows = saved()
    alone = [row for row in rows if row["area_px"]]
    together = {row["index"]: row for row in rows if row["volume_voxels"]}
    assert len(alone) == len(np.unique(volume.data[0, 1])) - 1
    others = np.delete(volume.data[0], 1, axis=0)
    for number, row in together.items():
        assert int(row["volume_voxels"]) == int((others == int(number)).sum())

    panel.undo()

    assert saved() == before

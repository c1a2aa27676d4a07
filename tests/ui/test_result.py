"""What can be said of nuclei without a truth: measures, doubt, how they were made."""

import numpy as np
from qtpy.QtWidgets import QFileDialog

from tests.ui.segment_actions import predictions, run


def test_nuclei_have_measures_and_the_most_doubtful_is_gone_to(qtbot, viewer, image, panel):
    run(qtbot, panel)
    (labels,) = predictions(viewer)
    table = labels.features
    assert len(table) == labels.data.max()
    assert "median area" in panel.status.value

    panel.result.doubtful.native.click()

    assert labels.selected_label == table["index"][table["flow_error"].idxmax()]
    centre = labels.world_to_data(viewer.scene.camera.center[-2:])
    assert labels.data[tuple(np.rint(centre).astype(int))] == labels.selected_label


def test_measures_are_saved_as_a_table(qtbot, viewer, image, panel, monkeypatch, tmp_path):
    run(qtbot, panel)
    path = tmp_path / "nuclei.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))

    panel.result.save.native.click()

    lines = path.read_text().splitlines()
    assert lines[0].startswith("field,index,area_px,area_um2,")
    assert len(lines) == 1 + predictions(viewer)[0].data.max()


def test_settings_of_other_labels_are_taken_over(qtbot, viewer, image, panel):
    panel.form.params["min_size"].value = 77
    run(qtbot, panel)
    viewer.layers.selection.active = predictions(viewer)[0]
    assert "Minimum size 77 px" in panel.provenance.text.value
    panel.form.defaults.native.click()

    panel.provenance.take_over.native.click()

    assert panel.form.params.params.min_size == 77

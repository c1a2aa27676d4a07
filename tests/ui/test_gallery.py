"""The gallery of errors in a real window: thumbnails, worst first, lead to their nuclei."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_nucseg.analysis.marks import Mark
from napari_nucseg.analysis.thumbnails import THUMBNAIL
from napari_nucseg.metrics.verdicts import Verdict
from napari_nucseg.ui.edits import write_field
from napari_nucseg.ui.score.gallery import MOST_KEPT
from napari_nucseg.ui.score.panel import GALLERY
from tests.ui.scored import add_stacks, open_panel, settled, spoil


@pytest.fixture
def layers(viewer, drawn_fields):
    truths = np.stack([field.labels for field in drawn_fields])
    viewer.add_image(np.stack([field.image for field in drawn_fields]), name="image")
    return add_stacks(viewer, truths, spoil(truths))


@pytest.fixture
def panel(qtbot, viewer, layers):
    panel = open_panel(qtbot, viewer)
    panel.native.window().resize(1280, 800)
    panel.tabs.setCurrentIndex(GALLERY)
    return panel


def verdicts(panel) -> list[str]:
    model = panel.gallery.model
    return [model.data(model.index(row, 0)).split("\n")[0] for row in range(model.rowCount())]


def pictures(panel) -> list:
    model = panel.gallery.model
    return [model.picture_of(model.cut_at(position)) for position in range(model.rowCount())]


def click(qtbot, panel, position: int) -> None:
    view = panel.gallery.view
    index = panel.gallery.model.index(position, 0)
    view.scrollTo(index)
    qtbot.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(index).center()
    )


def draw(qtbot, panel) -> None:
    """Let the view be painted, and wait for what it asks for."""
    view, model = panel.gallery.view, panel.gallery.model
    view.grab()
    places = [view.visualRect(model.index(row, 0)) for row in range(model.rowCount())]
    seen = [row for row, place in enumerate(places) if view.viewport().rect().intersects(place)]
    qtbot.waitUntil(
        lambda: all(pictures(panel)[row] for row in seen) and not panel.running, timeout=20_000
    )


def test_errors_alone_are_shown_worst_first(panel):
    objects, order = panel.state.objects, panel.gallery.model.order

    assert verdicts(panel) == ["missed", "missed"]
    assert panel.state.objects.is_error[order].all()
    assert (np.diff(objects.iou[order]) >= 0).all()


def test_a_thumbnail_shows_the_image_and_the_outline_in_the_verdicts_colour(qtbot, panel):
    draw(qtbot, panel)

    image = pictures(panel)[0].toImage()
    seen = {image.pixelColor(x, y).name() for x in range(THUMBNAIL) for y in range(THUMBNAIL)}
    assert "#a51128" in seen
    assert len(seen) > 10


def test_a_click_goes_to_the_nucleus_and_arrow_keys_move_on(qtbot, viewer, layers, panel):
    click(qtbot, panel, 0)
    first = panel.state.plane, layers[1].selected_label
    qtbot.keyClick(panel.gallery.view, Qt.Key.Key_Right)
    second = panel.state.plane, layers[1].selected_label

    assert {first, second} == {(0, 3), (1, 2)}
    assert viewer.layers.selection.active is layers[1]
    assert panel.state.objects.key_of(panel.objects.current)[:2] == second


def test_the_gallery_follows_the_table(qtbot, panel):
    panel.buttons.next.native.click()
    panel.buttons.next.native.click()

    current = panel.gallery.view.currentIndex().row()
    assert panel.gallery.model.order[current] == panel.objects.current


def test_one_verdict_or_one_field_can_be_chosen(panel):
    panel.gallery.verdict.setCurrentText("matched")
    matched = panel.gallery.model.rowCount()
    panel.gallery.filters.this_field.setChecked(True)

    assert set(verdicts(panel)) == {"matched"}
    assert 0 < panel.gallery.model.rowCount() < matched
    panel.gallery.verdict.setCurrentText("Errors")
    assert verdicts(panel) == ["missed"]


def test_what_is_ignored_stays_in_place_until_the_arrows_have_moved_on(qtbot, panel):
    click(qtbot, panel, 0)
    panel.marks.mark(Mark.IGNORE)
    settled(qtbot, panel)
    assert panel.gallery.view.currentIndex().row() == 0
    assert verdicts(panel) == ["missed", "missed"]
    assert not panel.state.objects.is_error[panel.gallery.model.order[0]]

    qtbot.keyClick(panel.gallery.view, Qt.Key.Key_Right)
    panel.marks.mark(Mark.REVIEWED)
    settled(qtbot, panel)
    assert verdicts(panel) == ["missed"]
    assert panel.state.objects.is_error[panel.gallery.model.order].all()


def test_areas_are_filtered(panel):
    panel.gallery.filters.least_area.setValue(100_000)

    assert panel.gallery.model.rowCount() == 0


def test_an_edit_draws_the_field_anew(qtbot, layers, panel):
    panel.gallery.verdict.setCurrentText("All nuclei")
    panel.gallery.filters.this_field.setChecked(True)
    draw(qtbot, panel)
    position = next(n for n in range(len(pictures(panel))) if verdicts(panel)[n] == "matched")
    before = pictures(panel)[position].toImage()
    cut = panel.gallery.model.cut_at(position)

    after = layers[0].data[cut.plane].copy()
    y, x = np.argwhere(after == cut.found[0])[0]
    after[y : y + 3, x - 5 : x + 6] = 0
    write_field(layers[0], cut.plane, after)
    panel.edit_tracker.look()
    settled(qtbot, panel)
    draw(qtbot, panel)

    cuts = [panel.gallery.model.cut_at(n) for n in range(panel.gallery.model.rowCount())]
    again = next(n for n, one in enumerate(cuts) if one.true == cut.true)
    assert pictures(panel)[again].toImage() != before


def test_only_so_many_thumbnails_are_kept(panel):
    model = panel.gallery.model
    cut = model.cut_at(0)
    picture = np.zeros((THUMBNAIL, THUMBNAIL, 3), np.uint8)
    cuts = [type(cut)(9, (n,), (), Verdict.MISSED, cut.box) for n in range(MOST_KEPT + 3)]

    model.put(dict.fromkeys(cuts, picture))

    assert [model.picture_of(one) is None for one in cuts[:4]] == [True] * 3 + [False]


def test_no_thumbnail_is_cut_that_is_not_in_sight(qtbot, viewer):
    truth = np.kron(np.arange(1, 10_001).reshape(100, 100), np.pad(np.ones((4, 4), int), 2))
    add_stacks(viewer, truth, np.zeros_like(truth))
    panel = open_panel(qtbot, viewer)
    panel.tabs.setCurrentIndex(GALLERY)
    panel.gallery.view.grab()
    model = panel.gallery.model
    qtbot.waitUntil(lambda: model.picture_of(model.cut_at(0)) is not None, timeout=20_000)
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)

    assert model.rowCount() == 10_000
    assert sum(picture is not None for picture in pictures(panel)) < 200

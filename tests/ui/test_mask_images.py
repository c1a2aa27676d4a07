"""Masks that napari opened as images become labels by a click, and photographs are left alone."""

import numpy as np
import pytest
from napari.layers import Labels
from PIL import Image
from qtpy.QtCore import Qt

from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.ui.layers import GROUND_TRUTH, LayerRecord, tag
from napari_nucseg.ui.mask_images import MaskOffer

PLACED = {
    "scale": (0.65, 0.65),
    "units": ("um", "um"),
    "translate": (3, 4),
    "rotate": 20,
    "shear": (0.1,),
    "affine": np.diag([2.0, 2.0, 1.0]),
}


@pytest.fixture
def truth(drawn_fields):
    return drawn_fields[0].labels


@pytest.fixture
def panel(qtbot, viewer):
    viewer.window._qt_window.show()  # buttons are clicked where they are seen
    return viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]


def settled(qtbot, panel) -> MaskOffer:
    qtbot.waitUntil(lambda: not panel.running, timeout=20_000)
    return panel.offer


def made(viewer) -> list[Labels]:
    return [layer for layer in viewer.layers if isinstance(layer, Labels)]


def click(qtbot, panel, button) -> None:
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    settled(qtbot, panel)


def opened(viewer, path, picture):
    """Write a picture, and open it as napari itself does."""
    Image.fromarray(picture).save(path)
    return viewer.open(path, plugin="napari")[0]


def test_the_image_is_segmented_and_not_the_mask_that_was_opened_after_it(
    qtbot, tmp_path, viewer, truth, drawn_fields
):
    segment = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
    image = viewer.add_image(drawn_fields[0].image, name="image")
    mask = opened(viewer, tmp_path / "masks.png", truth.astype(np.uint8))
    qtbot.waitUntil(lambda: not segment.running, timeout=20_000)
    assert segment.form.image.value == image

    viewer.layers.selection = {image}
    viewer.layers.selection = {mask}
    assert segment.form.image.value == image
    segment.form.image.value = mask  # by hand
    assert segment.form.image.value == mask
    viewer.layers.remove(image)
    assert segment.form.image.value == mask


def test_a_mask_opened_before_the_panel_is_not_taken_either(qtbot, viewer, truth, drawn_fields):
    image = viewer.add_image(drawn_fields[0].image, name="image")
    viewer.add_image(truth.astype(np.uint8), name="masks")
    segment = viewer.window.add_plugin_dock_widget("napari-nucseg", "Segment nuclei")[1]
    qtbot.waitUntil(lambda: not segment.running, timeout=20_000)

    assert segment.form.image.value == image


def test_without_the_truth_as_labels_the_offer_is_pointed_to(qtbot, viewer, panel, truth):
    viewer.add_labels(np.roll(truth, 1, axis=0), name="found")
    viewer.add_image(truth.astype(np.uint8), name="masks")
    settled(qtbot, panel)
    qtbot.mouseClick(panel.buttons.errors.native, Qt.MouseButton.LeftButton)

    assert panel.status.value == "masks looks like labels. Press Use as labels above first."

    viewer.layers.remove("masks")
    qtbot.mouseClick(panel.buttons.next.native, Qt.MouseButton.LeftButton)
    assert panel.status.value.startswith("Choose the ground truth of found")


def test_a_grey_mask_becomes_labels_that_lie_where_it_does(qtbot, tmp_path, viewer, panel, truth):
    image = opened(viewer, tmp_path / "masks.png", truth.astype(np.uint8))
    for name, value in PLACED.items():
        setattr(image, name, value)
    offer = settled(qtbot, panel)
    assert offer.isVisible()
    assert offer.text.value == "masks looks like labels. Only Labels layers can be scored."
    assert offer.use.text() == "Use as labels"
    assert not offer.separate.isVisible()

    click(qtbot, panel, offer.use)

    (labels,) = made(viewer)
    assert not image.visible  # it would cover the picture of the nuclei
    assert np.array_equal(labels.data, truth)
    assert labels.name.startswith("masks")
    for name in ("scale", "units", "translate", "rotate", "shear"):
        assert np.array_equal(getattr(labels, name), getattr(image, name)), name
    assert np.array_equal(labels.affine.affine_matrix, image.affine.affine_matrix)
    assert panel.prediction.value is labels
    assert not offer.isVisible()


def test_the_image_is_kept_untouched(qtbot, viewer, panel, truth):
    image = viewer.add_image(truth.astype(np.int32), name="masks")
    click(qtbot, panel, settled(qtbot, panel).use)

    made(viewer)[0].fill((0, 0), 200)

    assert image in viewer.layers
    assert np.array_equal(image.data, truth)


def test_a_coloured_mask_is_taken_by_the_pieces_of_a_colour(qtbot, tmp_path, viewer, panel, truth):
    colours = np.random.default_rng(0).integers(40, 256, (truth.max() + 1, 4), dtype=np.uint8)
    colours[0, :3], colours[:, 3] = 0, 255
    opened(viewer, tmp_path / "masks.png", colours[truth])
    offer = settled(qtbot, panel)
    assert offer.text.value.startswith("masks looks like labels in colour.")

    click(qtbot, panel, offer.use)

    (labels,) = made(viewer)
    assert np.array_equal(labels.data > 0, truth > 0)
    pairs = np.unique(np.stack([labels.data, truth]).reshape(2, -1), axis=1)
    assert len(pairs.T) == truth.max() + 1


@pytest.mark.parametrize("in_colour", [False, True], ids=["grey", "RGB"])
def test_the_nuclei_of_a_binary_mask_are_separated_on_request(qtbot, viewer, panel, in_colour):
    mask = np.zeros((2, 40, 60), np.uint8)
    mask[:, 5:15, 5:15] = mask[:, 20:30, 5:15] = mask[0, 5:15, 30:50] = 255
    shown = np.stack([mask] * 3, axis=-1) if in_colour else mask
    viewer.add_image(shown, name="mask", rgb=in_colour)
    offer = settled(qtbot, panel)
    assert offer.text.value == "mask looks like a binary mask. All nuclei have one value."
    assert offer.use.text() == "Use as one nucleus"

    click(qtbot, panel, offer.separate)

    (labels,) = made(viewer)
    assert [len(np.unique(field)) - 1 for field in labels.data] == [3, 2]
    assert np.array_equal(labels.data > 0, mask > 0)


def test_a_binary_mask_is_one_nucleus_on_request(qtbot, viewer, panel, truth):
    viewer.add_image(truth > 0, name="mask")

    click(qtbot, panel, settled(qtbot, panel).use)

    assert np.array_equal(made(viewer)[0].data, truth > 0)


def test_errors_are_shown_over_the_photograph_and_not_over_the_mask(
    qtbot, viewer, panel, drawn_fields, truth
):
    viewer.add_image(truth.astype(np.uint8), name="masks")
    click(qtbot, panel, settled(qtbot, panel).use)
    photograph = viewer.add_image(drawn_fields[0].image, name="A01")
    viewer.add_labels(truth, name="truth", metadata=tag(LayerRecord(GROUND_TRUTH)))
    settled(qtbot, panel)

    panel.buttons.errors_only.native.click()

    assert photograph.visible
    assert not viewer.layers["masks"].visible


def test_two_masks_are_offered_one_after_the_other(qtbot, viewer, panel, truth):
    for name in ("first", "second"):
        viewer.add_image(truth.astype(np.uint8), name=name)
    offer = settled(qtbot, panel)
    click(qtbot, panel, offer.use)
    assert offer.text.value.startswith("second")

    click(qtbot, panel, offer.use)

    assert [layer.name.partition(" ")[0] for layer in made(viewer)] == ["first", "second"]
    assert not offer.isVisible()


def test_a_mask_of_which_there_are_labels_is_not_offered_again(qtbot, viewer, panel, truth):
    viewer.add_image(truth.astype(np.uint8), name="masks")
    click(qtbot, panel, settled(qtbot, panel).use)
    viewer.window.remove_dock_widget(panel.native)

    panel = viewer.window.add_plugin_dock_widget("napari-nucseg", "Score nuclei")[1]

    assert not settled(qtbot, panel).isVisible()


def test_a_mask_is_offered_again_once_its_labels_are_deleted(qtbot, viewer, panel, truth):
    viewer.add_image(truth.astype(np.uint8), name="masks")
    offer = settled(qtbot, panel)
    click(qtbot, panel, offer.use)
    assert not offer.isVisible()

    viewer.layers.remove(made(viewer)[0])
    assert offer.isVisible()
    click(qtbot, panel, offer.use)

    assert len(made(viewer)) == 1
    assert not offer.isVisible()


def test_a_mask_that_is_removed_is_not_offered_any_more(qtbot, viewer, panel, truth):
    image = viewer.add_image(truth.astype(np.uint8), name="masks")
    offer = settled(qtbot, panel)

    viewer.layers.remove(image)

    assert not offer.isVisible()


def photographs() -> dict[str, np.ndarray]:
    """Photographs that have something of a mask: few values, dark, cut off, smooth, in colour."""
    image = draw_field(seed=3).image.astype(float)
    scaled = (image - image.min()) / (np.percentile(image, 99) - image.min())
    eight = np.clip(255 * scaled, 0, 255).astype(np.uint8)
    cut_off = np.clip(400 * scaled - 150, 0, 255).astype(np.uint8)
    y, x = np.mgrid[:200, :200]
    blobs = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / 400) for a in (40, 150) for b in (50, 140))
    return {
        "16 bits": image.astype(np.uint16),
        "8 bits": eight,
        "few values": eight // 32,
        "dark": np.clip(12 * scaled, 0, 255).astype(np.uint8),
        "cut off": cut_off,
        "smooth": (250 * blobs).astype(np.uint8),
        "grey in colour": np.stack([eight] * 3, axis=-1),
        "in colour": np.stack([255 - eight, eight // 2, cut_off], axis=-1),
        "fractions": scaled,
    }


@pytest.mark.parametrize("kind", photographs())
def test_a_photograph_is_never_offered(qtbot, viewer, panel, kind):
    picture = photographs()[kind]
    viewer.add_image(picture, rgb=picture.ndim == 3)

    assert not settled(qtbot, panel).isVisible()

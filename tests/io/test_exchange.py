"""Labels go to other programs' files and come back, pixel by pixel and number by number."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from roifile import ROI_TYPE, ImagejRoi, roiread, roiwrite

from napari_nucseg.array_types import pixels_within
from napari_nucseg.io.calibration import Calibration
from napari_nucseg.io.coco import read_coco_images, unpack, write_coco
from napari_nucseg.io.images import read_label_image, read_labels, read_labels_header
from napari_nucseg.io.label_formats import (
    FORMATS,
    LabelFormat,
    find_format,
    format_of,
    read_foreign,
    stem_of,
)
from napari_nucseg.io.labelled import Labelled
from napari_nucseg.io.outlines import Outline, fill, trace
from napari_nucseg.io.sources import Source
from napari_nucseg.segmenters.devices import load_torch

BY_NAME = {one.name: one for one in FORMATS}
NEEDS_ZARR = pytest.mark.skipif(find_spec("zarr") is None, reason="zarr is not installed")
EXACT = [
    pytest.param(one, marks=NEEDS_ZARR) if one.name == "ome-zarr" else one
    for one in FORMATS
    if one.name != "bbbc039"
]
"""Formats that keep the numbers of labels."""
MADE = {"model": "fluo-nuclei", "parameters": {"diameter": 0.0}, "image": "a.tif"}


def name_of(form: LabelFormat) -> str:
    return form.name


fields = arrays(
    np.int32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.sampled_from([0, 0, 1, 2, 7, 300]),
)


def labels_of_all_kinds():
    """Nuclei that touch, lie in a hole, have holes or pieces, are a pixel, or at the border."""
    labels = np.zeros((30, 40), np.int32)
    labels[2:12, 2:12] = 1
    labels[4:10, 4:10] = 0
    labels[6:8, 6:8] = 2
    labels[2:12, 12:20] = 3
    labels[15:18, 3:6], labels[15:18, 8:11] = 5, 5
    labels[20, 20] = labels[21, 21] = 6  # corner to corner
    labels[29, 39] = labels[0, 0] = 40_000
    labels[25, 5] = 8
    labels[25, 6] = 9
    labels[14:29, 25:38] = 10
    labels[16, 27] = labels[17, 28] = labels[20:23, 30:33] = 0
    return labels


def numbers_beyond_16_bits():
    """Nuclei of one pixel each, numbered from 1 to 70,000."""
    labels = np.zeros((560, 500), np.uint32)
    labels[::2, ::2] = np.arange(1, 70_001).reshape(280, 250)
    return labels


def saved(form: LabelFormat, folder: Path, labels, **said) -> Source:
    path = form.file_of(folder, "a")
    form.save(path, Labelled(labels, **said))
    return Source(path)


@pytest.mark.parametrize("form", EXACT, ids=name_of)
def test_labels_of_all_kinds_come_back(form, tmp_path):
    labels = labels_of_all_kinds()

    found = read_label_image(saved(form, tmp_path, labels))

    assert np.array_equal(found.data, labels)
    assert found.notes == ()


@pytest.mark.parametrize("form", EXACT, ids=name_of)
def test_a_field_without_nuclei_comes_back(form, tmp_path):
    assert np.array_equal(
        read_labels(saved(form, tmp_path, np.zeros((5, 8), int))), np.zeros((5, 8))
    )


@pytest.mark.parametrize("form", EXACT, ids=name_of)
@settings(deadline=None, max_examples=25)
@given(labels=fields)
def test_any_labels_come_back(form, labels, tmp_path_factory):
    source = saved(form, tmp_path_factory.mktemp("any"), labels)

    found = read_foreign(source)
    if found is not None:
        assert np.array_equal(found.labels, labels)


@pytest.mark.parametrize("name", ["tiff", "ome-tiff", "cellpose", "coco"])
def test_70_000_nuclei_come_back(name, tmp_path):
    labels = numbers_beyond_16_bits()

    assert np.array_equal(read_labels(saved(BY_NAME[name], tmp_path, labels)), labels)


@pytest.mark.slow
def test_70_000_nuclei_come_back_from_as_many_files_in_an_archive(tmp_path):
    labels = numbers_beyond_16_bits()

    assert np.array_equal(read_labels(saved(BY_NAME["imagej"], tmp_path, labels)), labels)


def test_numbers_beyond_16_bits_come_back_from_text(tmp_path):
    labels = numbers_beyond_16_bits()
    labels[labels % 20 > 0] = 0

    assert np.array_equal(read_labels(saved(BY_NAME["qupath"], tmp_path, labels)), labels)


@pytest.mark.parametrize("form", EXACT, ids=name_of)
def test_a_stack_comes_back_or_is_refused_with_what_holds_it(form, tmp_path):
    stack = np.stack([labels_of_all_kinds(), labels_of_all_kinds()[::-1]])

    if form.in_stacks:
        assert np.array_equal(read_labels(saved(form, tmp_path, stack)), stack)
        return
    with pytest.raises(ValueError, match=r"holds one plane, and these labels have 2; choose tiff"):
        saved(form, tmp_path, stack)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cellpose", "imagej", "qupath", "coco"])
def test_how_labels_were_made_and_their_sizes_come_back(name, tmp_path):
    sizes = Calibration(0.5, None)
    source = saved(
        BY_NAME[name], tmp_path, labels_of_all_kinds(), image="a.tif", made=MADE, sizes=sizes
    )

    found = read_foreign(source)

    assert (found.image, found.made, found.sizes) == ("a.tif", MADE, sizes)


@pytest.mark.parametrize("name", ["png", "coco", "cellpose", "tiff"])
def test_labels_that_do_not_fit_are_refused_by_number(name, tmp_path):
    for label in (-1, 2**32):
        with pytest.raises(ValueError, match=f"label {label} does not fit"):
            saved(BY_NAME[name], tmp_path, np.array([[0, label]]))
    assert not list(tmp_path.iterdir())


def test_a_png_has_16_bits_and_refuses_more_nuclei(tmp_path):
    source = saved(BY_NAME["png"], tmp_path, np.array([[0, 7]]))

    with Image.open(source.path) as picture:
        assert picture.mode == "I;16"
    with pytest.raises(ValueError, match="label 65536 does not fit into 16 bits"):
        saved(BY_NAME["png"], tmp_path, np.array([[0, 2**16]]))


def test_an_ome_tiff_is_one_for_other_programs(tmp_path):
    source = saved(BY_NAME["ome-tiff"], tmp_path, labels_of_all_kinds(), sizes=Calibration(0.5))

    with tifffile.TiffFile(source.path) as file:
        assert file.is_ome
        assert file.pages.first.dtype == np.uint16
    assert read_labels_header(source).pixel_size == 0.5


def test_formats_are_told_by_the_whole_ending():
    assert format_of(Path("a.OME.TIF")).name == "ome-tiff"
    assert format_of(Path("a_seg.npy")).name == "cellpose"
    assert format_of(Path("a.npy")) is None
    assert stem_of(Path("a.b.ome.tiff")) == "a.b"
    with pytest.raises(ValueError, match="there is no format 'svg'; choose tiff, ome-tiff, png"):
        find_format("svg")


# Outlines


def test_outlines_that_share_a_line_share_no_pixel():
    left = np.array([[0, 0], [2.5, 0], [2.5, 4], [0, 4]])
    right = np.array([[2.5, 0], [5, 0], [5, 4], [2.5, 4]])

    labels, notes = fill([Outline(1, [left]), Outline(2, [right])], (4, 5))

    assert notes == ()
    assert labels[0].tolist() == [1, 1, 2, 2, 2]


def test_a_pixel_in_several_outlines_belongs_to_the_first_and_that_is_told():
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)

    labels, notes = fill(
        [Outline(1, [square]), Outline(2, [square + 1]), Outline(3, [square + 50])], (4, 4)
    )

    assert labels[:3, :3].tolist() == [[1, 1, 0], [1, 1, 2], [0, 2, 2]]
    assert notes == (
        "1 pixel in several outlines, and given to the first",
        "1 outline around no pixel of the image, and left out",
    )


def test_a_hole_belongs_to_the_piece_that_it_is_in():
    pieces = dict(trace(labels_of_all_kinds()))

    assert [len(piece.holes) for piece in pieces[1]] == [1]
    assert [len(piece.holes) for piece in pieces[5]] == [0, 0]
    assert len(pieces[6]) == 1


def test_far_corners_and_no_numbers_are_refused_or_cut_off():
    far = np.array([[-1e12, -1e12], [1e12, -1e12], [1e12, 1e12], [-1e12, 1e12]])
    rows, _ = pixels_within([far], (3, 3))

    assert len(rows) == 9
    with pytest.raises(ValueError, match="no finite number"):
        pixels_within([far * np.nan], (3, 3))


# ImageJ


def test_rois_drawn_in_imagej_are_read_with_the_shape_of_their_image(tmp_path):
    square = ImagejRoi.frompoints([[1, 1], [4, 1], [4, 3], [1, 3]], name="0012-0034")
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, left=5, top=5, right=11, bottom=11, name="oval")
    line = ImagejRoi(roitype=ROI_TYPE.LINE, x2=5, y2=5, name="line")
    roiwrite(tmp_path / "RoiSet.zip", [square, oval, line])
    source = Source(tmp_path / "RoiSet.zip")

    with pytest.raises(ValueError, match=r"does not say how large their image is.*--image IMAGE"):
        read_labels(source)
    found = read_foreign(source, (12, 12))

    assert np.argwhere(found.labels == 1).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]
    assert np.count_nonzero(found.labels == 2) == 32  # as ImageJ has it of 6 x 6
    assert found.notes == ("1 line or point without an area, and left out",)


def test_a_nucleus_with_a_hole_is_a_composite_that_roifile_reads(tmp_path):
    labels = np.ones((7, 7), int)
    labels[3, 3] = 0
    saved(BY_NAME["imagej"], tmp_path, labels)

    (roi,) = roiread(tmp_path / "a.zip")

    assert (roi.roitype, roi.composite, roi.name) == (ROI_TYPE.RECT, True, "1")
    assert len(roi.coordinates(multi=True)) == 2
    assert (roi.left, roi.top, roi.right, roi.bottom) == (0, 0, 8, 8)


def test_an_image_of_another_shape_is_refused(tmp_path):
    source = saved(BY_NAME["imagej"], tmp_path, labels_of_all_kinds())

    with pytest.raises(ValueError, match=r"made on an image of 30 x 40 pixels.*has 5 x 5"):
        read_foreign(source, (5, 5))


def test_a_damaged_archive_is_told_by_its_name(tmp_path):
    source = saved(BY_NAME["imagej"], tmp_path, labels_of_all_kinds())
    source.path.write_bytes(source.path.read_bytes()[:200])

    with pytest.raises(ValueError, match=r"a\.zip: not a whole zip archive"):
        read_labels(source)


# QuPath


def feature(corners, name=None, kind="detection", **more):
    named = {} if name is None else {"name": name}
    geometry = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {"objectType": kind, **named},
        **more,
    }


def write_features(path, features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return Source(path)


def test_of_cells_of_qupath_the_nuclei_are_taken_and_regions_are_left_out(tmp_path):
    whole = [[0, 0], [10, 0], [10, 10], [0, 10]]
    cell, nucleus = [[1, 1], [6, 1], [6, 6], [1, 6]], [[2, 2], [4, 2], [4, 4], [2, 4]]
    inner = {"type": "Polygon", "coordinates": [[*nucleus, nucleus[0]]]}
    features = [
        feature(whole, "Tissue", "annotation"),
        feature(cell, kind="cell", nucleusGeometry=inner),
    ]

    found = read_foreign(write_features(tmp_path / "a.geojson", features), (10, 10))

    assert np.argwhere(found.labels).tolist() == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert found.notes == (
        "1 region drawn around the nuclei, and left out",
        "it holds cells, of which the nuclei were taken",
    )


@pytest.mark.parametrize(("names", "numbers"), [(("7", "5"), [5, 7]), (("7", "7"), [1, 2])])
def test_names_that_are_numbers_are_labels_if_each_is_there_once(names, numbers, tmp_path):
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
    features = [feature((square + 3 * at).tolist(), name) for at, name in enumerate(names)]

    found = read_foreign(write_features(tmp_path / "a.geojson", features), (6, 6))

    assert np.unique(found.labels).tolist() == [0, *numbers]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"features": 3}',
        '{"features": [{"geometry": {"type": "Polygon"}}]}',
        "[" * 10**5,
    ],
)
def test_what_is_no_geojson_is_refused_by_name(text, tmp_path):
    (tmp_path / "a.geojson").write_text(text)

    with pytest.raises(ValueError, match=r"a\.geojson: "):
        read_foreign(Source(tmp_path / "a.geojson"), (5, 5))


def test_geojson_is_what_its_standard_says(tmp_path):
    source = saved(BY_NAME["qupath"], tmp_path, labels_of_all_kinds())
    found = json.loads(source.path.read_text())

    assert found["type"] == "FeatureCollection"
    kinds = {one["properties"]["name"]: one["geometry"]["type"] for one in found["features"]}
    assert (kinds["1"], kinds["5"]) == ("Polygon", "MultiPolygon")
    for one in found["features"]:
        polygons = one["geometry"]["coordinates"]
        for polygon in polygons if one["geometry"]["type"] == "MultiPolygon" else [polygons]:
            assert all(ring[0] == ring[-1] and len(ring) >= 4 for ring in polygon)


# COCO


def test_several_images_lie_in_one_file_of_coco(tmp_path):
    both = [Labelled(labels_of_all_kinds(), "a.tif"), Labelled(np.array([[0, 4]]), "b.tif")]
    write_coco(tmp_path / "all.json", both)

    found = list(read_coco_images(Source(tmp_path / "all.json")))

    assert [one.image for one in found] == ["a.tif", "b.tif"]
    assert all(np.array_equal(f.labels, b.labels) for f, b in zip(found, both, strict=True))
    with pytest.raises(ValueError, match=r"the nuclei of 2 images; .*napari-nucseg convert"):
        read_labels(Source(tmp_path / "all.json"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_the_same_pixels(tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    mask = pytest.importorskip("pycocotools.mask")
    labels = labels_of_all_kinds()
    source = saved(BY_NAME["coco"], tmp_path, labels)

    opened = coco.COCO(str(source.path))
    for one in opened.loadAnns(opened.getAnnIds()):
        inside = opened.annToMask(one).astype(bool)
        assert np.array_equal(inside, labels == one["label"])
        packed = mask.encode(np.asfortranarray(inside.astype(np.uint8)))
        counts = unpack(packed["counts"].decode())
        assert [*counts, 0][: len(one["segmentation"]["counts"])] == one["segmentation"]["counts"]
        assert one["area"] == inside.sum()
        assert one["bbox"] == mask.toBbox(packed).tolist()


def test_polygons_and_packed_masks_of_others_are_read_and_crowds_told(tmp_path):
    annotations = [
        {"id": 4, "image_id": 9, "segmentation": [[1, 1, 4, 1, 4, 3, 1, 3]], "iscrowd": 0},
        {"id": 5, "image_id": 9, "segmentation": {"size": [5, 6], "counts": "01m0"}},
        {"id": 6, "image_id": 9, "segmentation": {"size": [5, 6], "counts": [30]}, "iscrowd": 1},
    ]
    record = {"images": [{"id": 9, "file_name": "x/b.png", "height": 5, "width": 6}]}
    (tmp_path / "a.json").write_text(json.dumps(record | {"annotations": annotations}))

    found = read_foreign(Source(tmp_path / "a.json"))

    assert np.argwhere(found.labels == 1).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]
    assert np.argwhere(found.labels == 2).tolist() == [[0, 0]]
    assert (found.image, found.notes) == ("b.png", ("b.png: 1 crowd left out",))


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"images": [{"id": 1}], "annotations": []},
        {"images": [{"id": 1, "file_name": "a", "height": 2**40, "width": 9}], "annotations": []},
        {
            "images": [{"id": 1, "file_name": "a", "height": 2, "width": 2}],
            "annotations": [{"image_id": 1, "segmentation": {"size": [2, 2], "counts": [0, 9]}}],
        },
    ],
)
def test_what_is_no_coco_is_refused_by_name(record, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(record))

    with pytest.raises(ValueError, match=r"a\.json: "):
        read_foreign(Source(tmp_path / "a.json"))


PLAIN = {"id": 1, "file_name": "a.png", "height": 5, "width": 6}
SQUARE = [[1, 1, 4, 1, 4, 3, 1, 3]]


@pytest.mark.parametrize(
    ("image", "segmentation", "reason"),
    [
        (None, SQUARE, "no image is listed"),
        ({"file_name": ""}, SQUARE, "an image of the name '', which no file can have"),
        ({"file_name": "x/.."}, SQUARE, "an image of the name '..', which no file can have"),
        ({"file_name": "\ud800.tif"}, SQUARE, "which no file can have"),
        ({"file_name": "a\0.tif"}, SQUARE, "which no file can have"),
        ({}, {"size": [5, 6], "counts": "zz~~"}, "letters that are no run lengths"),
        ({}, {"size": [5, 6], "counts": "01P"}, "run lengths that are cut off"),
        ({}, [[0, 0, 1e300, 0, 1e300, 1e300]], "lies beyond any image"),
    ],
)
def test_what_coco_cannot_mean_is_refused_in_words(tmp_path, image, segmentation, reason):
    images = [] if image is None else [PLAIN | image]
    one = {"id": 4, "image_id": 1, "segmentation": segmentation}
    record = {"images": images, "annotations": [one]}
    (tmp_path / "a.json").write_text(json.dumps(record))

    with pytest.raises(ValueError, match=re.escape(reason)):
        list(read_coco_images(Source(tmp_path / "a.json")))


def test_nuclei_of_coco_that_are_left_out_are_told(tmp_path):
    annotations = [
        {"id": 1, "image_id": 1, "segmentation": SQUARE},
        {"id": 2, "image_id": 1, "segmentation": [[1, 1]]},
        {"id": 3, "image_id": 99, "segmentation": SQUARE},
    ]
    record = {"images": [PLAIN], "annotations": annotations}
    (tmp_path / "a.json").write_text(json.dumps(record))

    (found,) = read_coco_images(Source(tmp_path / "a.json"))

    assert np.unique(found.labels).tolist() == [0, 1]
    assert found.notes == (
        "a.png: 1 nucleus without a pixel in the image, and left out",
        "a.json: 1 nucleus of images that are not listed, and left out",
    )


# OME-Zarr


@NEEDS_ZARR
def test_labels_of_ome_zarr_are_what_its_metadata_should_be(tmp_path):
    yaozarrs = pytest.importorskip("yaozarrs", reason="yaozarrs is not installed")
    stack = np.stack([labels_of_all_kinds()] * 3)
    source = saved(
        BY_NAME["ome-zarr"], tmp_path, stack, image="a.tif", made=MADE, sizes=Calibration(0.5, 2.0)
    )

    told = json.loads((source.path / "zarr.json").read_text())["attributes"]
    scales = yaozarrs.validate_ome_object(told["ome"]).multiscales[0]
    found = read_foreign(source)

    assert [axis.name for axis in scales.axes] == ["z", "y", "x"]
    assert (found.made, found.sizes) == (MADE, Calibration(0.5, 2.0))
    assert np.array_equal(found.labels, stack)


@NEEDS_ZARR
@pytest.mark.parametrize(("made", "name"), [(MADE, "a fluo-nuclei"), ({}, "a labels")])
def test_labels_of_ome_zarr_are_called_after_their_image(tmp_path, made, name):
    labels = labels_of_all_kinds()
    source = saved(BY_NAME["ome-zarr"], tmp_path, labels, image="a.tif", made=made)

    told = json.loads((source.path / "zarr.json").read_text())["attributes"]

    assert told["ome"]["multiscales"][0]["name"] == name


@NEEDS_ZARR
def test_labels_within_an_image_of_version_0_4_are_read(tmp_path):
    import zarr

    image = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    image.create_group("labels").attrs["labels"] = ["cells"]
    group = image.create_group("labels/cells")
    group.create_array("s0", data=np.full((1, 1, 4, 5), 3, np.uint16))
    axes = [{"name": name} for name in "tcyx"]
    scale = [{"type": "scale", "scale": [1, 1, 0.5, 0.5]}]
    levels = [{"path": "s0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": levels, "version": "0.4"}]

    assert np.array_equal(read_foreign(Source(tmp_path / "a.zarr")).labels, np.full((4, 5), 3))


@NEEDS_ZARR
def test_a_folder_of_others_is_not_replaced_nor_read(tmp_path):
    (tmp_path / "a.ome.zarr").mkdir()

    with pytest.raises(FileExistsError, match="no folder of Zarr"):
        saved(BY_NAME["ome-zarr"], tmp_path, labels_of_all_kinds())
    with pytest.raises(ValueError, match="no folder of Zarr"):
        read_foreign(Source(tmp_path / "a.ome.zarr"))


@pytest.mark.skipif(find_spec("zarr") is not None, reason="zarr is installed")
def test_without_zarr_it_is_said_what_to_install(tmp_path):
    with pytest.raises(ValueError, match=r"pip install 'napari-nucseg\[zarr\]'"):
        saved(BY_NAME["ome-zarr"], tmp_path, labels_of_all_kinds())


# Cellpose


class _Count:
    """What Cellpose's window counts its cells with."""

    def __init__(self):
        self.value = 0

    def get(self):
        return self.value

    def set(self, value):
        self.value = int(value)

    def __gt__(self, other):
        return self.value > other

    def __eq__(self, other):
        return self.value == other

    def __hash__(self):
        return hash(self.value)


class _Anything:
    """Takes any call and any attribute."""

    def __getattr__(self, name):
        return _Anything()

    def __call__(self, *arguments, **named):
        return _Anything()

    def __len__(self):
        return 0

    def __sub__(self, other):
        return self


def cellposes(module):
    """Import a module of Cellpose, which would crash a process that has a window before torch."""
    load_torch()
    return pytest.importorskip(module, reason="Cellpose or its window is not installed")


@pytest.mark.slow
def test_cellposes_own_loader_opens_ours(tmp_path, monkeypatch):
    io = cellposes("cellpose.gui.io")
    labels = np.zeros((30, 40), np.int32)
    labels[2:12, 2:12], labels[2:12, 12:20], labels[20, 20] = 1, 2, 3
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 40), np.uint8))
    saved(BY_NAME["cellpose"], tmp_path, labels, image="a.tif")
    window = _Anything()
    window.__dict__.update(
        ncells=_Count(), restore=None, NZ=1, colormap=np.zeros((100, 4)), stack=np.zeros((1, 1))
    )
    monkeypatch.setattr(io, "_initialize_images", lambda parent, image, load_3D: None)

    io._load_seg(window, str(tmp_path / "a_seg.npy"))

    assert window.loaded
    assert window.filename.endswith("a.tif")
    assert np.array_equal(window.cellpix[0], labels)
    assert window.ncells.get() == 3


@pytest.mark.slow
def test_what_cellpose_saves_is_read(tmp_path):
    io = cellposes("cellpose.io")
    labels = labels_of_all_kinds().astype(np.uint16)
    flows = [np.zeros((30, 40, 3), np.uint8), np.zeros((2, 30, 40)), np.zeros((30, 40))]
    io.masks_flows_to_seg(np.zeros((30, 40)), labels, flows, str(tmp_path / "a.tif"))

    found = read_foreign(Source(tmp_path / "a_seg.npy"))

    assert np.array_equal(found.labels, labels)
    assert found.image == "a.tif"


@pytest.mark.slow
def test_rois_that_cellpose_saves_are_read(tmp_path):
    io = cellposes("cellpose.io")
    labels = np.zeros((40, 40), np.uint16)
    labels[5:15, 5:15], labels[20:33, 18:30] = 1, 2
    io.save_rois(labels, str(tmp_path / "a"))

    found = read_foreign(Source(tmp_path / "a_rois.zip"), (40, 40))

    for label in (1, 2):  # its outlines run through the middles of the outermost pixels
        ours, theirs = found.labels == label, labels == label
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.8

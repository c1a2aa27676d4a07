"""Plates of OME-Zarr, and folders whose files name their wells: fields, channels and truth."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile

import napari_nucseg as ns
from napari_nucseg.batch.saved_results import moved_to, open_results
from napari_nucseg.io import writers
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.plate_metadata import is_plate
from napari_nucseg.io.plates import PlateOptions, options_of
from tests.batch.trainings import make_start
from tests.drawn_plates import change, tell_acquisitions, write_alone, write_plate

pytest.importorskip("zarr")


@pytest.fixture
def fields(drawn_fields):
    """A field for each of the four places of a plate, the last without nuclei."""
    return [drawn_fields[0], drawn_fields[1], drawn_fields[0], drawn_fields[2]]


@pytest.fixture
def plate(tmp_path, fields):
    return write_plate(tmp_path / "plate.ome.zarr", fields)


@pytest.fixture
def bare(tmp_path, fields):
    """A plate without labels."""
    return write_plate(tmp_path / "bare.ome.zarr", fields, labels=())


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


DAPI = PlateOptions("DAPI")
PLACE = ("well", "row", "column", "site")
STEMS = ["B03_s1", "B03_s2", "B10_s1", "C10_s1"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_is_a_dataset_of_its_wells_and_fields(tmp_path, fields, version):
    path = write_plate(tmp_path / "plate.ome.zarr", fields, version)
    dataset = open_dataset(path, plate=DAPI)
    assert dataset.name == "plate"
    assert [one.stem for one in dataset.fields] == STEMS
    assert [one.name for one in dataset.fields] == STEMS
    places = [(one.well, one.row, one.column, one.site) for one in dataset.fields]
    assert places[1:3] == [("B03", "B", 3, 2), ("B10", "B", 10, 1)]
    for one, number in zip(dataset.fields, (0, 1, 3, 2), strict=True):
        drawn = fields[number]
        image = one.read_image()
        np.testing.assert_array_equal(image.data, drawn.image)
        assert image.pixel_size == pytest.approx(0.5)
        assert one.read_image_header() == image.header
        np.testing.assert_array_equal(one.read_truth(), drawn.labels)


def test_plates_of_these_tests_are_as_the_standard_says(tmp_path, fields):
    yaozarrs = pytest.importorskip("yaozarrs")
    yaozarrs.validate_zarr_store(str(write_plate(tmp_path / "new.zarr", fields, "0.5")))


def test_a_plate_without_labels_is_no_ground_truth(bare):
    assert open_dataset(bare, plate=DAPI).has_no_truth


def test_a_channel_is_found_by_name_in_any_case_or_by_number(plate, fields):
    for name in ("dapi", "2"):
        field = open_dataset(plate, plate=PlateOptions(name)).fields[0]
        np.testing.assert_array_equal(field.read_image().data, fields[0].image)


@pytest.mark.parametrize(
    ("wanted", "told"),
    [("", "have 2 channels.*GFP, DAPI"), ("Cy5", "no channel Cy5.*GFP, DAPI"), ("3", "no channel")],
)
def test_a_channel_that_is_not_told_or_not_there_is_refused(plate, wanted, told):
    with pytest.raises(ValueError, match=told):
        open_dataset(plate, plate=PlateOptions(wanted))


def test_channels_called_by_other_numbers_are_offered_as_they_are_taken(tmp_path, fields):
    path = write_plate(tmp_path / "a.zarr", fields, channels=("0", "1"))
    with pytest.raises(ValueError, match=r"called 0, 1 and here counted from 1.*: 1, 2") as refused:
        open_dataset(path)
    field = open_dataset(path, plate=PlateOptions(refused.value.choices[-1])).fields[0]
    np.testing.assert_array_equal(field.read_image().data, fields[0].image)
    path = write_plate(tmp_path / "b.zarr", fields, channels=("405", "488"))
    with pytest.raises(ValueError, match=r"have 2 channels; .*: 405, 488"):
        open_dataset(path)


@pytest.mark.parametrize("names", [("DAPI",), ("GFP", "DAPI", "Cy5")])
def test_names_of_more_or_fewer_channels_than_there_are_are_not_used(plate, names):
    for well in ("B/3", "C/10"):  # the first image, or another one
        before = (plate / well / "0/.zattrs").read_text()
        change(plate / well / "0", "omero", "channels", to=[{"label": one} for one in names])
        with pytest.raises(ValueError, match=f"DAPI by name, as it has 2 .* name {len(names)}"):
            open_dataset(plate, plate=DAPI)
        assert open_dataset(plate, plate=PlateOptions("2")).fields[0].channel.name == "2"
        (plate / well / "0/.zattrs").write_text(before)
    change(plate / "B/3/0", "omero", "channels", to=[{"label": one} for one in names])
    told = f"2 channels, and its metadata name {len(names)}; .*: 1, 2"
    with pytest.raises(ValueError, match=told):
        open_dataset(plate)


def test_a_name_that_is_another_channel_in_some_fields_is_refused(plate):
    change(plate / "C/10/0", "omero", "channels", to=[{"label": "DAPI"}, {"label": "GFP"}])
    with pytest.raises(ValueError, match="DAPI is another one in each"):
        open_dataset(plate, plate=DAPI)


def test_a_plate_of_one_channel_needs_no_name(tmp_path, fields):
    path = write_plate(tmp_path / "grey.zarr", fields, channels=("DAPI",))
    for options in (PlateOptions(), DAPI):
        field = open_dataset(path, plate=options).fields[0]
        np.testing.assert_array_equal(field.read_image().data, fields[0].image)


def test_of_several_labels_the_truth_has_to_be_named(tmp_path, fields):
    path = write_plate(tmp_path / "a.zarr", fields, labels=("cells", "nuclei"))
    with pytest.raises(ValueError, match=r"several labels.*: cells, nuclei"):
        open_dataset(path, plate=DAPI)
    with pytest.raises(ValueError, match="no image has labels spots; there are cells, nuclei"):
        open_dataset(path, plate=PlateOptions("DAPI", "spots"))
    chosen = open_dataset(path, plate=PlateOptions("DAPI", "nuclei"))
    assert {one.mask.path.name for one in chosen.fields} == {"nuclei"}


@pytest.mark.parametrize(
    ("wanted", "stems"),
    [
        *((one, ["B03_s1", "B10_s1", "C10_s1"]) for one in ("before", "BEFORE", "0")),
        *((one, ["B03_s2"]) for one in ("after", "1")),
    ],
)
def test_of_several_acquisitions_the_chosen_one_is_taken(plate, wanted, stems):
    tell_acquisitions(plate)
    chosen = PlateOptions("DAPI", acquisition=wanted)
    dataset = open_dataset(plate, plate=chosen)
    assert [one.stem for one in dataset.fields] == stems
    by_script = ns.open(plate, channel="DAPI", acquisition=wanted)
    assert by_script.fields == dataset.fields
    shutil.rmtree(plate / "B/10/0")  # of the first acquisition, so no loss of the other
    absent = ("B10_s1",) if "B10_s1" in stems else ()
    assert open_dataset(plate, plate=chosen).absent == absent


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("before", "after"), "are of 2 acquisitions; say which to take: before, after"),
        (("", "after"), "acquisitions, called , after; say which to take: 0, 1"),
        (("1", "2"), "acquisitions, called 1, 2; say which to take: 0, 1"),
        (("", ""), "are of 2 acquisitions; say which to take: 0, 1"),
    ],
)
def test_an_acquisition_that_is_not_told_or_not_there_is_refused(plate, names, told):
    tell_acquisitions(plate, names)
    with pytest.raises(ValueError, match=told):
        open_dataset(plate, plate=DAPI)
    there = told.rpartition(": ")[2]
    with pytest.raises(ValueError, match=f"no acquisition third; choose one of {there}"):
        open_dataset(plate, plate=PlateOptions("DAPI", acquisition="third"))


def test_a_plate_of_one_acquisition_needs_no_choice(plate):
    with pytest.raises(ValueError, match="no acquisition 0; it tells of none"):
        open_dataset(plate, plate=PlateOptions("DAPI", acquisition="0"))
    change(plate, "plate", "acquisitions", to=[{"id": 7}])
    for wanted in ("", "7"):
        dataset = open_dataset(plate, plate=PlateOptions("DAPI", acquisition=wanted))
        assert [one.stem for one in dataset.fields] == STEMS


def test_an_image_that_does_not_tell_its_acquisition_is_refused(plate):
    tell_acquisitions(plate)
    change(plate / "C/10", "well", "images", to=[{"path": "0"}])
    with pytest.raises(ValueError, match=r"10/0: its well does not tell its acquisition"):
        open_dataset(plate, plate=PlateOptions("DAPI", acquisition="0"))


def test_wells_and_labels_are_of_the_acquisition_that_is_asked_for(run, plate, tmp_path):
    tell_acquisitions(plate)
    line = "benchmark", plate, "--channel", "DAPI", "-m", "otsu", "--out", tmp_path / "out"
    done = run(*line)
    assert (done.code, "say which to take: before, after" in done.said) == (2, True)
    done = run(*line, "--acquisition", "before")
    assert done.code == 0, done.said
    assert [row["fields"] for row in read(tmp_path / "out" / "wells.csv")] == ["1", "1", "1"]
    line = "segment", plate, "--channel", "DAPI", "-m", "otsu", "--out", tmp_path / "labels"
    done = run(*line)
    assert (done.code, "say which to take: before, after" in done.said) == (2, True)
    done = run(*line, "--acquisition", "after")
    assert done.code == 0, done.said
    assert [path.name for path in (tmp_path / "labels").glob("*.tif")] == ["B03_s2.tif"]


def test_results_of_an_acquisition_find_a_plate_that_was_moved(run, plate, tmp_path):
    tell_acquisitions(plate)
    chosen = "--channel", "DAPI", "--acquisition", "after"
    assert run("benchmark", plate, *chosen, "-m", "otsu", "--out", tmp_path / "out").code == 0
    moved = plate.rename(tmp_path / "moved.ome.zarr")
    (results,) = open_results(tmp_path / "out")
    there = open_dataset(moved, plate=options_of(results.dataset, moved))
    assert there.fields == moved_to(results, there).dataset.fields
    assert [one.stem for one in there.fields] == ["B03_s2"]


def test_a_field_that_is_not_there_is_told_and_a_well_outside_is_refused(plate):
    shutil.rmtree(plate / "B/3/1")
    assert open_dataset(plate, plate=DAPI).absent == ("B03_s2",)
    change(plate, "plate", "wells", 0, "path", to="../B")
    with pytest.raises(ValueError, match="outside the folder"):
        open_dataset(plate, plate=DAPI)


@pytest.mark.parametrize("well", ["B/03", "b/3"])
def test_two_wells_of_one_name_are_refused(plate, well):
    change(plate, "plate", "wells", 1, "path", to=well)
    with pytest.raises(ValueError, match=rf"B/3 and .*{well}: both are well"):
        open_dataset(plate, plate=DAPI)


def test_an_image_that_a_well_lists_twice_is_refused(plate):
    change(plate / "B/3", "well", "images", to=[{"path": "0"}, {"path": "0"}])
    with pytest.raises(ValueError, match="B/3: its metadata list an image twice"):
        open_dataset(plate, plate=DAPI)


def test_damaged_metadata_are_refused_by_name(plate):
    assert is_plate(plate)
    (plate / "B/3/.zattrs").write_text("{")
    with pytest.raises(ValueError, match=r"3/.zattrs: its metadata are damaged"):
        open_dataset(plate, plate=DAPI)
    (plate / ".zattrs").write_text('{"plate": {"wells": [{"path": "B3"}]}}')
    with pytest.raises(ValueError, match="the metadata of the plate are damaged"):
        open_dataset(plate, plate=DAPI)


def test_options_of_plates_are_refused_for_other_datasets(drawn_dataset, plate):
    for options in (DAPI, PlateOptions(pattern="(?P<well>.*)", acquisition="1")):
        with pytest.raises(ValueError, match="no plate of OME-Zarr"):
            open_dataset(drawn_dataset, plate=options)
    with pytest.raises(ValueError, match="names its wells"):
        open_dataset(plate, plate=PlateOptions("DAPI", pattern="(?P<well>.*)"))


def test_a_plate_with_truth_is_scored_and_opens_again(run, plate, tmp_path):
    out = tmp_path / "out"
    done = run("benchmark", plate, "--channel", "DAPI", "-m", "otsu", "--out", out)
    assert done.code == 0, done.said
    rows = read(out / "fields.csv")
    assert [row["stem"] for row in rows] == STEMS
    assert [(row["well"], row["row"], row["column"], row["site"]) for row in rows][1] == (
        *("B03", "B", "3", "2"),
    )
    assert float(rows[0]["f1"]) > 0.5
    assert sorted(path.name for path in (out / "labels").iterdir()) == [f"{s}.tif" for s in STEMS]
    for table in ("objects.csv", "measurements.csv"):
        found = {tuple(row[name] for name in PLACE) for row in read(out / table)}
        assert ("B03", "B", "3", "2") in found
    wells = read(out / "wells.csv")
    assert [row["well"] for row in wells] == ["B03", "B10", "C10"]
    assert [row["fields"] for row in wells] == ["2", "1", "1"]
    counts = [int(row["predicted"]) for row in rows]
    assert [int(row["predicted"]) for row in wells] == [counts[0] + counts[1], *counts[2:]]
    objects = [row for row in read(out / "objects.csv") if row["side"] == "predicted"]
    areas = [float(row["area_um2"]) for row in objects if row["well"] == "B03"]
    assert float(wells[0]["median_area_um2"]) == pytest.approx(np.median(areas))
    assert float(wells[2]["object_f1"]) == pytest.approx(float(rows[3]["object_f1"]))
    page = (out / "report.html").read_text("utf-8")
    assert "otsu: F1 of a well" in page
    (results,) = open_results(out)
    assert results.dataset.fields == open_dataset(plate, plate=DAPI).fields
    again = run("benchmark", plate, "--channel", "DAPI", "-m", "otsu", "--out", out)
    assert again.code == 0, again.said
    other = run("benchmark", plate, "--channel", "GFP", "-m", "otsu", "--out", out)
    assert (other.code, "channel: 2 before, 1 now" in other.said) == (2, True)


def test_stacks_in_a_plate_are_refused_with_what_can_be_done(run, tmp_path, fields):
    for kind, labels in (("scored", ("nuclei",)), ("bare", ())):
        path = write_plate(tmp_path / f"{kind}.zarr", fields, labels=labels, planes=3)
        line = "benchmark", path, "--channel", "DAPI", "-m", "otsu", "--out", tmp_path / kind
        done = run(*line)
        assert done.code != 0
        assert "a stack of 3 planes, and fields here are planes; save one of each" in done.said
    line = "train", tmp_path / "scored.zarr", "--channel", "DAPI", "-o", tmp_path / "a.pt"
    assert "a stack of 3 planes, and fields here are planes" in run(*line).said


def test_results_find_a_plate_that_was_moved(run, plate, tmp_path):
    out = tmp_path / "out"
    run("benchmark", plate, "--channel", "DAPI", "-m", "otsu", "--out", out)
    (tmp_path / "there").mkdir()
    moved = plate.rename(tmp_path / "there" / plate.name)
    (results,) = open_results(out)
    found = moved_to(results, open_dataset(moved, plate=DAPI))
    assert found.dataset.fields[0].read_image().data.shape == (160, 200)


def test_a_plate_without_truth_is_measured(run, bare, tmp_path):
    out = tmp_path / "out"
    done = run("benchmark", bare, "--channel", "DAPI", "-m", "otsu", "--out", out)
    assert done.code == 0, done.said
    assert "write labels into the plate" in done.said
    rows = read(out / "fields.csv")
    assert [(row["stem"], row["well"], row["column"]) for row in rows] == [
        *(("B03_s1", "B03", "3"), ("B03_s2", "B03", "3")),
        *(("B10_s1", "B10", "10"), ("C10_s1", "C10", "10")),
    ]
    wells = read(out / "wells.csv")
    assert [(row["well"], row["nuclei"]) for row in wells[1:]] == [
        ("B10", rows[2]["nuclei"]), ("C10", rows[3]["nuclei"])
    ]  # fmt: skip
    nuclei = read(out / "measurements.csv")
    assert tuple(nuclei[-1][name] for name in ("field", *PLACE)) == (
        "C10_s1",
        "C10",
        "C",
        "10",
        "1",
    )
    page = (out / "report.html").read_text("utf-8")
    assert "otsu: Nuclei of a well" in page
    assert "otsu: Median area" in page


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_go_into_the_plate_and_are_no_truth_until_they_are_named(
    run, tmp_path, fields, version
):
    bare = write_plate(tmp_path / "bare.zarr", fields, version, labels=())
    into = "segment", bare, "--channel", "DAPI", "-m", "otsu", "--out", tmp_path / "labels"
    done = run(*into, "--into-plate", "otsu")
    assert done.code == 0, done.said
    assert open_dataset(bare, plate=DAPI).has_no_truth
    named = open_dataset(bare, plate=PlateOptions("DAPI", "otsu"))
    saved = tifffile.imread(tmp_path / "labels" / "B03_s1.tif")
    np.testing.assert_array_equal(named.fields[0].read_truth(), saved)
    (alone,) = ns.open(bare / "B" / "3" / "0").fields
    assert alone.mask is None  # it would be scored against itself
    again = run(*into, "--into-plate", "otsu")
    assert (again.code, "already exists" in again.said) == (0, True)


def test_measures_of_a_plate_tell_the_well_of_each_nucleus(run, plate, tmp_path):
    options = "--channel", "DAPI", "-m", "otsu", "--out", tmp_path
    assert run("segment", plate, *options, "--measures").code == 0
    first, *_ = read(tmp_path / "measurements.csv")
    told = "image", "index", *PLACE
    assert list(first)[:6] == list(told)
    assert [first[name] for name in told] == ["B03_s1.zarr", "1", "B03", "B", "3", "1"]
    assert run("segment", plate, *options, "--measures", "--cellprofiler").code == 0
    first, *_ = read(tmp_path / "measurements.csv")
    assert (first["Metadata_Well"], first["Metadata_Site"]) == ("B03", "1")


def test_a_plate_is_opened_by_scripts_and_learned_from(run, plate, tmp_path, fields):
    opened = ns.open(plate, channel="DAPI", truth_labels="nuclei").fields
    assert [one.name for one in opened] == STEMS
    np.testing.assert_array_equal(opened[0].read_truth(), fields[0].labels)
    with pytest.raises(ValueError, match="have 2 channels"):
        ns.open(plate)
    with pytest.raises(ValueError, match="channel is 2; it must be text"):
        ns.open(plate, channel=2)
    with pytest.raises(ValueError, match="no argument 'chanel'; choose among channel, truth_label"):
        ns.open(plate, chanel="2")
    start, out = make_start(tmp_path / "start.pt"), tmp_path / "mine.pt"
    brief = "--hold-out", 0, "--batches", 2, "--validate-every", 2, "--crop", 64
    line = "train", plate, "--start", start, *brief, "--batch-size", 2, "-o", out
    assert "have 2 channels" in run(*line).said
    done = run(*line, "--channel", "DAPI")
    assert done.code == 0, done.said
    told = json.loads(out.with_suffix(".json").read_text())
    assert told["learned_from"] == [{"name": "plate", "fields": 4}]


def test_labels_in_a_plate_are_kept_unless_it_is_asked(run, plate, tmp_path, fields):
    into = "segment", plate, "--channel", "DAPI", "-m", "otsu", "--out", tmp_path / "labels"
    done = run(*into, "--into-plate", "nuclei")
    assert (done.code, "they are kept" in done.said) == (2, True)  # of all images
    kept = open_dataset(plate, plate=DAPI).fields[0].read_truth()
    np.testing.assert_array_equal(kept, fields[0].labels)
    done = run(*into, "--into-plate", "nuclei", "--overwrite")
    assert done.code == 0, done.said
    replaced = open_dataset(plate, plate=PlateOptions("DAPI", "nuclei")).fields[0].read_truth()
    saved = tifffile.imread(tmp_path / "labels" / "B03_s1.tif")
    np.testing.assert_array_equal(replaced, saved)


def test_truth_in_a_plate_says_how_many_nuclei_a_hand_corrected(run, bare, tmp_path):
    into = "segment", bare, "--channel", "DAPI", "-m", "otsu", "--out", tmp_path / "labels"
    run(*into)
    path = tmp_path / "labels" / "B03_s1.tif"
    labels = tifffile.imread(path)
    made = {**writers.read_provenance(path), "corrected_by_hand": 1}
    writers.write_labels(path, labels * (labels != 1), made)
    assert run(*into, "--into-plate", "mine").code == 0
    truth = "--channel", "DAPI", "--truth-labels", "mine"
    done = run("benchmark", bare, *truth, "-m", "otsu", "--out", tmp_path / "out")
    assert done.code == 0, done.said
    assert [row["corrected_by_hand"] for row in read(tmp_path / "out" / "fields.csv")] == [*"1000"]


def test_labels_go_into_plates_alone_and_by_a_plain_name(run, plate, drawn_dataset, tmp_path):
    out = "-m", "otsu", "--out", tmp_path / "labels"
    done = run("segment", drawn_dataset / "images", *out, "--into-plate", "otsu")
    assert (done.code, "none of the images is of a plate" in done.said) == (2, True)
    done = run("segment", plate, "--channel", "DAPI", *out, "--into-plate", "../otsu")
    assert (done.code, "no name of labels" in done.said) == (2, True)


def test_plates_are_segmented_by_themselves(run, plate, drawn_dataset, tmp_path):
    line = "segment", plate, "--channel", "DAPI", "--out", tmp_path / "labels"
    done = run(*line, drawn_dataset / "images")
    assert (done.code, "segment plates by themselves" in done.said) == (2, True)
    done = run(*line, "--channel-axis", "first")
    assert (done.code, "says itself where channels lie" in done.said) == (2, True)
    done = run("segment", drawn_dataset / "images", *line[2:], "--acquisition", "1")
    assert (done.code, "--acquisition: none of the images is of a plate" in done.said) == (2, True)
    assert not (tmp_path / "labels").exists()


# Images of OME-Zarr beside one another


LAYOUTS = {
    "folders": ("images/{}.ome.zarr", "labels/{}.ome.zarr"),
    "tiff": ("images/{}.ome.zarr", "masks/{}.tif"),
    "beside": ("{}.ome.zarr", "{}_labels.ome.zarr"),
    "within": ("{}.ome.zarr", ""),
}


@pytest.fixture(params=LAYOUTS)
def zarrs(request, tmp_path, drawn_fields):
    image, truth = LAYOUTS[request.param]
    version = "0.5" if request.param == "beside" else "0.4"
    for name, field in zip("ab", drawn_fields, strict=False):
        inner = None if truth else field.labels
        write_alone(tmp_path / "set" / image.format(name), field.image, version, inner)
        path = tmp_path / "set" / truth.format(name)
        if truth.endswith(".tif"):
            path.parent.mkdir(exist_ok=True)
            tifffile.imwrite(path, field.labels.astype(np.uint16))
        elif truth:
            write_alone(path, field.labels.astype(np.uint32), version)
    return tmp_path / "set"


def test_images_of_ome_zarr_and_their_labels_are_a_dataset(zarrs, drawn_fields):
    dataset = open_dataset(zarrs)

    assert [field.stem for field in dataset.fields] == ["a", "b"]
    for field, drawn in zip(dataset.fields, drawn_fields, strict=False):
        image = field.read_image()
        assert np.array_equal(image.data, drawn.image)
        assert image.pixel_size == 0.5
        assert np.array_equal(field.read_truth(), drawn.labels)
    (alone,) = ns.open(next(zarrs.rglob("a.ome.zarr"))).fields
    assert alone.stem == "a"
    assert np.array_equal(alone.read_image().data, drawn_fields[0].image)
    assert np.array_equal(alone.read_truth(), drawn_fields[0].labels)


def test_a_list_names_images_of_ome_zarr(zarrs):
    (zarrs / "test.txt").write_text("b.ome.zarr\n")

    assert [field.stem for field in open_dataset(zarrs, "test").fields] == ["b"]


def test_images_of_ome_zarr_are_scored_and_their_labels_not_segmented(zarrs, run, tmp_path):
    done = run("benchmark", zarrs, "-m", "otsu", "--out", tmp_path / "out")

    assert done.code == 0, done.err
    assert "set, otsu: 2 fields" in done.flat
    assert sorted(one.name for one in (tmp_path / "out" / "labels").iterdir()) == ["a.tif", "b.tif"]
    images = next(zarrs.rglob("a.ome.zarr")).parent
    told = run("segment", images, "--out", tmp_path / "labels", "--json")
    assert [one["name"] for one in json.loads(told.out)["segmented"]] == [
        "a.ome.zarr",
        "b.ome.zarr",
    ]


def test_a_stack_of_ome_zarr_is_read_as_one(tmp_path, drawn_fields):
    volume = np.stack([drawn_fields[0].image] * 3)
    path = write_alone(tmp_path / "v.ome.zarr", volume)

    image = ns.open(str(path)).fields[0].read_image()

    assert np.array_equal(image.data, volume)
    assert (image.stack, image.pixel_size, image.z_spacing) == ("Z", 0.5, 1.0)
    with pytest.raises(ValueError, match="this is one image"):
        ns.open(path, "validation")

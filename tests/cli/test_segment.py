from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.batch import executor
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.metrics.score import score as score_labels
from tests.drawn_histology import draw_histology


def test_an_image_is_segmented(run, images, tmp_path, drawn_fields):
    done = run("segment", images / "a.tif", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    made = read_provenance(tmp_path / "out" / "a.tif")
    assert labels.shape == drawn_fields[0].image.shape
    assert labels.dtype == np.uint16
    assert made["image"] == "a.tif"
    assert made["model"] == "fluo-nuclei"
    assert f"a.tif: {labels.max()} nuclei" in done.flat


def test_a_diameter_that_was_found_in_the_image_is_told(run, tmp_path, drawn_fields):
    large = np.kron(drawn_fields[0].image, np.ones((4, 4), np.uint16))
    tifffile.imwrite(tmp_path / "large.tif", large)
    done = run("segment", tmp_path / "large.tif", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    made = read_provenance(tmp_path / "out" / "large.tif")
    assert made["is_estimated"]
    assert 93 < made["diameter"] < 156
    assert f" nuclei, diameter {made['diameter']:.0f} px (estimated), " in done.flat


def test_an_image_that_the_model_does_not_suit_is_told_on_standard_error(
    run, tmp_path, drawn_fields
):
    tifffile.imwrite(tmp_path / "dark.tif", 65535 - drawn_fields[0].image)
    for _ in range(2):  # labels that are there already are told of, too
        done = run("segment", tmp_path / "dark.tif", "-o", tmp_path / "out")
        assert done.code == 0
        assert "dark.tif: The nuclei seem to be darker than the background. Switch on" in done.err
        assert "(--invert)" in done.err
    assert run("segment", tmp_path / "dark.tif", "-o", tmp_path / "out", "--invert").err == ""


def test_images_are_segmented_by_one_model(refuse, images, tmp_path):
    two = ("-m", "otsu", "-m", "fluo-nuclei")
    message = refuse("segment", images, "-o", tmp_path / "out", *two)
    assert "--model fluo-nuclei: give one model; run it again for another" in message


def test_a_folder_is_segmented(run, images, tmp_path):
    done = run("segment", images, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    assert "a.tif: " in done.out
    assert "b.png: " in done.out


def test_labels_that_would_come_out_the_same_are_not_made_again(run, images, tmp_path):
    out = tmp_path / "out"
    run("segment", images, "-o", out)
    (out / "a.tif").unlink()  # as if the first time had been stopped there
    before = (out / "b.tif").stat().st_mtime_ns
    done = run("segment", images, "-o", out)
    assert done.code == 0, done.err
    assert "b.png: " in done.out
    assert done.flat.count("already exists") == 1
    assert (out / "a.tif").is_file()
    assert (out / "b.tif").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["another image", "another value"])
def test_labels_that_would_come_out_otherwise_are_made_again(
    run, images, tmp_path, drawn_fields, change
):
    out, options = tmp_path / "out", ()
    run("segment", images / "a.tif", "-o", out)
    if change == "another image":
        tifffile.imwrite(images / "a.tif", drawn_fields[1].image)
    else:
        options = ("--min-size", 100)
    done = run("segment", images / "a.tif", "-o", out, *options)
    assert done.code == 0, done.err
    assert "already exists" not in done.flat
    assert tifffile.imread(out / "a.tif").shape == drawn_fields[0].image.shape


def without_first_nucleus(path):
    """Correct labels as napari does that has them open, and return them."""
    labels = tifffile.imread(path)
    labels[labels == 1] = 0
    write_labels(path, labels, read_provenance(path))
    return labels


@pytest.mark.parametrize("option", [(), ("--min-size", 100)], ids=["same", "other value"])
def test_labels_that_were_corrected_are_kept_until_told_otherwise(run, images, tmp_path, option):
    out = tmp_path / "out"
    run("segment", images / "a.tif", "-o", out)
    made = tifffile.imread(out / "a.tif")
    corrected = without_first_nucleus(out / "a.tif")
    done = run("segment", images / "a.tif", "-o", out, *option)
    assert done.code == 0, done.err
    assert f"{len(np.unique(corrected)) - 1} nuclei" in done.flat
    kept = "its labels were edited since, and are kept; --overwrite makes them anew"
    assert kept in " ".join(done.err.split())
    np.testing.assert_array_equal(tifffile.imread(out / "a.tif"), corrected)

    assert run("segment", images / "a.tif", "-o", out, "--overwrite").code == 0
    np.testing.assert_array_equal(tifffile.imread(out / "a.tif"), made)


@pytest.mark.parametrize(
    "content", ["labels of others", "a picture", "nothing", "cut off", "cut in half"]
)
def test_files_of_others_at_the_place_of_labels_are_kept(run, images, tmp_path, content):
    out = tmp_path / "out"
    run("segment", images, "-o", out)
    target = out / "a.tif"
    if content == "labels of others":
        tifffile.imwrite(target, tifffile.imread(target))
    elif content == "a picture":
        tifffile.imwrite(target, np.zeros((4, 5, 3), np.uint8), photometric="rgb")
    else:
        whole = target.read_bytes()
        kept = {"cut off": 40, "cut in half": len(whole) // 2, "nothing": 0}
        target.write_bytes(whole[: kept[content]])
    before = target.read_bytes()
    done = run("segment", images, "-o", out)
    assert done.code == 1
    assert (
        f"{target} already exists, and is not what this command has written; it is kept"
        in done.flat
    )
    assert done.flat.count("(already exists)") == 1  # the other image is done
    assert target.read_bytes() == before

    assert run("segment", images, "-o", out, "--overwrite").code == 0
    assert target.read_bytes() != before


def test_labels_beside_the_images_are_no_images_of_the_next_call(run, images):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(images / "b_masks.png")
    (images / "a.tif").rename(images / "a.tiff")
    for expected in ("1 file of labels left out", "3 files of labels left out"):
        done = run("segment", images, "-o", images / "..", "--min-size", 20)
        assert done.code == 0, done.err
        assert expected in " ".join(done.err.split())
        for name in ("a.tif", "b.tif"):
            target = images.parent / name
            if target.exists():
                target.rename(images / f"{target.stem} of before.tif")


def test_an_image_that_fails_does_not_stop_the_others(run, images, tmp_path):
    (images / "a.tif").write_bytes(b"not a TIFF")
    done = run("segment", images, "-o", tmp_path / "out")
    assert done.code == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.tif"]
    assert "a.tif" in done.flat
    assert "1 of 2 images failed, the others are done" in done.flat


def test_a_scheduler_that_is_not_there_is_told_before_anything_is_written(
    refuse, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(executor, "CONNECT_SECONDS", 1)
    line = ("segment", images, "-o", tmp_path / "out", "--scheduler", "tcp://127.0.0.1:1")
    assert "tcp://127.0.0.1:1: no Dask scheduler answers there" in refuse(*line)
    assert not (tmp_path / "out").exists()


def test_the_path_of_a_result_can_be_copied_from_the_output(run, images, tmp_path):
    out = tmp_path / ("a rather long name of a folder, longer than a terminal is wide " * 2).strip()
    done = run("segment", images / "a.tif", "-o", out)
    assert done.code == 0, done.err
    assert str(out / "a.tif") in done.out


def test_names_in_square_brackets_are_shown_as_they_are(run, images, tmp_path):
    (images / "a.tif").rename(images / "a [dapi].tif")
    done = run("segment", images / "a [dapi].tif", "-o", tmp_path / "run [bold]")
    assert done.code == 0, done.err
    assert "a [dapi].tif" in done.flat
    assert "run [bold]" in done.flat
    assert (tmp_path / "run [bold]" / "a [dapi].tif").is_file()


def test_a_stack_is_refused_with_its_name(refuse, tmp_path):
    stack = np.zeros((3, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    message = refuse("segment", tmp_path / "stack.tif", "-o", tmp_path / "out")
    assert f"{tmp_path / 'stack.tif'}: a stack of 3 planes" in message


@pytest.mark.parametrize("method", ["stitched", "3d"])
def test_a_stack_is_segmented_in_depth(run, tmp_path, drawn_fields, method):
    plane = drawn_fields[0].image
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([plane] * 4), photometric="minisblack")
    options = ("--volume", method, "--stitch-threshold", 0.5, "--anisotropy", 2)
    done = run("segment", tmp_path / "stack.tif", "-o", tmp_path / "out", *options)
    assert done.code == 0, done.err
    labels = tifffile.imread(tmp_path / "out" / "stack.tif")
    made = read_provenance(tmp_path / "out" / "stack.tif")
    assert labels.shape == (4, *plane.shape)
    assert made["depth"] == {"method": method, "stitch_threshold": 0.5, "anisotropy": 2.0}
    count = drawn_fields[0].labels.max()
    assert 0.5 * count <= len(np.unique(labels)) - 1 <= 1.5 * count


def test_planes_by_themselves_are_kept_at_the_second_call_and_all_their_nuclei_counted(
    run, tmp_path, drawn_fields
):
    planes = np.stack([field.image for field in drawn_fields] * 6)
    tifffile.imwrite(tmp_path / "stack.tif", planes, photometric="minisblack")
    line = ("segment", tmp_path / "stack.tif", "-o", tmp_path / "out", "--volume", "planes")
    first, second = run(*line, "--model", "otsu"), run(*line, "--model", "otsu")
    labels = tifffile.imread(tmp_path / "out" / "stack.tif")
    count = sum(len(np.unique(plane)) - 1 for plane in labels)
    assert count > 2 * labels.max()
    assert (first.code, second.code) == (0, 0), second.err
    assert f"stack.tif: {count} nuclei" in first.flat
    assert f"stack.tif: {count} nuclei" in second.flat
    assert "(already exists)" in second.flat

    write_labels(
        tmp_path / "out" / "stack.tif",
        labels * (labels != 1),
        read_provenance(tmp_path / "out" / "stack.tif"),
    )
    third = run(*line, "--model", "otsu")
    assert f"stack.tif: {count - np.sum((labels == 1).any((1, 2)))} nuclei" in third.flat
    assert "its labels were edited since" in " ".join(third.err.split())


@pytest.mark.parametrize("count", [3, 4])
def test_a_stack_whose_planes_are_called_colours_is_one_where_a_volume_is_asked_for(
    run, refuse, tmp_path, drawn_fields, count
):
    planes = np.stack([drawn_fields[0].image] * count)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    line = ("segment", tmp_path / "a.tif", "-o", tmp_path / "out", "-m", "otsu")
    assert "if its planes are a stack, say how to take it by --volume" in refuse(*line)
    done = run(*line, "--volume", "planes")
    assert done.code == 0, done.err
    assert "its tags call its planes colours: they were taken for a stack" in done.said
    assert tifffile.imread(tmp_path / "out" / "a.tif").shape == planes.shape


def test_a_colour_image_is_no_stack(refuse, tmp_path, drawn_fields):
    grey = drawn_fields[0].image
    colours = np.stack([grey, grey // 2, grey // 4], axis=-1)
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    line = ("segment", tmp_path / "a.tif", "-o", tmp_path / "out", "-m", "otsu")
    assert "--volume" not in refuse(*line)
    assert "a colour image" in refuse(*line, "--volume", "planes")


def test_a_channel_of_a_colour_image_is_segmented_and_told(run, tmp_path, drawn_fields):
    grey = drawn_fields[0].image
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([grey // 9, grey, grey]), photometric="rgb")
    done = run("segment", tmp_path / "a.tif", "-o", tmp_path / "out", "--channel", "Green")
    assert done.code == 0, done.err
    assert "nuclei in channel green of 3" in done.flat


@pytest.mark.parametrize("name", ["haematoxylin", "Hematoxylin"])
def test_nuclei_of_a_stained_section_are_found_in_its_haematoxylin(run, tmp_path, name):
    picture, nuclei = draw_histology()
    Image.fromarray(picture).save(tmp_path / "section.png")
    options = ("--channel", name, "--model", "otsu")
    done = run("segment", tmp_path / "section.png", "-o", tmp_path / "out", *options)
    assert done.code == 0, done.err
    assert "12 nuclei in haematoxylin of 3 channels" in done.flat
    labels = tifffile.imread(tmp_path / "out" / "section.tif")
    assert np.count_nonzero((labels > 0) != nuclei) < 0.05 * np.count_nonzero(nuclei)


def test_a_stained_section_is_refused_with_the_channel_to_try(refuse, tmp_path):
    Image.fromarray(draw_histology()[0]).save(tmp_path / "section.png")
    message = refuse("segment", tmp_path / "section.png", "-o", tmp_path / "out")
    assert "choose it by --channel 1 to 3, or mean; try --channel haematoxylin" in message


@pytest.mark.parametrize("model", ["otsu", "fluo-nuclei"])
def test_dark_nuclei_are_those_of_the_plain_field(run, tmp_path, drawn_fields, model):
    image = drawn_fields[0].image - drawn_fields[0].image.min()
    made = []
    for name, pixels, options in (("plain", image, ()), ("dark", 65535 - image, ("--invert",))):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
        done = run(
            *("segment", tmp_path / f"{name}.tif", "-o", tmp_path / "out"),
            *("--model", model, *options),
        )
        assert done.code == 0, done.err
        made.append(tifffile.imread(tmp_path / "out" / f"{name}.tif"))
        told = read_provenance(tmp_path / "out" / f"{name}.tif")
        assert told["parameters"]["invert"] is (name == "dark")
    assert made[0].any()
    assert np.array_equal(*made)


def test_labels_of_a_version_that_knew_no_dark_nuclei_are_those_of_bright_ones(
    run, images, tmp_path
):
    command = ("segment", images / "a.tif", "-o", tmp_path / "out", "--model", "otsu")
    run(*command)
    path = tmp_path / "out" / "a.tif"
    labels, made = tifffile.imread(path), read_provenance(path)
    del made["parameters"]["invert"]
    write_labels(path, labels, made)
    assert "already exists" in run(*command).flat
    assert "already exists" not in run(*command, "--invert").flat


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--channel", "7"), "a.tif: it has 3 channels; choose channel 1 to 3, or mean"),
        (("--channel", "teal"), "channel is 'teal'; it must be a number"),
        (("--channel-axis", "first"), "--channel-axis needs --channel"),
        (("--anisotropy", "0"), "anisotropy is 0.0; it must be 0.1 to 20"),
        ((), "choose it by --channel 1 to 3, or mean; try --channel mean"),
    ],
    ids=str,
)
def test_choices_that_cannot_be_are_refused_with_what_to_choose(refuse, tmp_path, options, reason):
    colours = np.zeros((20, 30, 3), np.uint8)
    colours[:2] = 9, 8, 7
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    assert reason in refuse("segment", tmp_path / "a.tif", "-o", tmp_path / "out", *options)


def test_an_undefined_pixel_is_refused_with_the_images_name(refuse, tmp_path):
    image = np.zeros((20, 30), np.float32)
    image[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "holes.tif", image)
    message = refuse("segment", tmp_path / "holes.tif", "-o", tmp_path / "out")
    assert "holes.tif" in message
    assert "NaN" in message


def test_of_two_images_of_one_name_neither_is_segmented_and_the_others_are(
    run, images, tmp_path, drawn_fields
):
    tifffile.imwrite(tmp_path / "b.tif", drawn_fields[0].image)
    done = run("segment", images, tmp_path / "b.tif", "-o", tmp_path / "out")
    assert done.code == 1
    assert "2 of 3 images failed, the others are done" in done.flat
    for one, other in (
        (images / "b.png", tmp_path / "b.tif"),
        (tmp_path / "b.tif", images / "b.png"),
    ):
        assert f"{one} and {other}: both would be saved as b.tif" in done.flat
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.tif"]


def test_labels_beside_their_image_that_lost_their_note_stop_no_other_image(
    run, images, drawn_fields
):
    Image.fromarray(drawn_fields[0].image).save(images / "c.png")
    (images / "a.tif").unlink()
    line = ("segment", images, "-o", images, "-m", "otsu")
    assert run(*line).code == 0
    labels = tifffile.imread(images / "b.tif")
    tifffile.imwrite(images / "b.tif", labels)  # as a program does that knows no notes
    before = (images / "b.tif").read_bytes()
    done = run(*line)
    assert done.code == 1
    assert "both would be saved as b.tif" in done.flat
    assert f"{images / 'c.tif'} (already exists)" in done.flat
    assert (images / "b.tif").read_bytes() == before


def test_a_link_to_nothing_is_told_by_its_name(run, images, tmp_path):
    (images / "c.tif").symlink_to("gone.tif")
    done = run("segment", images, "-o", tmp_path / "out", "-m", "otsu")
    assert done.code == 1
    assert f"{images / 'c.tif'}: it is a link to gone.tif, which is not there" in done.flat
    assert "1 of 3 images failed, the others are done" in done.flat


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_segmented_with_a_word_on_its_losses(run, drawn_fields, tmp_path, name, mode):
    grey = Image.fromarray((drawn_fields[0].image / 16).clip(max=255).astype(np.uint8))
    folder = tmp_path / "images"
    folder.mkdir()
    grey.convert(mode).save(folder / name, format="JPEG", quality=95)
    done = run("segment", folder, "-m", "otsu", "--measures", "-o", tmp_path / "out")
    assert done.code == 0
    assert f"{name}: JPEG has changed its pixels" in done.said
    labels = tifffile.imread(tmp_path / "out" / "a.tif")
    found = score_labels(drawn_fields[0].labels, labels)
    assert found.objects.f1 > 0.7
    rows = (tmp_path / "out" / "measurements.csv").read_text().splitlines()
    assert len(rows) == 1 + labels.max()


def test_of_an_image_and_its_jpeg_the_image_is_segmented(run, images, tmp_path):
    Image.new("L", (20, 30)).save(images / "a.jpg")
    done = run("segment", images, "-m", "otsu", "-o", tmp_path / "out")
    assert done.code == 0
    assert "1 JPEG beside an image left out, the first is a.jpg" in done.said


def test_labels_as_jpeg_are_refused(refuse, drawn_fields, tmp_path):
    Image.fromarray(drawn_fields[0].labels.astype(np.uint8)).save(tmp_path / "a.jpg")
    tifffile.imwrite(tmp_path / "truth.tif", drawn_fields[0].labels)
    message = refuse("score", tmp_path / "a.jpg", tmp_path / "truth.tif")
    assert "a.jpg: JPEG changes the numbers of labels; save them as TIFF or PNG" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tif", b""), ("a.tif", b"not a TIFF"), ("a.png", b"\x89PNG\r\n\x1a\n"), ("a.txt", b"x")],
    ids=["empty", "text", "cut off", "another kind"],
)
def test_a_file_that_is_no_image_is_refused_with_its_name(refuse, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert name in refuse("segment", tmp_path / name, "-o", tmp_path / "out")


def test_a_path_that_is_not_there_does_not_stop_the_others(run, images, tmp_path):
    missing, empty = tmp_path / "missing.tif", tmp_path / "empty"
    empty.mkdir()
    given = images / "a.tif", missing, empty, images / "b.png"
    done = run("segment", *given, "-o", tmp_path / "out", "-m", "otsu")

    assert done.code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "b.tif"]
    assert f"{missing}: there is no such file or folder" in done.flat
    assert f"{empty}: no TIFF, PNG or JPEG image here" in done.flat
    assert "2 of 4 images failed, the others are done" in done.flat


def test_what_is_not_there_is_refused(refuse, tmp_path):
    message = refuse("segment", tmp_path / "nowhere.tif", "-o", tmp_path / "out")
    assert "nowhere.tif: there is no such file or folder" in message


def test_labels_never_replace_the_images_they_were_made_of(run, refuse, images):
    before = (images / "a.tif").read_bytes()
    line = ("segment", images / "a.tif", "-o", images, "--overwrite")
    assert "labels would replace this image" in refuse(*line)
    done = run("segment", images, "-o", images)
    assert done.code == 1
    assert f"{images / 'a.tif'}: labels would replace this image" in done.flat
    assert (images / "b.tif").is_file()
    assert (images / "a.tif").read_bytes() == before

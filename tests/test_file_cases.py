"""Kinds of files that people have had trouble with, and the right outcome of each."""

from __future__ import annotations

import csv
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path, PurePosixPath
from zipfile import ZipFile, ZipInfo

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.io.datasets import open_datasets
from napari_nucseg.io.images import read_image, read_labels
from napari_nucseg.io.sources import Source, list_archive

OTSU = ("--model", "otsu")
UUID = "urn:uuid:0000000{}-0000-0000-0000-000000000000"


@pytest.fixture
def score(run):
    """Score one file against another; return true and false positives, and what was said."""

    def command(predicted, truth, *options):
        done = run("score", predicted, truth, "--json", *options)
        assert done.code == 0, done.said
        objects = json.loads(done.out)["pooled"]["objects"]
        return (objects["tp"], objects["fp"], objects["fn"]), " ".join(done.err.split())

    return command


@pytest.fixture
def fields(drawn_fields):
    """Two drawn fields with nuclei."""
    return drawn_fields[:2]


def pair(folder: Path, name: str, field, image_suffix=".tif", truth="{}_masks.tif") -> None:
    """Write an image and its labels."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}{image_suffix}"
    if image_suffix == ".tif":
        tifffile.imwrite(path, field.image)
    else:
        grey = (field.image / field.image.max() * 255).astype(np.uint8)
        Image.fromarray(grey).save(path)
    target = folder / truth.format(name)
    target.parent.mkdir(exist_ok=True)
    if target.suffix == ".npy":
        np.save(target, {"masks": field.labels.astype(np.uint16), "diameter": 30.0, "flows": []})
    elif target.suffix == ".png":
        Image.fromarray(field.labels.astype(np.uint16)).save(target)
    else:
        tifffile.imwrite(target, field.labels.astype(np.uint16))


def count_true(out: Path) -> list[int]:
    """Count the true nuclei of each field of a run."""
    truths = [row["field"] for row in rows_of(out / "objects.csv") if row["side"] == "truth"]
    return [truths.count(name) for name in sorted(set(truths))]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# Labels by content


def test_a_png_and_a_tiff_of_the_same_labels_score_the_same(tmp_path, fields, score):
    labels = fields[0].labels.astype(np.uint16)
    count = int(labels.max())
    Image.fromarray(labels).save(tmp_path / "a.png")
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "b.png")
    palette = Image.fromarray(labels.astype(np.uint8), "P")
    palette.putpalette(np.random.default_rng(0).integers(0, 256, 768).tolist())
    palette.save(tmp_path / "c.png")
    tifffile.imwrite(tmp_path / "d.tif", labels.astype(np.float32))
    tifffile.imwrite(tmp_path / "e.tif", labels[None, :, :, None])
    tifffile.imwrite(tmp_path / "truth.tif", labels)
    shutil.copy(tmp_path / "a.png", tmp_path / "named_wrongly.tif")
    for path in sorted(tmp_path.glob("*")):
        assert score(path, tmp_path / "truth.tif") == ((count, 0, 0), ""), path.name


def test_a_label_in_two_pieces_is_one_nucleus_whatever_the_ending(tmp_path, score):
    truth = np.zeros((64, 64), np.uint8)
    truth[4:20, 4:20], truth[30:50, 30:50] = 1, 2
    truth[10, 4:20] = 0
    tifffile.imwrite(tmp_path / "two.tif", truth)
    Image.fromarray(truth).save(tmp_path / "two.png")
    for name in ("two.tif", "two.png"):
        assert score(tmp_path / name, tmp_path / "two.tif")[0] == (2, 0, 0)


@pytest.mark.parametrize("kind", ["tif of 255", "tif of bool", "png of 255", "png of bool"])
def test_a_binary_mask_is_told_and_its_components_can_be_taken(tmp_path, score, kind):
    truth = np.zeros((64, 64), np.uint16)
    truth[4:20, 4:20], truth[30:46, 30:46], truth[4:20, 40:56] = 1, 2, 3
    binary = truth > 0 if kind.endswith("bool") else (truth > 0).astype(np.uint8) * 255
    path = tmp_path / f"binary.{kind[:3]}"
    if kind.startswith("tif"):
        tifffile.imwrite(path, binary)
    else:
        Image.fromarray(binary).save(path)
    tifffile.imwrite(tmp_path / "truth.tif", truth)
    counts, said = score(path, tmp_path / "truth.tif")
    assert counts == (0, 1, 3)
    assert f"{path}: it looks like a binary mask" in said
    assert "in 3 pieces, which are taken for one nucleus; --components takes each" in said
    counts, said = score(path, tmp_path / "truth.tif", "--components")
    assert counts == (3, 0, 0)
    assert "each piece was taken for a nucleus" in said


def test_one_nucleus_is_no_binary_mask(tmp_path, score):
    labels = np.zeros((30, 40), np.uint16)
    labels[4:20, 4:20] = 1
    tifffile.imwrite(tmp_path / "a.tif", labels)
    assert score(tmp_path / "a.tif", tmp_path / "a.tif") == ((1, 0, 0), "")


def test_a_binary_ground_truth_is_told_by_benchmark_and_can_be_separated(tmp_path, fields, run):
    pair(tmp_path / "d", "a", fields[0])
    binary = (fields[0].labels > 0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "d" / "a_masks.tif", binary)
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "one", *OTSU)
    assert (done.code, "; --components takes each piece for a nucleus" in done.said) == (0, True)
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "each", *OTSU, "--components")
    assert (done.code, "each piece was taken for a nucleus" in done.said) == (0, True)
    assert count_true(tmp_path / "one") == [1]
    assert count_true(tmp_path / "each")[0] > 5


def test_negative_labels_are_named(tmp_path, run):
    labels = np.zeros((9, 9), np.int16)
    labels[:3] = -1
    tifffile.imwrite(tmp_path / "a.tif", labels)
    done = run("score", tmp_path / "a.tif", tmp_path / "a.tif")
    assert done.code == 2
    assert "it holds -1 in 27 pixels" in done.said


# Datasets of any layout


@pytest.mark.parametrize(
    "truth",
    ["{}_masks.tif", "{}_cp_masks.png", "{}_label.tif", "{}_seg.npy", "labels/{}.png"],
)
def test_labels_beside_images_are_their_ground_truth(tmp_path, fields, run, truth):
    for name, field in zip("ab", fields, strict=True):
        pair(tmp_path / "d", name, field, truth=truth)
    if truth.startswith("labels"):
        (tmp_path / "d" / "images").mkdir()
        for name in "ab":
            (tmp_path / "d" / f"{name}.tif").rename(tmp_path / "d" / "images" / f"{name}.tif")
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "out", *OTSU)
    assert done.code == 0, done.said
    assert count_true(tmp_path / "out") == [f.labels.max() for f in fields]


def test_two_folders_and_a_table_of_pairs_are_datasets(tmp_path, fields, run):
    for name, field in zip("ab", fields, strict=True):
        pair(tmp_path / "pictures", name, field, truth="../gt/{}.tif")
    table = tmp_path / "pairs.csv"
    table.write_text(
        "image;label;split\npictures/a.tif;gt/a.tif;training\npictures/b.tif;gt/b.tif;test\n"
    )
    commands = {
        "two": (tmp_path / "pictures", tmp_path / "gt"),
        "table": (table,),
        "split": (table, "--split", "test"),
    }
    for name, dataset in commands.items():
        done = run("benchmark", *dataset, "-o", tmp_path / name, *OTSU)
        assert done.code == 0, done.said
        stems = [row["stem"] for row in rows_of(tmp_path / name / "fields.csv")]
        assert stems == (["b"] if name == "split" else ["a", "b"])


def test_a_folder_of_images_and_one_of_truth_after_it_are_one_dataset(tmp_path, fields):
    for name, field in zip("ab", fields, strict=True):
        pair(tmp_path / "pictures", name, field, truth="../gt/{}_masks.tif")
        pair(tmp_path / "beside", name, field)
    folders = [tmp_path / name for name in ("beside", "pictures", "gt")]
    beside, two = open_datasets(folders)
    for dataset in (beside, two):
        assert dataset.without_mask == ()
        for field, drawn in zip(dataset.fields, fields, strict=True):
            assert np.array_equal(field.read_truth(), drawn.labels)


def test_jpeg_images_are_read_with_a_word_on_their_losses(tmp_path, fields, run):
    pair(tmp_path / "d", "a", fields[0], image_suffix=".jpg")
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "out", *OTSU)
    assert done.code == 0, done.said
    assert "JPEG has changed its pixels" in done.said


def test_equal_stems_are_refused_naming_both(tmp_path, fields, run):
    for part in ("images", "masks"):
        (tmp_path / "d" / part).mkdir(parents=True)
    for name in ("images/x.tif", "images/x.tiff", "masks/x.tif"):
        tifffile.imwrite(tmp_path / "d" / name, fields[0].labels)
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "out", *OTSU)
    assert done.code == 2
    assert "x.tif and " in done.said
    assert "x.tiff: two images of one field" in done.said


def test_what_masks_holds_is_said_where_none_is_read(tmp_path, fields, run):
    (tmp_path / "d" / "images").mkdir(parents=True)
    (tmp_path / "d" / "masks").mkdir()
    tifffile.imwrite(tmp_path / "d" / "images" / "x.tif", fields[0].image)
    np.save(tmp_path / "d" / "masks" / "x.npy", fields[0].labels)
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "out", *OTSU)
    assert done.code == 2
    assert "masks/: it holds .npy files, which are not read" in done.said
    assert "add" not in done.said


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_a_seg_file_that_is_cut_off_is_refused_with_what_to_do(tmp_path, fields, share):
    pair(tmp_path, "a", fields[0], truth="{}_seg.npy")
    path = tmp_path / "a_seg.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"a_seg\.npy: not a file that Cellpose's window.* again$"):
        read_labels(Source(path))


@pytest.mark.parametrize("core", [b"numpy.core.", b"numpy._core."], ids=["numpy 1", "numpy 2"])
def test_a_seg_file_of_any_numpy_is_read(tmp_path, fields, core):
    record = {
        "masks": fields[0].labels.astype(np.uint16),
        "flows": [fields[0].image, [np.zeros(3, np.float32)], None],
        "est_diam": np.float32(30),
        "filename": np.str_("a.tif"),
        "ismanual": np.zeros(3, bool),
        "normalize_params": {"lowhigh": None, "percentile": [1.0, 99.0]},
    }
    path = tmp_path / "a_seg.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        content = pickle.dumps(np.array(record, dtype=object), protocol=2)  # names are lines
        file.write(content.replace(b"numpy._core.", core))
    assert np.array_equal(read_labels(Source(path)), fields[0].labels)


@pytest.mark.parametrize("module", [b"pathlib", b"pathlib._local"])
@pytest.mark.parametrize("kind", [b"PosixPath", b"WindowsPath", b"PurePosixPath"])
def test_a_seg_file_that_knows_its_image_by_a_path_is_read(tmp_path, fields, module, kind):
    record = {"filename": PurePosixPath("/data/a.tif"), "masks": fields[0].labels}
    content = pickle.dumps(np.array(record, dtype=object), protocol=2)
    with (tmp_path / "a_seg.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        of_python = f"{PurePosixPath.__module__}\nPurePosixPath".encode()
        file.write(content.replace(of_python, module + b"\n" + kind))
    assert np.array_equal(read_labels(Source(tmp_path / "a_seg.npy")), fields[0].labels)


class Program:
    """What unpickling would run."""

    def __reduce__(self):
        return os.mkdir, ("run_by_unpickling",)


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_seg_file_is_never_run_as_a_program(tmp_path, fields, run, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    record = np.array({"masks": fields[0].labels, "filename": Program()}, dtype=object)
    with Path("a_seg.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|O", "fortran_order": False, "shape": ()}
        )
        pickle.dump(record, file, protocol=protocol)
    done = run("score", "a_seg.npy", "a_seg.npy")
    assert done.code == 2
    assert "posix.mkdir" in done.said or "nt.mkdir" in done.said
    assert "is not run" in done.said
    assert not Path("run_by_unpickling").exists()


class Unflagged(ZipInfo):
    """A member whose name is UTF-8, which it does not say; so does macOS."""

    def _encodeFilenameFlags(self):
        return self.filename.encode(), self.flag_bits & ~0x800


@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("kind", [ZipInfo, Unflagged])
def test_archives_of_other_systems_open(tmp_path, fields, run, separator, kind):
    name = "größe"
    for part, data in (("images", fields[0].image), ("masks", fields[0].labels)):
        tifffile.imwrite(tmp_path / "x.tif", data.astype(np.uint16))
        (tmp_path / "d").mkdir(exist_ok=True)
        with ZipFile(tmp_path / "d" / f"{part}.zip", "w") as archive:
            for member, content in (
                (f"{part}/{name}.tif", (tmp_path / "x.tif").read_bytes()),
                (f"__MACOSX/{part}/._{name}.tif", b"of the Finder"),
                (f"__MACOSX/{part}/{name}.tif", b"of the Finder"),
            ):
                one = kind(member)
                one.filename = member.replace("/", separator)
                archive.writestr(one, content)
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "out", *OTSU)
    assert done.code == 0, done.said
    assert [row["stem"] for row in rows_of(tmp_path / "out" / "fields.csv")] == [name]


@pytest.mark.parametrize(
    ("name", "page", "shown"),
    [
        ("細胞", "utf-8", "細胞"),
        ("größe", "cp1252", "gr%F6%DFe"),
        ("10µm", "cp850", "10%E6m"),
        ("細胞_染色", "big5", "%B2%D3%ADM_%ACV%A6%E2"),
        ("клетка", "cp866", "%AA%AB%A5%E2%AA%A0"),
    ],
)
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_names_that_are_not_utf_8_are_escaped(tmp_path, fields, name, page, shown, separator):
    write_archives(tmp_path, fields[0], name.encode(page), separator)
    (field,) = open_datasets([tmp_path])[0].fields
    assert field.stem == shown
    np.testing.assert_array_equal(field.read_image().data, fields[0].image)
    assert field.read_truth().max() == fields[0].labels.max()


def test_the_folders_of_an_archive_change_no_name(tmp_path, fields):
    name = "技术".encode("gbk")
    write_archives(tmp_path, fields[0], "опыт/".encode("cp866") + name, "/")
    write_archives(tmp_path / "b", fields[0], "세포/".encode("cp949") + name, "/")
    shutil.move(tmp_path / "b" / "masks.zip", tmp_path / "masks.zip")
    shutil.rmtree(tmp_path / "b")
    (field,) = open_datasets([tmp_path])[0].fields
    assert field.read_truth().max() == fields[0].labels.max()


def test_a_name_that_is_told_as_utf_8_beside_the_other_is_read(tmp_path, fields):
    """Info-ZIP and 7-Zip tell it in a field of its own, with a sum of the name that it is for."""
    content, raw = io.BytesIO(), "größe.tif".encode("cp437")
    tifffile.imwrite(content, fields[0].image)
    for told, shown in (("grösste", "grösste"), ("größe", "größe")):
        text, path = f"{told}.tif".encode(), tmp_path / f"{told}.zip"
        for crc, name in ((zlib.crc32(raw), shown), (0, "gr%94%E1e")):
            field = struct.pack("<HHBL", 0x7075, len(text) + 5, 1, crc) + text
            one = ZipInfo("x" * len(raw))
            one.extra = field
            with ZipFile(path, "w") as archive:
                archive.writestr(one, content.getvalue())
            path.write_bytes(path.read_bytes().replace(b"x" * len(raw), raw))
            (source,) = list_archive(path, (".tif",))
            assert source.stem == name
            assert source.read() == content.getvalue()


@pytest.mark.parametrize(
    "raw", [b"A\x83\x5cb", b"\xff\xfe\x81", b"\x94\x6c", b"\x83\x5c\x83", b"\xa5\xb1"]
)
def test_names_that_nobody_can_read_are_paired_all_the_same(tmp_path, fields, raw):
    write_archives(tmp_path, fields[0], raw, "/")
    (field,) = open_datasets([tmp_path])[0].fields
    assert field.stem
    np.testing.assert_array_equal(field.read_image().data, fields[0].image)
    assert field.read_truth().max() == fields[0].labels.max()


def test_a_name_that_says_that_it_is_utf_8_is_read(tmp_path, fields):
    for part, data in (("images", fields[0].image), ("masks", fields[0].labels)):
        tifffile.imwrite(tmp_path / "x.tif", data.astype(np.uint16))
        with ZipFile(tmp_path / f"{part}.zip", "w") as archive:
            archive.write(tmp_path / "x.tif", f"{part}/öl_µm.tif")
            archive.write(tmp_path / "x.tif", f"{part}/éléa.tif")
    (tmp_path / "x.tif").unlink()
    assert [field.stem for field in open_datasets([tmp_path])[0].fields] == ["éléa", "öl_µm"]


def write_archives(folder: Path, field, name: bytes, separator: str) -> None:
    """Write an image and its labels, each in an archive that does not say its names' code page."""
    folder.mkdir(exist_ok=True)
    for part, ending, data in (("images", "", field.image), ("masks", "_masks", field.labels)):
        content = io.BytesIO()
        tifffile.imwrite(content, data.astype(np.uint16))
        member = part.encode() + separator.encode() + name + ending.encode() + b".tif"
        stand_in = "x" * len(member)  # zipfile writes no other code pages
        with ZipFile(folder / f"{part}.zip", "w") as archive:
            archive.writestr(stand_in, content.getvalue())
        written = (folder / f"{part}.zip").read_bytes()
        (folder / f"{part}.zip").write_bytes(written.replace(stand_in.encode(), member))


# Tags of TIFF files


def test_an_image_in_which_white_is_0_is_inverted_with_a_note(tmp_path, fields, run):
    image = fields[0].image
    tifffile.imwrite(tmp_path / "plain.tif", image)
    tifffile.imwrite(tmp_path / "inverted.tif", image.max() - image, photometric="miniswhite")
    for name in ("plain", "inverted"):
        done = run("segment", tmp_path / f"{name}.tif", "-o", tmp_path / "out", *OTSU)
        assert done.code == 0, done.said
        assert ("WhiteIsZero: it was inverted" in done.said) is (name == "inverted")
    plain, inverted = (
        read_labels(Source(tmp_path / "out" / f"{n}.tif")) for n in ("plain", "inverted")
    )
    assert plain.max() == inverted.max() > 5


def test_a_file_of_an_ome_set_has_its_own_plane_and_tells_what_is_missing(tmp_path, fields, run):
    image, (height, width) = fields[0].image, fields[0].image.shape
    pixels = "".join(
        f'<Image ID="Image:{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="{width}" SizeY="{height}" SizeZ="1" SizeC="1" SizeT="1" BigEndian="false" '
        f'PhysicalSizeX="0.5" PhysicalSizeXUnit="µm">'
        f'<Channel ID="Channel:{i}:0" SamplesPerPixel="1"/><TiffData FirstC="0" FirstZ="0" '
        f'FirstT="0" IFD="0" PlaneCount="1"><UUID FileName="site{i}.ome.tif">{UUID.format(i)}'
        f"</UUID></TiffData></Pixels></Image>"
        for i in range(3)
    )
    for i in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/'
            f'Schemas/OME/2016-06" UUID="{UUID.format(i)}">{pixels}</OME>'
        )
        plane = np.roll(image, i)
        path = tmp_path / f"site{i}.ome.tif"
        tifffile.imwrite(path, plane, description=xml.encode(), metadata=None)
        read = read_image(Source(path))
        assert np.array_equal(read.data, plane)
        assert read.pixel_size == 0.5
    done = run("segment", *sorted(tmp_path.glob("*.tif")), "-o", tmp_path / "out", *OTSU)
    assert done.code == 0, done.said
    assert "one of a set of 3 files" in done.said
    assert "1 of the others is not here, the first is site2.ome.tif" in done.said
    for i in range(2):
        assert read_labels(Source(tmp_path / "out" / f"site{i}.ome.tif")).shape == image.shape


def test_thumbnails_are_passed_over_and_axes_of_length_1_go(tmp_path, fields):
    image = fields[0].image
    for first in (True, False):
        with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
            pages = [(image[::8, ::8], 1), (image, 0)]
            for page, kind in pages if first else pages[::-1]:
                writer.write(page, subfiletype=kind, metadata=None)
        assert np.array_equal(read_image(Source(tmp_path / "a.tif")).data, image)
    for shape in ((1, 1, *image.shape), (*image.shape, 1), (1, *image.shape, 1)):
        tifffile.imwrite(tmp_path / "b.tif", image.reshape(shape))
        assert np.array_equal(read_image(Source(tmp_path / "b.tif")).data, image)


def test_a_palette_is_resolved(tmp_path):
    numbers = np.arange(200, dtype=np.uint8).reshape(10, 20)
    ramp = np.arange(256)[::-1] * 257
    for channels in ((ramp, ramp, ramp), (0 * ramp, 0 * ramp, ramp)):  # grey, and DAPI's blue
        colours = np.array(channels, np.uint16)
        tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=colours)
        assert np.array_equal(read_image(Source(tmp_path / "a.tif")).data, 255 - numbers)
    many = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=many)
    with pytest.raises(ValueError, match="a colour image"):
        read_image(Source(tmp_path / "a.tif"))
    assert np.array_equal(read_labels(Source(tmp_path / "a.tif")), numbers)


# Sizes of pixels

SIZES = {
    **{
        f"ImageJ {unit}": ({"imagej": True, "metadata": {"unit": unit}}, 1.0)
        for unit in ("um", "micron", "microns", "\\u00B5m", "Micrometers", "micrometre")
    },
    "ImageJ nm": ({"imagej": True, "metadata": {"unit": "nm"}}, 1e3),
    "ImageJ cm": ({"imagej": True, "metadata": {"unit": "cm"}}, 1e-4),
    "ImageJ inch": ({"imagej": True, "metadata": {"unit": "inch"}}, 1 / 25400),
    "tags in cm": ({"resolutionunit": 3}, 1e-4),
    "tags in inch": ({"resolutionunit": 2}, 1 / 25400),
}


@pytest.mark.parametrize(("options", "factor"), SIZES.values(), ids=SIZES)
def test_the_size_of_a_pixel_is_read(tmp_path, fields, options, factor):
    edges = (1 / (0.656 * factor),) * 2
    tifffile.imwrite(tmp_path / "a.tif", fields[0].image, resolution=edges, **options)
    assert read_image(Source(tmp_path / "a.tif")).pixel_size == pytest.approx(0.656, rel=1e-4)


@pytest.mark.parametrize("unit", ["µm", "nm", "mm"])
def test_the_size_of_a_pixel_is_read_from_ome(tmp_path, fields, unit):
    size = 0.656 * {"µm": 1, "nm": 1e3, "mm": 1e-3}[unit]
    sizes = {f"PhysicalSize{axis}{what}": value for axis in "XY" for what, value in
             (("", size), ("Unit", unit))}  # fmt: skip
    tifffile.imwrite(
        tmp_path / "a.tif", fields[0].image, ome=True, metadata={"axes": "YX", **sizes}
    )
    assert read_image(Source(tmp_path / "a.tif")).pixel_size == pytest.approx(0.656)


@pytest.mark.parametrize("resolution", [(72, 72), (300, 300)])
def test_what_a_printer_is_told_is_no_size_of_a_pixel(tmp_path, fields, resolution):
    options = {"resolution": resolution, "resolutionunit": 2}
    tifffile.imwrite(tmp_path / "a.tif", fields[0].image, **options)
    assert read_image(Source(tmp_path / "a.tif")).pixel_size is None


@pytest.mark.parametrize("form", ["imagej", "ome"])
def test_tables_are_in_micrometres_and_labels_keep_the_size(tmp_path, fields, run, form):
    pair(tmp_path / "d", "x", fields[0])
    options = {
        "imagej": {"imagej": True, "resolution": (1 / 0.656,) * 2, "metadata": {"unit": "um"}},
        "ome": {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.656}},
    }[form]
    tifffile.imwrite(tmp_path / "d" / "x.tif", fields[0].image, **options)
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "out", *OTSU)
    assert done.code == 0, done.said
    for row in rows_of(tmp_path / "out" / "objects.csv"):
        assert float(row["area_um2"]) == pytest.approx(float(row["area_px"]) * 0.656**2, rel=1e-4)
    with tifffile.TiffFile(tmp_path / "out" / "labels" / "x.tif") as tiff:
        assert tiff.imagej_metadata["unit"] == "um"
        width, height = (tiff.pages[0].tags[name].value for name in ("XResolution", "YResolution"))
        assert width[1] / width[0] == height[1] / height[0] == pytest.approx(0.656, rel=1e-4)


@pytest.mark.filterwarnings("ignore:Warning only once")
def test_the_distance_of_planes_gives_the_anisotropy_unless_it_is_set(tmp_path, fields, run):
    from napari_nucseg.io.writers import read_provenance

    stack = np.stack([fields[0].image[:96, :96]] * 4)
    metadata = {"axes": "ZYX", "unit": "um", "spacing": 1.5}
    tifffile.imwrite(tmp_path / "a.tif", stack, imagej=True, resolution=(2, 2), metadata=metadata)
    for options, expected in (((), 3.0), (("--anisotropy", 1), 1.0)):
        out = tmp_path / f"out{expected}"
        done = run("segment", tmp_path / "a.tif", "-o", out, "--volume", "3d", *options)
        assert done.code == 0, done.said
        assert read_provenance(out / "a.tif")["depth"]["anisotropy"] == expected
    with tifffile.TiffFile(out / "a.tif") as tiff:
        assert tiff.imagej_metadata["spacing"] == 1.5


# One bad thing does not stop the rest


def test_a_long_name_is_a_name(tmp_path, fields, run):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("n" * 240 + ".tif", "n" * 251 + ".tif", "zzz.tif"):
        tifffile.imwrite(folder / name, fields[0].image)
    done = run("segment", folder, "-o", tmp_path / "out", *OTSU)
    assert done.code == 0, done.said
    assert len(list((tmp_path / "out").iterdir())) == 3
    for path in list(folder.iterdir()):
        (tmp_path / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "masks" / path.name, fields[0].labels)
    done = run("benchmark", tmp_path, "-o", tmp_path / "run", *OTSU)
    assert done.code == 0, done.said
    assert len(rows_of(tmp_path / "run" / "fields.csv")) == 3


def test_labels_that_cannot_be_written_fail_alone(tmp_path, fields, run):
    for name, field in zip("ab", fields, strict=True):
        pair(tmp_path / "d" / name, name, field)
    (tmp_path / "out" / "a.tif").mkdir(parents=True)
    images = [tmp_path / "d" / name / f"{name}.tif" for name in "ab"]
    done = run("segment", *images, "-o", tmp_path / "out", *OTSU)
    assert done.code == 1
    assert f"{images[0]}: " in done.said
    assert "1 of 2 images failed, the others are done" in done.said
    assert (tmp_path / "out" / "b.tif").is_file()


def test_labels_for_which_the_disk_has_no_room_fail_alone(tmp_path, fields, run):
    resource = pytest.importorskip("resource")  # Windows has no such limit
    images = [tmp_path / f"{name}.tif" for name in "abc"]
    for path, image in zip(images, (fields[0].image[:50, :60],) * 3, strict=True):
        tifffile.imwrite(path, image)
    tifffile.imwrite(images[1], np.tile(fields[0].image, (3, 3)))
    assert run("segment", *images, "-o", tmp_path / "roomy", *OTSU).code == 0
    sizes = [(tmp_path / "roomy" / path.name).stat().st_size for path in images]
    assert sizes[1] > 2 * sizes[0]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[1] // 2, before[1]))
    try:
        done = run("segment", *images, "-o", tmp_path / "out", *OTSU)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.code == 1
    assert f"{images[1]}: {tmp_path / 'out' / 'b.tif'}: the file is too large for this" in done.said
    assert "1 of 3 images failed, the others are done" in done.said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.tif", "c.tif"]
    done = run("segment", *images, "-o", tmp_path / "out", *OTSU)
    assert done.code == 0, done.said
    assert (tmp_path / "out" / "b.tif").stat().st_size == sizes[1]


def test_a_terminal_without_the_letters_of_a_name_gets_them_spelt_out(tmp_path, fields):
    path = tmp_path / "核β.tif"
    tifffile.imwrite(path, fields[0].image)
    done = subprocess.run(
        [sys.executable, "-m", "napari_nucseg", "segment", str(path), "-o", "out", *OTSU],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u6838" in done.stdout
    assert (tmp_path / "out" / "核β.tif").is_file()


# Words


@pytest.mark.parametrize("suffix", [".npy", ".czi", ".nd2"])
def test_files_of_others_are_sent_to_napari(tmp_path, run, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"of another program")
    words = (
        f"{suffix} files are not read here; open it in napari with its reader, and segment the "
        "layer"
    )
    done = run("segment", path, "-o", tmp_path / "out", *OTSU)
    assert done.code == 2
    assert words in done.said
    done = run("segment", tmp_path, "-o", tmp_path / "out", *OTSU)
    assert done.code == 2
    assert words in done.said


def test_messages_belong_to_their_command(tmp_path, fields, run):
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)
    pair(tmp_path / "d", "a", fields[0])
    tifffile.imwrite(tmp_path / "d" / "a.tif", picture, photometric="rgb")
    done = run("benchmark", tmp_path / "d", "-o", tmp_path / "out", *OTSU)
    assert done.code == 2
    assert "a colour image" in done.said
    assert "--channel" not in done.said
    done = run("score", tmp_path / "d" / "a.tif", tmp_path / "d" / "a_masks.tif")
    assert done.code == 2
    assert "--channel" not in done.said
    done = run("segment", tmp_path / "d" / "a.tif", "-o", tmp_path / "out", *OTSU)
    assert done.code == 2
    assert "choose it by --channel 1 to 3, or mean" in done.said

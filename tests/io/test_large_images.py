"""Images and labels that are read and written part by part."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_nucseg.array_types import parts_of
from napari_nucseg.io.channels import Channel
from napari_nucseg.io.images import read_image, read_labels
from napari_nucseg.io.large_images import checksum_in_parts, fingerprint, open_large, read_made
from napari_nucseg.io.ome_zarr import (
    create_labels,
    open_levels,
    open_zarr,
    write_part,
    write_zarr_labels,
)
from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff_parts import write_tiff_labels
from napari_nucseg.io.writers import checksum

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 2**16, (150, 210), dtype=np.uint16)
STACK = RNG.integers(0, 2**16, (5, 90, 70), dtype=np.uint16)
RGB = RNG.integers(0, 256, (150, 210, 3), dtype=np.uint8)
TILED = {"tile": (64, 48)}
FILES = {
    "in one piece": (GREY, {}),
    "big-endian": (GREY, {"byteorder": ">"}),
    "strips": (GREY, {"rowsperstrip": 7, "compression": "zlib"}),
    "tiles": (GREY, TILED),
    "tiles with a predictor": (GREY, {**TILED, "compression": "lzw", "predictor": True}),
    "white for zero": (GREY, {**TILED, "photometric": "miniswhite"}),
    "big": (GREY, {**TILED, "bigtiff": True}),
    "a stack": (STACK, {"compression": "zlib", "photometric": "minisblack"}),
    "a stack in one piece": (STACK, {"photometric": "minisblack"}),
    "a stack of ImageJ": (STACK, {"imagej": True, "metadata": {"axes": "ZYX"}}),
}
COLOURS = {
    "tiles of colours": (RGB, {**TILED, "photometric": "rgb"}),
    "strips of colours": (RGB, {"photometric": "rgb", "compression": "zlib"}),
    "colours one after another": (
        np.ascontiguousarray(np.moveaxis(RGB, -1, 0)),
        {**TILED, "photometric": "rgb", "planarconfig": "separate"},
    ),
}


class Array:
    """An array of which parts are read."""

    def __init__(self, data):
        self.data, self.shape = data, data.shape

    def read(self, box):
        return self.data[box]


def boxes(shape):
    yield tuple(slice(0, length) for length in shape)
    for _ in range(12):
        ends = [np.sort(RNG.choice(length + 1, 2, replace=False)) for length in shape]
        yield tuple(slice(int(a), int(b)) for a, b in ends)


@pytest.mark.parametrize("name", FILES)
def test_parts_of_a_tiff_are_those_of_the_image_as_it_is_read_whole(tmp_path, name):
    data, how = FILES[name]
    source = Source(tmp_path / "a.tif")
    tifffile.imwrite(source.path, data, **how)
    whole = read_image(source, as_stack=True).data
    with open_large(source) as image:
        assert image.shape == whole.shape
        for box in boxes(whole.shape):
            np.testing.assert_array_equal(image.read(box), whole[box])


@pytest.mark.parametrize("channel", ["2", "mean", "haematoxylin"])
@pytest.mark.parametrize("name", COLOURS)
def test_a_channel_of_colours_is_read_in_parts(tmp_path, name, channel):
    data, how = COLOURS[name]
    source, chosen = Source(tmp_path / "a.tif"), Channel.named(channel)
    tifffile.imwrite(source.path, data, **how)
    whole = read_image(source, chosen)
    with open_large(source, chosen) as image:
        assert image.channel == whole.channel
        for box in boxes(whole.data.shape):
            np.testing.assert_allclose(image.read(box), whole.data[box], atol=1e-6)


def test_of_a_pyramid_the_full_resolution_is_read(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as tiff:
        tiff.write(GREY, tile=(64, 64), subifds=1, photometric="minisblack")
        tiff.write(GREY[::2, ::2], tile=(64, 64), subfiletype=1, photometric="minisblack")
    with open_large(Source(tmp_path / "a.tif")) as image:
        np.testing.assert_array_equal(image.read((slice(0, 150), slice(0, 210))), GREY)


def test_colours_without_a_channel_and_damaged_files_are_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "rgb.tif", RGB, photometric="rgb")
    with (
        pytest.raises(ValueError, match=r"rgb.tif: a colour image"),
        open_large(Source(tmp_path / "rgb.tif")),
    ):
        pass
    (tmp_path / "bad.tif").write_bytes(b"II*\0")
    with pytest.raises(ValueError, match=r"bad.tif: "), open_large(Source(tmp_path / "bad.tif")):
        pass


@pytest.mark.parametrize("shape", [(700, 1300), (3, 600, 530), (511, 513)])
def test_labels_are_written_as_tiles_and_read_as_others(tmp_path, shape):
    blocky = RNG.integers(0, 70_000, [-(-length // 37) for length in shape]).astype(np.uint32)
    labels = np.kron(blocky, np.ones((37,) * len(shape), np.uint32))
    labels = labels[tuple(slice(0, length) for length in shape)]
    made = {"model": "m", "labels_sha256": checksum_in_parts(Array(labels))}
    path = tmp_path / "labels.tif"
    write_tiff_labels(path, Array(labels), made, largest=70_000)
    np.testing.assert_array_equal(read_labels(Source(path)), labels)
    assert read_made(path) == made
    assert made["labels_sha256"] == checksum(labels)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("shape", [(2500, 1301), (40, 600, 530), (17, 33)])
def test_labels_of_ome_zarr_have_a_pyramid_of_every_second_pixel(tmp_path, version, shape):
    zarr = pytest.importorskip("zarr")
    labels = RNG.integers(0, 100_000, shape).astype(np.uint32)
    path = tmp_path / "labels.ome.zarr"
    write_zarr_labels(path, Array(labels), {"nuclei": 3}, version=version)
    group = zarr.open_group(str(path), mode="r")
    assert group.metadata.zarr_format == (2 if version == "0.4" else 3)
    for level, name in enumerate(sorted(group.array_keys())):
        expected = labels[..., :: 2**level, :: 2**level]
        np.testing.assert_array_equal(group[name][:], expected)
    image = open_zarr(path)
    assert image.version == version
    np.testing.assert_array_equal(image.read(tuple(slice(0, n) for n in shape)), labels)
    assert read_made(path) == {"nuclei": 3}


def test_a_channel_of_ome_zarr_is_read(tmp_path):
    zarr = pytest.importorskip("zarr")
    axes = [{"name": n, "type": t} for n, t in [("c", "channel"), ("y", "space"), ("x", "space")]]
    datasets = [{"path": "s0"}]
    told = {"ome": {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}}
    group = zarr.create_group(str(tmp_path / "a.zarr"), attributes=told)
    array = group.create_array("s0", shape=STACK.shape, chunks=(1, 32, 32), dtype=STACK.dtype)
    array[:] = STACK
    with open_large(Source(tmp_path / "a.zarr"), Channel.named("3")) as image:
        assert image.shape == STACK.shape[1:]
        assert image.channel == "channel 3 of 5"
        np.testing.assert_array_equal(image.read((slice(5, 50), slice(0, 9))), STACK[2, 5:50, :9])


def test_folders_of_zarr_that_are_no_image_are_refused(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.create_group(str(tmp_path / "a.zarr"))
    zarr.create_group(str(tmp_path / "plate.zarr"), attributes={"ome": {"plate": {}}})
    with pytest.raises(ValueError, match=r"a.zarr: .*a group without multiscales"):
        open_zarr(tmp_path / "a.zarr")
    with pytest.raises(ValueError, match=r"give the folder of one of its images"):
        open_zarr(tmp_path / "plate.zarr")


def test_a_folder_that_changed_has_another_fingerprint(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "c").write_bytes(b"12")
    before = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == before
    (tmp_path / "0" / "c").write_bytes(b"123")
    assert fingerprint(tmp_path) != before


def test_a_pyramid_that_is_written_in_parts_holds_every_second_pixel_of_the_level_before(tmp_path):
    pytest.importorskip("zarr")
    labels = np.random.default_rng(0).integers(0, 9, (1100, 2500)).astype(np.uint32)
    levels = create_labels(tmp_path / "a.ome.zarr", labels.shape, {})
    for box in parts_of(labels.shape, (333, 501)):
        write_part(levels, box, labels[box])
    again = open_levels(tmp_path / "a.ome.zarr")
    assert len(again) == 3
    for number, level in enumerate(again):
        np.testing.assert_array_equal(level[:], labels[:: 2**number, :: 2**number])

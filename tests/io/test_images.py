from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image as PillowImage
from scipy import ndimage
from skimage.color import rgb2hed

from napari_nucseg.io.channels import Channel, ChannelNeededError
from napari_nucseg.io.images import (
    read_image,
    read_image_header,
    read_label_image,
    read_labels,
    read_labels_shape,
)
from napari_nucseg.io.sources import Source
from tests.conftest import write_mask

GREY = np.random.default_rng(0).integers(0, 4096, (30, 40)).astype(np.uint16)
PLANES = np.stack([GREY, GREY + 1, GREY + 2, GREY + 3])
NUCLEI = np.zeros((30, 40), dtype=np.int32)
NUCLEI[2:12, 2:12] = 1
NUCLEI[12:20, 5:15] = 2
NUCLEI[20:28, 30:38] = 3

READERS = (read_image, read_image_header, read_labels, read_labels_shape, read_labels)


def write_tiff(path: Path, data: np.ndarray, **options: object) -> Source:
    tifffile.imwrite(path, data, **{"photometric": "minisblack", **options})
    return Source(path)


def write_png(path: Path, data: np.ndarray) -> Source:
    PillowImage.fromarray(data).save(path)
    return Source(path)


def write_empty_png(path: Path, width: int, height: int) -> Source:
    """Write a PNG that claims a size and holds hardly a pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(100)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b""))
    return Source(path)


def write_frames(path: Path, **options: object) -> Source:
    """Write a stack one frame at a time."""
    with tifffile.TiffWriter(path) as writer:
        for plane in PLANES:
            writer.write(plane, photometric="minisblack", **options)
    return Source(path)


def write_deep_png(path: Path, samples: np.ndarray) -> Source:
    """Write a PNG of 16 bits a sample, which Pillow does not write."""
    path.write_bytes(png_encode(samples.astype(np.uint16)))
    return Source(path)


def cut(source: Source, length: int) -> Source:
    source.path.write_bytes(source.path.read_bytes()[:length])
    return source


def assert_refused(read: Callable[[Source], object], source: Source, *words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(str(source))) as failure:
        read(source)
    for word in words:
        assert word in str(failure.value)


def same_objects(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label images hold the same objects, however numbered."""
    pairs = set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    sides = [set(side) for side in zip(*pairs, strict=True)]
    background = all((a == 0) == (b == 0) for a, b in pairs)
    return background and len(pairs) == len(sides[0]) == len(sides[1])


# Grey images


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
def test_a_grey_tiff_of_any_type_keeps_its_values(tmp_path, dtype):
    data = (GREY % 200).astype(dtype)
    image = read_image(write_tiff(tmp_path / "a.tif", data))
    assert image.data.dtype == data.dtype
    np.testing.assert_array_equal(image.data, data)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_a_compressed_tiff_is_read(tmp_path, compression):
    source = write_tiff(tmp_path / "a.tif", GREY, compression=compression)
    np.testing.assert_array_equal(read_image(source).data, GREY)


@pytest.mark.parametrize("shape", [(1, 40), (30, 1), (1, 1)])
def test_an_image_of_one_row_or_column_stays_an_image(tmp_path, shape):
    data = GREY[: shape[0], : shape[1]]
    np.testing.assert_array_equal(read_image(write_tiff(tmp_path / "a.tif", data)).data, data)


@pytest.mark.parametrize("mode", ["uint8", "uint16"])
def test_a_grey_png_is_an_image_too(tmp_path, mode):
    data = (GREY % 200).astype(mode)
    source = write_png(tmp_path / "a.png", data)
    np.testing.assert_array_equal(read_image(source).data, data)
    assert read_image_header(source).shape == data.shape


def test_a_file_without_calibration_has_no_pixel_size(tmp_path):
    source = write_tiff(tmp_path / "a.tif", GREY, resolution=(72, 72))
    assert read_image(source).pixel_size is None


STACKS: dict[str, Callable[[Path], Source]] = {
    "one array": lambda path: write_tiff(path, PLANES),
    "of ImageJ": lambda path: write_tiff(path, PLANES, imagej=True),
    "plain pages": lambda path: write_frames(path, metadata=None),
    "frame by frame": lambda path: write_frames(path, contiguous=True),
    "frames apart": write_frames,
}


@pytest.mark.parametrize("write", STACKS.values(), ids=STACKS)
def test_a_tiff_of_several_pages_is_a_stack(tmp_path, write):
    source = write(tmp_path / "stack.tif")
    np.testing.assert_array_equal(read_image(source).data, PLANES)


def test_more_axes_than_three_become_one_axis_of_planes(tmp_path):
    source = write_tiff(tmp_path / "stack.tif", PLANES.reshape(2, 2, 30, 40))
    np.testing.assert_array_equal(read_image(source).data, PLANES)


@pytest.mark.parametrize("write", STACKS.values(), ids=STACKS)
def test_the_header_tells_the_shape_and_type_of_the_pixels(tmp_path, write):
    source = write(tmp_path / "stack.tif")
    header, image = read_image_header(source), read_image(source)
    assert header.shape == image.data.shape
    assert header.dtype == image.data.dtype


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("read", [read_image, read_image_header])
def test_a_colour_tiff_is_refused_as_such(tmp_path, read, planes):
    shape = (30, 40, 3) if planes == "contig" else (3, 30, 40)
    data = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
    source = write_tiff(tmp_path / "rgb.tif", data, photometric="rgb", planarconfig=planes)
    assert_refused(read, source, f"{source}: a colour image of shape {shape}")


def test_a_colour_png_is_refused_as_an_image(tmp_path):
    colours = np.zeros((30, 40, 3), dtype=np.uint8)
    colours[5, 5, 0] = 1
    source = write_png(tmp_path / "rgb.png", colours)
    assert_refused(read_image, source, "colour", "(30, 40, 3)")


@pytest.mark.parametrize("samples", [3, 4])
def test_a_png_whose_colours_are_equal_is_grey(tmp_path, samples):
    grey = np.arange(60, dtype=np.uint8).reshape(6, 10)
    picture = np.dstack([grey, grey, grey, np.full_like(grey, 255)])[..., :samples]
    source = write_png(tmp_path / "rgb.png", np.ascontiguousarray(picture))
    assert np.array_equal(read_image(source).data, grey)
    assert read_image_header(source).shape == (6, 10)


# Channels of colour images

RGB = np.stack([GREY, GREY // 2, GREY // 3])
WAYS: dict[str, Callable[[Path], Source]] = {
    "pixel by pixel": lambda path: write_tiff(path, np.moveaxis(RGB, 0, 2), photometric="rgb"),
    "plane by plane": lambda path: write_tiff(
        path, RGB, photometric="rgb", planarconfig="separate"
    ),
    "of ImageJ": lambda path: write_tiff(path, RGB, imagej=True, metadata={"axes": "CYX"}),
    "channels first, unsaid": lambda path: write_tiff(path, RGB),
    "channels last, unsaid": lambda path: write_tiff(path, np.moveaxis(RGB, 0, 2)),
    "with transparency": lambda path: write_tiff(
        path,
        np.dstack([*RGB, np.full_like(GREY, 65535)]),
        photometric="rgb",
        extrasamples=["unassalpha"],
    ),
}


@pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)
def test_a_chosen_channel_is_read_however_channels_lie(tmp_path, write):
    source = write(tmp_path / "a.tif")
    for name, expected in zip(("red", "2", "blue"), RGB, strict=True):
        image = read_image(source, Channel(name))
        np.testing.assert_array_equal(image.data, expected)
        assert image.channel == f"channel {name} of 3"
    haematoxylin = read_image(source, Channel("haematoxylin"))
    np.testing.assert_allclose(
        haematoxylin.data, rgb2hed(np.moveaxis(RGB, 0, -1))[..., 0], rtol=1e-4, atol=1e-6
    )
    assert haematoxylin.channel == "haematoxylin of 3 channels"
    mean = read_image(source, Channel("mean"))
    np.testing.assert_allclose(mean.data, RGB.mean(axis=0))
    assert mean.channel == "mean of 3 channels"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_channel_of_a_colour_png_is_read(tmp_path, mode):
    data = np.random.default_rng(1).integers(0, 256, (30, 40, len(mode))).astype(np.uint8)
    source = write_png(tmp_path / "a.png", data)
    np.testing.assert_array_equal(read_image(source, Channel("1")).data, data[..., 0])
    with pytest.raises(ValueError, match="choose channel 1 to"):
        read_image(source, Channel(str(len(mode) + 1)))


def test_a_channel_of_a_stack_leaves_the_planes(tmp_path):
    data = np.stack([PLANES, PLANES + 9], axis=1)
    options = {"imagej": True, "metadata": {"axes": "ZCYX"}}
    image = read_image(write_tiff(tmp_path / "a.tif", data, **options), Channel("2"))
    np.testing.assert_array_equal(image.data, PLANES + 9)
    assert image.stack == "Z"


def test_haematoxylin_of_a_stack_leaves_the_planes(tmp_path):
    data = np.stack([PLANES, PLANES // 2, PLANES // 3], axis=1)
    options = {"imagej": True, "metadata": {"axes": "ZCYX"}}
    image = read_image(write_tiff(tmp_path / "a.tif", data, **options), Channel("haematoxylin"))
    for plane, colours in zip(image.data, data, strict=True):
        expected = rgb2hed(np.moveaxis(colours, 0, -1))[..., 0]
        np.testing.assert_allclose(plane, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [2, 4, 5])
def test_haematoxylin_needs_three_colours(tmp_path, count):
    data = np.zeros((count, 30, 40), np.uint16)
    source = write_tiff(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "CYX"})
    assert_refused(
        lambda s: read_image(s, Channel("haematoxylin")),
        source,
        f"haematoxylin is separated by its red, green and blue, and it has {count} channels",
        f"choose channel 1 to {count}, or mean",
    )


def test_a_grey_image_has_no_channel(tmp_path):
    source = write_tiff(tmp_path / "a.tif", GREY)
    assert read_image(source).channel == ""
    assert_refused(lambda source: read_image(source, Channel("1")), source, "choose no channel")


@pytest.mark.parametrize("shape", [(3, 30, 4), (2, 3, 3)], ids=str)
def test_where_channels_may_lie_at_either_end_it_has_to_be_said(tmp_path, shape):
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    source = write_tiff(tmp_path / "a.tif", data)
    assert_refused(lambda s: read_image(s, Channel("1")), source, "first axis or the last")
    np.testing.assert_array_equal(read_image(source, Channel("2", "first")).data, data[1])
    np.testing.assert_array_equal(read_image(source, Channel("2", "last")).data, data[..., 1])


def test_many_planes_are_channels_only_where_it_is_said(tmp_path):
    source = write_tiff(tmp_path / "a.tif", np.stack([GREY + k for k in range(7)]))
    assert_refused(lambda s: read_image(s, Channel("5")), source, "known to hold channels")
    np.testing.assert_array_equal(read_image(source, Channel("5", "first")).data, GREY + 4)


def test_what_looks_like_colours_is_not_taken_for_planes(tmp_path):
    source = write_tiff(tmp_path / "a.tif", np.zeros((30, 40, 3), np.uint16))
    assert_refused(read_image, source, "colour image of shape (30, 40, 3)", "as a grey TIFF")
    with pytest.raises(ChannelNeededError) as refusal:
        read_image(source)
    assert refusal.value.choices == "1 to 3, or mean"


@pytest.mark.parametrize("write", [write_tiff, write_png], ids=["TIFF", "PNG"])
@pytest.mark.parametrize("first", [True, False], ids=["channels first", "channels last"])
def test_a_colour_image_is_refused_with_a_channel_to_try(tmp_path, write, first):
    colours = np.full((30, 40, 4), 240, np.uint8)
    colours[5:15, 5:15, :3] = 90, 60, 140
    if write is write_png:
        source = write_png(tmp_path / "a.png", colours)
    elif first:
        planes = np.moveaxis(colours[..., :3], -1, 0)
        source = write_tiff(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    else:
        source = write_tiff(tmp_path / "a.tif", colours[..., :3], photometric="rgb")
    with pytest.raises(ChannelNeededError, match="colour image") as refusal:
        read_image(source)
    assert refusal.value.proposal == "haematoxylin"


def test_what_has_no_three_colours_is_refused_without_a_channel_to_try(tmp_path):
    two = np.zeros((30, 40, 2), np.uint8)
    source = write_tiff(tmp_path / "a.tif", two, planarconfig="contig")
    with pytest.raises(ChannelNeededError) as refusal:
        read_image(source)
    assert (refusal.value.choices, refusal.value.proposal) == ("1 to 2, or mean", "")


@pytest.mark.parametrize("count", [2, 3, 4])
def test_colours_of_16_bits_keep_their_bits(tmp_path, count):
    samples = np.full((30, 40, count), 65535)
    samples[..., 0] = GREY
    source = write_deep_png(tmp_path / "a.png", samples)
    image = read_image(source, Channel("1") if count > 2 else None)
    np.testing.assert_array_equal(image.data, GREY)


@pytest.mark.parametrize("opaque", [True, False])
def test_grey_with_transparency_needs_no_channel(tmp_path, opaque):
    grey = (GREY // 16).astype(np.uint8)
    source = write_png(tmp_path / "a.png", np.stack([grey, grey | 255 * opaque], axis=-1))
    np.testing.assert_array_equal(read_image(source).data, grey)


@pytest.mark.parametrize("count", [3, 4])
def test_equal_colours_are_grey_in_a_tiff_as_in_a_png(tmp_path, count):
    samples = np.stack([GREY] * count, axis=-1)
    source = write_tiff(tmp_path / "a.tif", samples, photometric="rgb")
    image = read_image(source)
    np.testing.assert_array_equal(image.data, GREY)
    assert image.channel == ""
    assert read_image_header(source).shape == GREY.shape


def test_of_several_pictures_in_a_png_the_first_is_read_with_a_note(tmp_path):
    one, other = (PillowImage.fromarray(np.full((9, 9), n, np.uint8)) for n in (1, 2))
    one.save(tmp_path / "a.png", save_all=True, append_images=[other])
    image = read_image(Source(tmp_path / "a.png"))
    assert (image.data == 1).all()
    assert image.notes == ("it holds 2 pictures, of which the first alone was read",)


@pytest.mark.parametrize("axes", ["TZYX", "ZYX", "TYX"])
def test_times_and_depths_are_no_channels_unless_it_is_said(tmp_path, axes):
    stack = np.stack([PLANES[:3], PLANES[1:]]) if axes == "TZYX" else PLANES[:3]
    source = write_tiff(tmp_path / "a.tif", stack, imagej=True, metadata={"axes": axes})
    with pytest.raises(ValueError, match="is known to hold channels; say which axis does"):
        read_image(source, Channel("2"))
    chosen = read_image(source, Channel("2", "first")).data
    np.testing.assert_array_equal(chosen, stack[1])


def test_an_axis_is_not_chosen_against_what_the_file_says(tmp_path):
    source = write_tiff(tmp_path / "a.tif", np.moveaxis(RGB, 0, 2), photometric="rgb")
    assert_refused(lambda source: read_image(source, Channel("1", "first")), source, "first axis")


@pytest.mark.parametrize("name", ["0", "-1", "", "Green", "1.5", "alpha"])
def test_what_is_no_channel_is_refused(name):
    with pytest.raises(ValueError, match="must be a number from 1, red, green, blue, mean or haem"):
        Channel(name)


# Damaged images


@pytest.mark.parametrize("content", [b"", b"II", b"text, not pixels", b"\x89PNG\r\n\x1a\n" * 9])
@pytest.mark.parametrize("read", [read_image, read_image_header, read_labels])
def test_a_file_that_is_no_tiff_is_refused(tmp_path, read, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert_refused(read, Source(path))


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=["plain", "compressed"])
def test_a_tiff_cut_off_anywhere_is_refused(tmp_path, options):
    source = write_tiff(tmp_path / "a.tif", GREY, **options)
    whole = source.read()
    for length in [*range(0, len(whole), 61), len(whole) - 1]:
        source.path.write_bytes(whole[:length])
        assert_refused(read_image, source)
        assert_refused(read_image_header, source)


@pytest.mark.parametrize("read", [read_image, read_image_header])
@pytest.mark.parametrize("write", STACKS.values(), ids=STACKS)
def test_a_stack_cut_off_in_the_middle_is_refused(tmp_path, write, read):
    source = write(tmp_path / "stack.tif")
    assert_refused(read, cut(source, len(source.read()) // 2))


def test_damage_in_compressed_pixels_is_refused_by_name(tmp_path):
    source = write_tiff(tmp_path / "a.tif", GREY, compression="zlib")
    content = bytearray(source.read())
    content[-1000:-900] = bytes(100)
    source.path.write_bytes(content)
    assert_refused(read_image, source)


@pytest.mark.parametrize(("tag", "value"), [("Compression", 60_000), ("StripOffsets", 2**31)])
def test_a_tiff_with_a_senseless_tag_is_refused_by_name(tmp_path, tag, value):
    source = write_tiff(tmp_path / "a.tif", GREY, metadata=None)
    with tifffile.TiffFile(source.path) as tiff:
        offset = tiff.pages.first.tags[tag].valueoffset
    content = bytearray(source.read())
    content[offset : offset + 4] = value.to_bytes(4, "little")
    source.path.write_bytes(content)
    assert_refused(read_image, source)


def test_a_tiff_with_a_garbled_description_is_read_without_it_or_refused_by_name(tmp_path):
    source = write_tiff(tmp_path / "a.tif", GREY)
    source.path.write_bytes(source.read().replace(b"[30, 40]", b"[30; 40]"))
    try:
        found = read_image(source).data  # tifffile 2026.11 does
    except ValueError:
        assert_refused(read_image, source)
    else:
        np.testing.assert_array_equal(found, GREY)


@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.9, 0.999])
def test_a_real_field_cut_off_is_refused(bbbc039, tmp_path, share):
    real = next((bbbc039 / "images").glob("*.tif"))
    content = real.read_bytes()
    path = tmp_path / real.name
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(read_image, Source(path))
    assert_refused(read_image_header, Source(path))


# Masks


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", ["rgb", "rgba", "red alone", "colours"])
def test_nuclei_are_the_components_of_equal_colour(tmp_path, channels, suffix):
    red = np.array([0, 1, 2, 1], dtype=np.uint8)[NUCLEI]
    clear = np.zeros_like(red)
    layers = {
        "colours": np.array([[0, 0, 0], [9, 0, 7], [9, 0, 8], [0, 9, 0]], np.uint8)[NUCLEI],
        "rgb": np.dstack([red] * 3),
        "rgba": np.dstack([red] * 3 + [clear + 255]),
        "red alone": np.dstack([red, clear, clear, clear + 255]),
    }
    source = Source(tmp_path / f"mask.{suffix}")
    if suffix == "png":
        write_png(source.path, layers[channels])
    else:
        extra = ["unassalpha"] if layers[channels].shape[-1] == 4 else None
        write_tiff(source.path, layers[channels], photometric="rgb", extrasamples=extra)
    labels = read_labels(source)
    assert labels.dtype == np.int32
    assert same_objects(labels, NUCLEI)
    assert read_labels_shape(source) == NUCLEI.shape


def test_pixels_that_touch_at_a_corner_are_one_nucleus(tmp_path):
    red = np.dstack([np.eye(5, dtype=np.uint8)] + [np.zeros((5, 5), np.uint8)] * 2)
    labels = read_labels(write_png(tmp_path / "mask.png", red))
    assert same_objects(labels, np.eye(5, dtype=int))


def test_drawn_nuclei_are_decoded_as_drawn(tmp_path, drawn_fields):
    for number, field in enumerate(drawn_fields):
        path = tmp_path / f"{number}.png"
        write_mask(path, field.labels)
        assert same_objects(read_labels(Source(path)), field.labels)
        assert read_labels_shape(Source(path)) == field.labels.shape


def test_real_masks_are_decoded_as_components_of_each_red_value(bbbc039):
    for path in sorted((bbbc039 / "masks").glob("*.png"))[::30]:
        red = np.asarray(PillowImage.open(path))[..., 0]
        components = [ndimage.label(red == value, np.ones((3, 3)))[0] for value in (1, 2, 3)]
        steps = np.cumsum([0, *(c.max() for c in components)])
        expected = sum(
            np.where(component > 0, component + step, 0)
            for component, step in zip(components, steps[:3], strict=True)
        )
        assert same_objects(read_labels(Source(path)), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_grey_photograph_is_refused_as_a_mask(tmp_path, dtype):
    grains = np.random.default_rng(1).integers(0, 40, (40, 50)).astype(dtype)
    source = write_png(tmp_path / "photo.png", grains)
    assert_refused(read_labels, source, "not a label image", "40 grey", "photograph")


@pytest.mark.parametrize("ground", [1, 65_535])
@pytest.mark.parametrize("is_stack", [False, True])
def test_a_label_that_looks_like_the_background_is_told(tmp_path, drawn_fields, ground, is_stack):
    labels = drawn_fields[0].labels.astype(np.uint16)
    labels = labels + 1 if ground == 1 else np.where(labels > 0, labels, ground)
    share = 100 * np.mean(labels == ground)
    data = np.stack([drawn_fields[0].labels, labels]) if is_stack else labels
    tifffile.imwrite(tmp_path / "a.tif", data.astype(np.uint16), photometric="minisblack")
    [note] = read_label_image(Source(tmp_path / "a.tif")).notes
    where = "plane 2" if is_stack else "it"
    assert note == (
        f"{tmp_path / 'a.tif'}: label {ground} covers {share:.0f} % of {where} and all corners: "
        "is it the background? Background is 0"
    )


def test_nothing_is_told_of_labels_with_a_background(tmp_path, drawn_fields):
    large = np.zeros((50, 60), np.uint16)
    large[2:48, 2:58] = 1  # covers most, and no corner
    for labels in (drawn_fields[0].labels.astype(np.uint16), large + (large == 0) * 2):
        tifffile.imwrite(tmp_path / "a.tif", labels)
        assert read_label_image(Source(tmp_path / "a.tif")).notes == ()


def test_white_that_covers_most_of_a_colouring_is_its_background(tmp_path, drawn_fields):
    labels = drawn_fields[0].labels
    colours = np.random.default_rng(0).integers(1, 255, (labels.max() + 1, 3)).astype(np.uint8)
    colours[0] = 255
    source = write_png(tmp_path / "a.png", colours[labels])
    found = read_label_image(source)
    assert same_objects(found.data, labels)
    assert "white was taken for the background" in found.notes[0]


def test_white_nuclei_that_cover_most_of_a_colouring_stay_nuclei(tmp_path):
    colours = np.full((20, 30, 3), 255, np.uint8)
    colours[:, 14:16] = 0
    assert read_labels(write_png(tmp_path / "a.png", colours)).max() == 2


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_planes_whose_nuclei_are_numbered_anew_are_no_photograph(tmp_path, dtype):
    rows, columns = np.mgrid[:60, :60] // 3
    labels = np.stack([(rows * 20 + columns + plane) % 200 + 1 for plane in range(30)])
    labels[:, ::3] = 0
    tifffile.imwrite(tmp_path / "a.tif", labels.astype(dtype), photometric="minisblack")
    assert np.array_equal(read_labels(Source(tmp_path / "a.tif")), labels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_planes_of_a_photograph_are_refused_as_labels(tmp_path, dtype):
    grains = np.random.default_rng(1).integers(0, 40, (5, 40, 50)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", grains, photometric="minisblack")
    assert_refused(read_labels, Source(tmp_path / "a.tif"), "not a label image", "photograph")


@pytest.mark.parametrize(
    ("count", "dtype"),
    [(3, "uint8"), (3, "uint16"), (60, "uint8"), (60, "uint16"), (500, "uint16")],
)
def test_a_grey_png_holds_labels(tmp_path, count, dtype):
    """Two nuclei that touch keep apart, and one in two pieces stays one."""
    labels = np.zeros((4, 2 * count + 4), dtype=dtype)
    labels[:2, 1 : 2 * count : 2] = labels[:2, 2 : 2 * count + 1 : 2] = np.arange(1, count + 1)
    labels[3, -1] = 1
    source = write_png(tmp_path / "labels.png", labels)
    assert read_labels(source).dtype == np.int32
    np.testing.assert_array_equal(read_labels(source), labels)
    np.testing.assert_array_equal(read_labels(source), labels)
    assert read_labels_shape(source) == labels.shape


@pytest.mark.parametrize("count", [2, 4])
def test_what_is_transparent_is_background_whatever_colour_it_had(tmp_path, count):
    samples = np.full((30, 40, count), 255, np.uint8)
    samples[..., : count - 1] = np.where(NUCLEI > 0, NUCLEI, 9)[..., None]
    samples[:9, :, 0][NUCLEI[:9] == 0] = 60  # what was erased had several colours
    samples[..., -1] = np.where(NUCLEI > 0, 255, 0)
    found = read_label_image(write_png(tmp_path / "a.png", samples))
    assert same_objects(found.data, NUCLEI)
    assert found.notes == ()


@pytest.mark.parametrize("count", [2, 3, 4])
def test_labels_of_16_bits_in_colour_keep_their_bits(tmp_path, count):
    samples = np.full((30, 40, count), 7 if count == 3 else 65535)
    samples[..., :3] = (NUCLEI + 300 * (NUCLEI > 0))[..., None]  # of one high byte
    if count == 2:
        samples[..., 1] = 65535
    found = read_labels(write_deep_png(tmp_path / "a.png", samples))
    assert same_objects(found, NUCLEI)


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_stack_of_labels_whose_planes_are_called_colours_is_one(tmp_path, count, dtype):
    stack = np.stack([np.roll(NUCLEI, n, axis=0) for n in range(count)]).astype(dtype)
    as_tifffile_does = {"photometric": "rgb", "planarconfig": "separate"}
    source = write_tiff(tmp_path / "a.tif", stack, **as_tifffile_does)
    found = read_label_image(source)
    np.testing.assert_array_equal(found.data, stack)
    assert found.notes == (
        f"{source}: its tags call its planes colours: they were taken for a stack",
    )
    assert read_labels_shape(source) == stack.shape


def test_the_shape_of_a_colouring_is_known_without_its_pixels(tmp_path):
    colours = np.stack([NUCLEI, NUCLEI, NUCLEI * 0], axis=-1).astype(np.uint8)
    source = write_tiff(tmp_path / "a.tif", colours)  # as a stack of narrow planes
    assert read_labels_shape(source) == read_labels(source).shape == NUCLEI.shape


def test_a_picture_with_many_values_of_red_is_refused_as_a_mask(tmp_path):
    grey = np.arange(200, dtype=np.uint8).reshape(10, 20)
    source = write_png(tmp_path / "photo.png", np.dstack([grey] * 3))
    assert_refused(read_labels, source, "not a mask", "199 pieces of one colour are specks")


def test_a_colour_photograph_is_refused_as_a_mask(tmp_path):
    photograph = np.random.default_rng(1).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    assert_refused(read_labels, write_png(tmp_path / "photo.png", photograph), "not a mask")


def test_a_real_field_is_refused_as_a_mask(bbbc039, tmp_path):
    image = tifffile.imread(next((bbbc039 / "images").glob("*.tif")))
    assert_refused(read_labels, write_png(tmp_path / "field.png", image), "not a label image")
    assert_refused(read_labels, write_tiff(tmp_path / "field.tif", image), "as in a photograph")


@pytest.mark.parametrize("content", [b"", b"\x89PNG", b"text, not pixels at all", b"II*\0" * 20])
@pytest.mark.parametrize("read", [read_image, read_labels, read_labels_shape])
def test_a_file_that_is_no_png_is_refused(tmp_path, read, content):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert_refused(read, Source(path))


def test_a_png_cut_off_anywhere_is_refused_before_its_pixels_are_read(tmp_path):
    source = write_png(tmp_path / "mask.png", NUCLEI.astype(np.uint8))
    whole = source.read()
    for length in range(len(whole)):
        source.path.write_bytes(whole[:length])
        assert_refused(read_labels_shape, source)


def test_a_png_whose_pixels_are_cut_off_is_refused(tmp_path):
    source = write_png(tmp_path / "mask.png", NUCLEI.astype(np.uint8))
    whole = source.read()
    for length in range(whole.index(b"IDAT") + 4 + 20):
        source.path.write_bytes(whole[:length])
        assert_refused(read_labels, source)


@pytest.mark.parametrize("place", [11, 17, 25, 29, 60])
def test_a_png_with_a_damaged_byte_is_refused_by_name(tmp_path, place):
    source = write_png(tmp_path / "mask.png", NUCLEI.astype(np.uint8))
    content = bytearray(source.read())
    content[place] ^= 0x0F
    source.path.write_bytes(content)
    assert_refused(read_labels, source)


@pytest.mark.parametrize("edge", [20_000, 60_000])
@pytest.mark.parametrize("read", [read_image, read_labels])
def test_a_png_that_would_fill_the_memory_is_refused_by_name(tmp_path, read, edge):
    assert_refused(read, write_empty_png(tmp_path / "bomb.png", edge, edge))


# Label images


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "uint32", "int64"])
def test_labels_of_a_tiff_keep_their_numbers(tmp_path, dtype):
    labels = (NUCLEI * 50).astype(dtype)
    read = read_labels(write_tiff(tmp_path / "labels.tif", labels))
    assert read.dtype == labels.dtype
    np.testing.assert_array_equal(read, labels)


def test_labels_of_a_png_are_those_of_a_mask(tmp_path):
    write_mask(tmp_path / "mask.png", NUCLEI)
    assert same_objects(read_labels(Source(tmp_path / "mask.png")), NUCLEI)


@pytest.mark.parametrize(
    "data",
    [
        NUCLEI.astype(np.float32) / 2,
        NUCLEI - 1,
        np.where(NUCLEI > 2, np.nan, NUCLEI),
        NUCLEI.astype(np.float32) * 2.0**70,
    ],
    ids=["fractions", "negative", "NaN", "too large"],
)
def test_a_tiff_of_anything_but_whole_numbers_from_zero_holds_no_labels(tmp_path, data):
    source = write_tiff(tmp_path / "labels.tif", data)
    assert_refused(read_labels, source, "not a label image", str(data.dtype))


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize("read", READERS)
def test_a_file_that_is_gone_is_named(tmp_path, read, suffix):
    with pytest.raises(OSError, match=f"gone{suffix}"):
        read(Source(tmp_path / f"gone{suffix}"))

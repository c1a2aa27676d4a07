from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.io.images import (
    read_image,
    read_image_header,
    read_labels,
    read_labels_shape,
)
from napari_nucseg.io.limits import PIXELS_VARIABLE
from napari_nucseg.io.sources import Source, list_archive
from napari_nucseg.segmenters.catalogue import find

READERS = (read_image, read_image_header, read_labels, read_labels_shape)


def write_declaring(path: Path, height: int, width: int, strips: int = 1) -> Source:
    """Write a small TIFF that declares a large image, of strips of compressed zeros."""
    rows = -(-height // strips)
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages.first.tags
        for name, value in (("ImageLength", height), ("ImageWidth", width), ("RowsPerStrip", rows)):
            tags[name].overwrite(value)
    return Source(path)


@pytest.mark.parametrize("read", READERS)
def test_a_tiff_that_declares_too_many_pixels_is_refused_with_the_limit(tmp_path, read):
    source = write_declaring(tmp_path / "bomb.tif", 60_000, 60_000)
    with pytest.raises(ValueError, match=f"60000 x 60000 pixels.*{PIXELS_VARIABLE}") as refused:
        read(source)
    assert str(source) in str(refused.value)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("height", "strips"), [(8_000, 1), (8_000, 100)])
def test_a_tiff_whose_strips_cannot_hold_its_pixels_is_refused(tmp_path, read, height, strips):
    source = write_declaring(tmp_path / "cut.tif", height, 8_000, strips)
    with pytest.raises(ValueError, match=r"cut\.tif: the file is cut off or damaged"):
        read(source)


def test_the_limit_can_be_set(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 30), np.uint16))
    monkeypatch.setenv(PIXELS_VARIABLE, "599")
    with pytest.raises(ValueError, match="at most 599 are read"):
        read_image(Source(path))
    monkeypatch.setenv(PIXELS_VARIABLE, "600")
    assert read_image(Source(path)).data.shape == (20, 30)
    monkeypatch.setenv(PIXELS_VARIABLE, "many")
    with pytest.raises(ValueError, match=f"{PIXELS_VARIABLE}=many"):
        read_image(Source(path))


def test_the_limit_holds_for_pngs_seg_files_and_archives(tmp_path, monkeypatch):
    labels = np.zeros((20, 30), np.uint16)
    labels[3:9, 3:9] = 1
    Image.fromarray(labels).save(tmp_path / "a.png")
    np.save(tmp_path / "a_seg.npy", {"masks": labels})
    with ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "a.png")
    sources = [Source(tmp_path / "a.png"), Source(tmp_path / "a_seg.npy")]
    sources += list_archive(tmp_path / "a.zip", (".png",))
    for source in sources:
        assert read_labels(source).shape == (20, 30)
    monkeypatch.setenv(PIXELS_VARIABLE, "599")
    for source in sources:
        with pytest.raises(ValueError, match="at most 599 are read") as refused:
            read_labels(source)
        assert str(source) in str(refused.value)


def test_a_sparse_tiff_is_read(tmp_path):
    path = tmp_path / "sparse.tif"
    tifffile.imwrite(path, shape=(2_000, 2_000), dtype=np.uint8, tile=(256, 256), data=None)
    assert not read_image(Source(path)).data.any()


def test_labels_of_zeros_that_are_as_small_as_can_be_are_read(tmp_path):
    for compression in ("zlib", "lzw", "packbits"):
        path = tmp_path / f"{compression}.tif"
        tifffile.imwrite(path, np.zeros((4_000, 4_000), np.uint16), compression=compression)
        assert read_labels(Source(path)).shape == (4_000, 4_000)
    Image.fromarray(np.zeros((4_000, 4_000), np.uint8)).save(tmp_path / "a.png", compress_level=9)
    assert read_labels(Source(tmp_path / "a.png")).shape == (4_000, 4_000)


def npy(shape: str) -> bytes:
    """Write a file of numbers that has the header alone."""
    head = f"{{'descr': '<u2', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


def pickled(write: Callable[[io.BytesIO], None]) -> bytes:
    """Write a file that holds an object, by a pickle's own commands."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|O", "fortran_order": False, "shape": ()}
    )
    write(stream)
    return stream.getvalue()


def far_memo(stream: io.BytesIO) -> None:
    """Ask to keep a number at a far place, up to which Python's own reader would make room."""
    stream.write(b"\x80\x04K\x01r\xff\xff\xff\x7f.")


def long_text(stream: io.BytesIO) -> None:
    """Spell a text that becomes twice as long twenty times."""
    stream.write(b"\x80\x02" + b"c_codecs\nencode\n" * 20 + b"C\x04abcd")
    stream.write(b"X\x03\x00\x00\x00hex\x86R" * 20 + b".")


@pytest.mark.parametrize(
    "content", [npy("(100000, 100000)"), npy("(1, "), pickled(far_memo), pickled(long_text)]
)
def test_a_seg_file_that_asks_for_more_than_it_holds_is_refused(tmp_path, content):
    path = tmp_path / "a_seg.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a_seg\.npy: "):
        read_labels(Source(path))


def test_a_seg_file_of_an_old_pickle_is_still_read(tmp_path):
    labels = np.zeros((20, 30), np.uint16)
    labels[3:9, 3:9] = 1
    whole = np.array({"masks": labels}, dtype=object)
    path = tmp_path / "a_seg.npy"
    path.write_bytes(pickled(lambda stream: pickle.dump(whole, stream, protocol=2)))
    assert (read_labels(Source(path)) == labels).all()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_pipe_or_device_is_refused_and_not_waited_for(tmp_path, run, kind):
    special, file = tmp_path / "special.tif", tmp_path / "a.tif"
    tifffile.imwrite(file, np.zeros((8, 8), np.uint16))
    if kind == "pipe":
        os.mkfifo(special)
    else:
        special.symlink_to("/dev/zero")
    for read in READERS:
        with pytest.raises(OSError, match=r"special\.tif: it is a pipe, socket or device"):
            read(Source(special))
    done = run("segment", special, "--model", "otsu", "--out", tmp_path / "out")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert f"{special}: it is a pipe" in done.err
    done = run("score", special, file)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert str(special) in done.err
    with pytest.raises((ValueError, OSError), match=r"special\.tif"):
        find(str(special))


def test_a_member_whose_name_is_no_text_is_refused_by_the_name_of_its_archive(tmp_path):
    path = tmp_path / "images.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("größe.png", b"")
    path.write_bytes(path.read_bytes().replace("größe".encode(), b"gr\xff\xff\xff\xffe"))
    with pytest.raises(ValueError, match=r"images\.zip: not a whole zip archive"):
        list_archive(path, (".png",))


def test_a_member_that_unpacks_to_much_is_refused_wherever_its_name_is_from(tmp_path):
    path = tmp_path / "images.zip"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("a.tif", bytes(2**22))
    with pytest.raises(ValueError, match=r"images\.zip: member 'a\.tif' unpacks to 4 MiB"):
        read_image(Source(path, "a.tif"))

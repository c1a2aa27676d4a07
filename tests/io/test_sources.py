from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

import numpy as np
import pytest

from napari_nucseg.io.images import read_image
from napari_nucseg.io.sources import Source, list_archive, list_folder, sha256

TIFF = (".tif", ".tiff")
NOISE = np.random.default_rng(0).bytes(2000)


def write_archive(
    path: Path, members: Mapping[str, bytes], method: int = ZIP_STORED, **claims: int
) -> Path:
    """Write an archive whose directory may claim other sizes than its members have."""
    with ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        for member in archive.infolist():
            for claim, value in claims.items():
                setattr(member, claim, value)
    return path


def message_of_refused_archive(path: Path) -> str:
    with pytest.raises(ValueError, match=re.escape(str(path))) as failure:
        list_archive(path, TIFF)
    return str(failure.value)


def message_of_failed_read(source: Source) -> str:
    with pytest.raises(OSError, match=re.escape(str(source.path))) as failure:
        source.read()
    return str(failure.value)


# Files of a folder


def test_a_folder_lists_the_files_of_the_wanted_endings_by_name(tmp_path):
    for name in ("b.tif", "a.TIF", "c.tiff", "notes.txt", "._a.tif", "mask.png"):
        (tmp_path / name).touch()
    assert [source.name for source in list_folder(tmp_path, TIFF)] == ["a.TIF", "b.tif", "c.tiff"]


def test_a_file_is_known_by_its_name_stem_and_ending(tmp_path):
    source = Source(tmp_path / "images" / "A01.s1.TIF")
    assert (source.name, source.stem, source.suffix) == ("A01.s1.TIF", "A01.s1", ".tif")
    assert str(source) == str(tmp_path / "images" / "A01.s1.TIF")


def test_a_file_is_read_whole_or_from_either_end(tmp_path):
    path = tmp_path / "field.tif"
    path.write_bytes(NOISE)
    source = Source(path)
    assert source.read() == NOISE
    assert source.read(10) == NOISE[:10]
    assert source.tail(10) == NOISE[-10:]
    assert source.tail(10_000) == NOISE


def test_a_file_that_is_gone_is_named(tmp_path):
    assert "gone.tif" in message_of_failed_read(Source(tmp_path / "gone.tif"))


# Members of an archive


@pytest.mark.parametrize("method", [ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA])
def test_an_archive_is_read_without_unpacking_it(tmp_path, method):
    members = {"images/b.tif": NOISE, "images/a.tif": b"first", "images/readme.txt": b"text"}
    archive = write_archive(tmp_path / "images.zip", members, method)
    first, second = list_archive(archive, TIFF)
    assert (first.stem, second.stem) == ("a", "b")
    assert (first.read(), second.read(), second.read(10)) == (b"first", NOISE, NOISE[:10])
    assert second.tail(10).endswith(NOISE[-10:])
    assert [path.name for path in tmp_path.iterdir()] == ["images.zip"]


def test_a_member_is_named_by_its_archive_and_its_place_within(tmp_path):
    archive = write_archive(tmp_path / "images.zip", {"images/a.tif": b""})
    assert str(list_archive(archive, TIFF)[0]) == f"{archive}/images/a.tif"


def test_folders_and_hidden_files_of_an_archive_are_left_out(tmp_path):
    members = {"images/": b"", "images/a.tif": b"", "__MACOSX/images/._a.tif": b""}
    archive = write_archive(tmp_path / "images.zip", members)
    assert [source.member for source in list_archive(archive, TIFF)] == ["images/a.tif"]


@pytest.mark.parametrize(
    "name",
    ["../x.tif", "images/../../x.tif", "/etc/x.tif", "..\\x.tif", "C:/x.tif", "C:\\x.tif"],
)
def test_an_archive_that_leads_outside_itself_is_refused(tmp_path, name):
    archive = write_archive(tmp_path / "images.zip", {"images/ok.tif": b"", name: b"x"})
    message = message_of_refused_archive(archive)
    assert str(archive) in message
    assert repr(name) in message


def test_a_member_that_unpacks_to_far_more_than_it_packs_is_refused(tmp_path):
    archive = write_archive(tmp_path / "bomb.zip", {"a.tif": bytes(3 * 2**20)}, ZIP_DEFLATED)
    message = message_of_refused_archive(archive)
    assert str(archive) in message
    assert "'a.tif' unpacks to 3 MiB" in message


def test_a_member_too_large_to_be_a_field_is_refused(tmp_path):
    archive = write_archive(
        tmp_path / "large.zip", {"a.tif": b"x"}, file_size=2**30, compress_size=2**29
    )
    assert "'a.tif' unpacks to 1024 MiB" in message_of_refused_archive(archive)


def test_an_archive_of_many_members_that_fill_the_disk_is_refused(tmp_path):
    members = {f"{number}.tif": b"x" for number in range(80)}
    archive = write_archive(tmp_path / "many.zip", members, file_size=2**28, compress_size=2**27)
    message = message_of_refused_archive(archive)
    assert str(archive) in message
    assert "unpacks to 20 GiB" in message


def test_a_blank_field_that_packs_well_is_no_bomb(tmp_path):
    blank = bytes(520 * 696 * 2)
    archive = write_archive(tmp_path / "images.zip", {"blank.tif": blank}, ZIP_DEFLATED)
    assert list_archive(archive, TIFF)[0].read() == blank


def test_a_member_larger_than_its_archive_admits_is_refused_when_read(tmp_path):
    archive = write_archive(tmp_path / "images.zip", {"a.tif": NOISE}, ZIP_DEFLATED, file_size=10)
    assert str(archive) in message_of_failed_read(list_archive(archive, TIFF)[0])


def test_a_member_larger_than_its_archive_is_refused_before_memory_is_given_to_it(tmp_path):
    claims = {"file_size": 2**20, "compress_size": 2**31}
    archive = write_archive(tmp_path / "images.zip", {"a.tif": NOISE}, ZIP_DEFLATED, **claims)
    with pytest.raises(ValueError, match="download it again") as refusal:
        list_archive(archive, TIFF)[0].read()
    told = str(refusal.value)
    assert "'a.tif' declares 2,147,483,648 bytes, more than the" in told


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_an_archive_that_is_cut_off_is_refused(tmp_path, share):
    archive = write_archive(tmp_path / "images.zip", {"a.tif": NOISE})
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(share * len(whole))])
    message = message_of_refused_archive(archive)
    assert str(archive) in message
    assert "download it again" in message


@pytest.mark.parametrize("method", [ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA])
def test_damage_within_an_archive_is_found_when_the_member_is_read(tmp_path, method):
    archive = write_archive(tmp_path / "images.zip", {"a.tif": NOISE}, method)
    content = bytearray(archive.read_bytes())
    content[1000:1100] = bytes(100)
    archive.write_bytes(content)
    assert str(archive) in message_of_failed_read(list_archive(archive, TIFF)[0])


def test_a_member_that_has_gone_since_it_was_listed_is_named(tmp_path):
    archive = write_archive(tmp_path / "images.zip", {"a.tif": NOISE})
    source = list_archive(archive, TIFF)[0]
    write_archive(archive, {"b.tif": NOISE})
    assert str(source) in message_of_failed_read(source)


def test_an_archive_with_a_password_is_refused_by_name(tmp_path):
    archive = write_archive(tmp_path / "images.zip", {"a.tif": NOISE})
    content = bytearray(archive.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    archive.write_bytes(content)
    with pytest.raises((ValueError, OSError), match=r"images\.zip"):
        list_archive(archive, TIFF)[0].read()


def test_the_fingerprint_is_that_of_the_files_bytes(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(bytes(range(256)) * 1000)
    assert sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_an_image_that_has_gone_since_it_was_listed_is_told_in_words(tmp_path, name):
    source = Source(tmp_path / name)

    with pytest.raises(FileNotFoundError) as caught:
        read_image(source)

    assert str(caught.value) == f"{source}: there is no such file now; put it back"


def test_an_archive_that_has_gone_is_not_said_to_be_damaged(tmp_path):
    archive = write_archive(tmp_path / "images.zip", {"a.tif": NOISE})
    source = list_archive(archive, TIFF)[0]
    archive.unlink()

    assert message_of_failed_read(source) == f"{source}: there is no such file now; put it back"

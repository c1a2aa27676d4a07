from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_nucseg.io.atomic import files_at_once, replace_folder, write_whole
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import (
    checksum,
    read_provenance,
    with_ending,
    write_columns,
    write_json,
    write_labels,
    write_picture,
    write_table,
    write_text,
)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_halfway(error):
    def write(file):
        file.write(b"half of it")
        raise error

    return write


def test_a_file_is_written_into_a_folder_made_for_it(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_whole(path, lambda file: file.write(b"all of it"))
    assert path.read_bytes() == b"all of it"
    assert names_in(path.parent) == ["file"]


@pytest.mark.parametrize("error", [ValueError("no"), OSError("full"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_nothing_behind(tmp_path, error):
    with pytest.raises(type(error)):
        write_whole(tmp_path / "file", fail_halfway(error))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("error", [ValueError("no"), OSError("full"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file_as_it_was(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"of yesterday")
    with pytest.raises(type(error)):
        write_whole(path, fail_halfway(error))
    assert path.read_bytes() == b"of yesterday"
    assert names_in(tmp_path) == ["file"]


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"of yesterday, and longer")
    write_whole(path, lambda file: file.write(b"of today"))
    assert path.read_bytes() == b"of today"


def test_a_folder_of_that_name_is_an_error_that_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_whole(tmp_path / "file", lambda file: file.write(b"x"))
    assert names_in(tmp_path) == ["file"]


def test_json_can_be_read_by_every_reader(tmp_path):
    path = tmp_path / "record.json"
    write_json(path, {"dice": None, "name": "größer", "n": 3})
    assert json.loads(path.read_bytes().decode("ascii")) == {"dice": None, "name": "größer", "n": 3}
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_json_has_no_nan_and_no_infinity(tmp_path, value):
    path = tmp_path / "record.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"mean": {"dice": value}})
    assert path.read_text() == "{}"
    assert names_in(tmp_path) == ["record.json"]


def test_a_table_leaves_cells_empty_and_quotes_commas(tmp_path):
    write_table(tmp_path / "t.csv", [{"a": None, "b": 1.5}, {"a": "x, y", "b": 0}])
    assert (tmp_path / "t.csv").read_bytes() == b'a,b\n,1.5\n"x, y",0\n'


@pytest.mark.parametrize(
    ("largest", "kind"),
    [(0, np.uint16), (65_535, np.uint16), (65_536, np.uint32), (2**31 - 1, np.uint32)],
)
def test_labels_get_as_many_bits_as_they_need(tmp_path, largest, kind):
    labels = np.zeros((5, 7), np.int64)
    labels[2, 3] = largest
    write_labels(tmp_path / "a.tif", labels, {"model": "µ"})
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 1
        assert tiff.pages[0].dtype == kind
        assert np.array_equal(tiff.asarray(), labels)
    assert read_provenance(tmp_path / "a.tif") == {"model": "µ"}


def test_labels_of_any_number_of_axes_are_known_again(tmp_path):
    labels = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    write_labels(tmp_path / "a.tif", labels, {})
    assert checksum(read_labels(Source(tmp_path / "a.tif"))) == checksum(labels)
    assert checksum(labels) != checksum(labels.reshape(2, 3, 5, 4))


def test_labels_compress_well(tmp_path, drawn_fields):
    labels = drawn_fields[0].labels
    write_labels(tmp_path / "a.tif", labels, {})
    assert (tmp_path / "a.tif").stat().st_size < labels.size * 2 / 10


def test_a_picture_keeps_its_pixels(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    write_picture(tmp_path / "new" / "a.png", rgb)
    with Image.open(tmp_path / "new" / "a.png") as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(picture), rgb)


# Formulas

NASTY = st.text(alphabet="=+-@\t\r\n,;| \"'aé1=\uff1d\uff0b\uff0d\uff20", max_size=12)


def starts_like_a_formula(cell: str) -> bool:
    return cell.strip(' \t\r\n"').startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NASTY, min_size=1, max_size=3))
def test_no_cell_of_text_runs_as_a_formula_whatever_a_spreadsheet_splits_at(tmp_path, texts):
    path = tmp_path / "t.csv"
    write_table(path, [{str(i): text for i, text in enumerate(texts)}])
    with path.open(newline="", encoding="utf-8") as file:
        content = file.read()
    for delimiter in ",;|\t":
        for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter):
            assert not any(map(starts_like_a_formula, row))
    _, read = csv.reader(io.StringIO(content, newline=""))
    without = str.maketrans("\t\r\n", "   ", "'")
    assert [cell.translate(without) for cell in read] == [text.translate(without) for text in texts]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("a;=1", "a;'=1"),
        ("IXMtest_A02_s1_w1051DAA7C-7042", "IXMtest_A02_s1_w1051DAA7C-7042"),
        ("A+B", "A+B"),
    ],
)
def test_a_formula_gets_an_apostrophe_and_a_name_is_left_alone(tmp_path, text, cell):
    write_columns(tmp_path / "t.csv", {"name": [text], "number": [-3]})
    assert (tmp_path / "t.csv").read_text() == f"name,number\n{cell},-3\n"


@pytest.mark.parametrize("label", [-1, 2**32])
def test_labels_that_do_not_fit_are_refused_with_what_to_do(tmp_path, label):
    with pytest.raises(ValueError, match=rf"a\.tif: label {label} does not fit .*; relabel"):
        write_labels(tmp_path / "a.tif", np.array([[0, label]]), {})
    assert not list(tmp_path.iterdir())


def test_a_name_gets_its_ending_unless_it_has_one(tmp_path):
    assert with_ending(tmp_path / "a.PNG", ".svg", ".png").name == "a.PNG"
    assert with_ending(tmp_path / "t0.5", ".csv").name == "t0.5.csv"
    (tmp_path / "t0.5.csv").touch()
    with pytest.raises(FileExistsError, match="choose another name"):
        with_ending(tmp_path / "t0.5", ".csv")


# What keeps a file from being written


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_a_full_disk_is_told_with_the_file_and_the_remedy(tmp_path):
    def fill(file):
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(OSError, match="the disk is full; free some space") as failure:
        write_whole(tmp_path / "table.csv", fill)
    assert str(failure.value).startswith(f"{tmp_path / 'table.csv'}: ")
    assert names_in(tmp_path) == []


def test_a_file_that_is_protected_against_changes_is_kept(tmp_path):
    path = tmp_path / "mine.tif"
    path.write_bytes(b"mine")
    path.chmod(0o444)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write all files")
    with pytest.raises(PermissionError, match=r"mine\.tif: it is protected against changes"):
        write_whole(path, lambda file: file.write(b"other"))
    assert path.read_bytes() == b"mine"
    assert names_in(tmp_path) == ["mine.tif"]


def test_a_file_instead_of_a_folder_is_told_by_name(tmp_path):
    (tmp_path / "out").write_text("mine")
    for path in (tmp_path / "out" / "table.csv", tmp_path / "out" / "far" / "table.csv"):
        with pytest.raises(OSError, match=f"{tmp_path / 'out'}.*: a file is where a folder should"):
            write_whole(path, lambda file: file.write(b"x"))
    assert (tmp_path / "out").read_text() == "mine"


def test_a_folder_that_is_a_link_to_nothing_is_told_by_name(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "unplugged")
    with pytest.raises(OSError, match=r"out: it is a link to what is not there; mend it"):
        write_whole(tmp_path / "out" / "table.csv", lambda file: file.write(b"x"))
    assert names_in(tmp_path) == ["out"]


def test_a_folder_that_goes_while_a_file_is_written_is_told_by_name(tmp_path):
    def fill(file):
        file.write(b"x")
        shutil.rmtree(tmp_path / "out")  # as a disk that is unplugged

    with pytest.raises(OSError, match=r"table\.csv: there is no such file or folder now; put it"):
        write_whole(tmp_path / "out" / "table.csv", fill)


WRITE = """
import sys
from pathlib import Path
from napari_nucseg.io.atomic import whole_file
with whole_file(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    print(flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    def write(name):
        line = [sys.executable, "-c", WRITE, str(tmp_path / name)]
        subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)

    line = [sys.executable, "-c", WRITE, str(tmp_path / "slow")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as slow:
        slow.stdout.readline()
        (half,) = names_in(tmp_path)
        write("a")
        assert names_in(tmp_path) == sorted(["a", half])
        slow.kill()
    write("b")
    assert names_in(tmp_path) == ["a", "b"]


def test_files_take_their_places_together_and_those_not_written_go(tmp_path):
    for name in ("a", "b", "other"):
        (tmp_path / name).write_text("of yesterday")
    with files_at_once(tmp_path, ("a", "b", "c")) as stage:
        write_text(stage / "c", "new")
        write_text(stage / "a", "new")
        assert {(tmp_path / name).read_text() for name in ("a", "b")} == {"of yesterday"}
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        **{"a": "new", "c": "new", "other": "of yesterday"},
    }


def test_files_that_cannot_all_be_written_leave_the_old_ones(tmp_path):
    (tmp_path / "b").write_text("of yesterday")

    def write_half():
        with files_at_once(tmp_path, ("a", "b")) as stage:
            write_text(stage / "a", "new")
            write_whole(stage / "b", fail_halfway(ValueError("no")))

    with pytest.raises(ValueError, match="no"):
        write_half()
    assert names_in(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "of yesterday"


def test_a_folder_takes_the_place_of_another_though_a_killed_process_left_one_half_removed(
    tmp_path,
):
    path, by = tmp_path / "labels", tmp_path / "stage"
    for folder in (path, by, tmp_path / "stage-replaced"):
        folder.mkdir()
        (folder / folder.name).touch()

    replace_folder(path, by)

    assert [one.name for one in tmp_path.rglob("*")] == ["labels", "stage"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path):
    (tmp_path / "labels").mkdir()
    with pytest.raises(FileNotFoundError, match="stage"):
        replace_folder(tmp_path / "labels", tmp_path / "stage")
    assert (tmp_path / "labels").is_dir()

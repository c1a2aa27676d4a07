"""Runs that are interrupted, in every way there is, and go on."""

from __future__ import annotations

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.batch.records import read_record
from napari_nucseg.batch.results_folder import ResultsFolder
from napari_nucseg.io.atomic import describe_error
from napari_nucseg.io.datasets import open_dataset
from napari_nucseg.io.writers import read_provenance, write_labels
from napari_nucseg.metrics.score import DEFAULT_RULE, ScoreRule
from napari_nucseg.progress import ignore
from napari_nucseg.segmenters.api import Stopped
from tests.conftest import write_scaled
from tests.oracle import oracle_setup, run_benchmark

TABLES = (
    *("fields.csv", "fields.parquet", "objects.csv", "objects.parquet"),
    *("summary.json", "summary.csv", "summary.md", "summary.tex"),
)
FIELDS = 20


def tables_of(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def done_in(out: Path) -> set[str]:
    return {path.stem for path in (out / "records").glob("*.json")}


@pytest.fixture
def out(tmp_path):
    """The folder of the results."""
    return tmp_path / "out"


@pytest.fixture
def run(drawn_dataset, out):
    """Run a segmenter over the drawn dataset, into the same folder each time."""

    def benchmark(
        segmenter, *, rule=DEFAULT_RULE, progress=ignore, into=out, split=None, parquet=True
    ):
        dataset = open_dataset(drawn_dataset, split)
        setup = oracle_setup(segmenter, rule)
        return run_benchmark(dataset, setup, into, progress=progress, parquet=parquet)

    return benchmark


@pytest.fixture(scope="module")
def many(draw_many) -> Path:
    """A dataset of enough fields to be interrupted in the middle."""
    return draw_many(FIELDS)


def command(dataset: Path, out: Path, *options: str) -> list[str]:
    program = [sys.executable, "-m", "napari_nucseg", "benchmark", str(dataset), "-o", str(out)]
    return [*program, "--device", "cpu", "--parquet", *options]


def run_whole(dataset: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    line = command(dataset, out, *options)
    return subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def uninterrupted(many, tmp_path_factory) -> dict[str, bytes]:
    """The tables of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = run_whole(many, out)
    assert done.returncode == 0, done.stderr
    return tables_of(out)


def interrupt_after(dataset: Path, out: Path, fields: int, sign: signal.Signals) -> tuple[int, str]:
    """Start a run and send it a signal once so many fields are done; return how it ended."""
    with subprocess.Popen(
        command(dataset, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 120
        while len(done_in(out)) < fields:
            assert process.poll() is None, "it ended before it could be interrupted"
            assert time.monotonic() < deadline
            os.sched_yield()
        process.send_signal(sign)
        _, told = process.communicate(timeout=60)
        return process.returncode, told


# Stopped


@pytest.mark.slow
@pytest.mark.parametrize("fields", [0, 1, 5])
def test_a_run_that_is_killed_goes_on_to_the_same_tables(many, out, uninterrupted, fields):
    assert interrupt_after(many, out, fields, signal.SIGKILL)[0] == -signal.SIGKILL
    before = {stem: (out / "records" / f"{stem}.json").stat().st_mtime_ns for stem in done_in(out)}
    assert fields <= len(before) < FIELDS
    done = run_whole(many, out)
    assert done.returncode == 0, done.stderr
    assert tables_of(out) == uninterrupted
    after = {stem: (out / "records" / f"{stem}.json").stat().st_mtime_ns for stem in before}
    assert after == before  # not done again
    assert not list(out.rglob("*.partial"))
    sessions = json.loads((out / "run.json").read_text())["sessions"]
    assert sessions[-1]["fields"] == FIELDS - len(before)
    assert all(session["ended"] is None for session in sessions[:-1])


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_goes_on_and_says_so_in_a_line(many, out, uninterrupted):
    code, told = interrupt_after(many, out, 2, signal.SIGINT)
    assert (code, told) == (130, "Stopped; the same command goes on from here\n")
    assert run_whole(many, out).returncode == 0
    assert tables_of(out) == uninterrupted


def test_a_run_that_was_stopped_does_what_is_left_alone(run, oracle_of, drawn_fields, out):
    def stop(done, total, name):
        if done == 1:
            raise Stopped

    with pytest.raises(Stopped):
        run(oracle_of(drawn_fields), progress=stop)
    oracle, steps = oracle_of(drawn_fields), []
    run(oracle, progress=lambda *step: steps.append(step))
    assert len(oracle.asked) == 1  # what was segmented before the stop was scored, too
    assert steps[0] == (2, 3, "A03_s1")


def test_a_finished_run_started_again_does_nothing_and_changes_nothing(
    run, oracle_of, drawn_fields, out
):
    run(oracle_of(drawn_fields))
    before, oracle = tables_of(out), oracle_of(drawn_fields)
    run(oracle)
    assert oracle.asked == []
    assert tables_of(out) == before


def test_half_written_fields_are_done_again(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    before = tables_of(out)
    records, labels = sorted((out / "records").iterdir()), sorted((out / "labels").iterdir())
    records[0].write_bytes(records[0].read_bytes()[:500])
    labels[1].unlink()
    (out / "labels" / f"{labels[2].name}.0badcafe.partial").write_bytes(b"half")
    oracle = oracle_of(drawn_fields)
    run(oracle)
    assert len(oracle.asked) == 2
    assert tables_of(out) == before
    assert sorted((out / "labels").iterdir()) == labels


def test_the_order_in_which_fields_are_done_leaves_no_trace(
    run, oracle_of, drawn_fields, drawn_dataset, out, tmp_path
):
    run(oracle_of(drawn_fields))

    def backwards(work, fields, progress):
        return (work(field) for field in reversed(fields))

    other = tmp_path / "other"
    setup = oracle_setup(oracle_of(drawn_fields))
    run_benchmark(
        open_dataset(drawn_dataset),
        setup,
        other,
        progress=ignore,
        run_fields=backwards,
        parquet=True,
    )
    assert tables_of(other) == tables_of(out)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of files are of POSIX")
def test_a_full_disk_stops_the_run_and_more_room_lets_it_go_on(many, out, uninterrupted):
    def nearly_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    done = subprocess.run(
        command(many, out), capture_output=True, text=True, check=False, preexec_fn=nearly_full
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"napari-nucseg: {out}{os.sep}")
    assert "the file is too large for this disk; choose a folder on another one" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(out.rglob("*.partial"))
    assert not (out / "fields.csv").exists()
    assert run_whole(many, out).returncode == 0
    assert tables_of(out) == uninterrupted


def test_tables_take_their_places_once_all_of_them_can_be_made(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    before = tables_of(out)
    path = sorted((out / "records").iterdir())[1]
    record = json.loads(path.read_text())
    record["score"]["threshold"] = 0.75  # cannot be summed up with the others
    record["objects"]["verdict"][0] = "merged"  # tells which objects.csv it is
    path.write_text(json.dumps(record))
    for parquet in (True, False):
        told = f"^{out / 'records'}: the records are not of one run .*threshold.*; remove them"
        with pytest.raises(ValueError, match=told):
            run(oracle_of(drawn_fields), parquet=parquet)
        assert tables_of(out) == before
        assert not list(out.rglob("*.partial"))


def test_records_that_do_not_say_what_was_corrected_leave_it_open(
    run, oracle_of, drawn_fields, out
):
    run(oracle_of(drawn_fields))
    path = sorted((out / "records").iterdir())[1]
    record = json.loads(path.read_text())
    del record["objects"]["corrected"]
    path.write_text(json.dumps(record))

    run(oracle_of(drawn_fields), parquet=True)

    header, *rows = ((out / "objects.csv").read_text()).splitlines()
    assert header.endswith(",corrected")
    assert {row.rpartition(",")[2] for row in rows if path.stem in row} == {""}
    assert {row.rpartition(",")[2] for row in rows if path.stem not in row} == {"False"}


def test_tables_that_a_killed_run_prepared_are_swept(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    (out / "tables.0badcafe.partial").mkdir()
    (out / "tables.0badcafe.partial" / "fields.csv").write_bytes(b"half")
    run(oracle_of(drawn_fields))
    assert not list(out.rglob("*.partial"))


def test_tables_that_are_not_written_do_not_stay_as_they_were(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    run(oracle_of(drawn_fields), parquet=False)
    names = {path.name for path in out.iterdir()}
    assert {"fields.csv", "objects.csv"} <= names
    assert not {"fields.parquet", "objects.parquet"} & names


# Refused


def test_names_that_differ_are_counted_and_the_first_is_told(
    run, oracle_of, drawn_fields, drawn_dataset
):
    listing = drawn_dataset / "metadata" / "mine.txt"
    first, second, third = (field.stem for field in open_dataset(drawn_dataset).fields)
    listing.write_text(f"{first}\n{second}\n")
    run(oracle_of(drawn_fields), split="mine")
    listing.write_text(f"{second}\n{third}\n")
    with pytest.raises(ValueError, match="splits training") as failure:
        run(oracle_of(drawn_fields), split="mine")
    assert f"splits training: 1 only before, the first is {first}" in str(failure.value)
    assert f"splits test: 1 only now, the first is {third}" in str(failure.value)
    listing.write_text(f"{second}\n{first}\n")
    with pytest.raises(ValueError, match="splits training: the same fields in another order"):
        run(oracle_of(drawn_fields), split="mine")


def test_a_file_instead_of_a_folder_is_refused(run, oracle_of, drawn_fields, out):
    out.write_text("mine")
    for into in (out, out / "within", out / "far" / "within"):
        with pytest.raises(ValueError, match=rf"{out}: this is a file; choose a folder"):
            run(oracle_of(drawn_fields), into=into)
    assert out.read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes are files of POSIX")
def test_a_pipe_in_the_place_of_a_record_is_not_waited_for(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    before, record = tables_of(out), sorted((out / "records").iterdir())[1]
    record.unlink()
    os.mkfifo(record)
    oracle = oracle_of(drawn_fields)
    run(oracle)
    assert len(oracle.asked) == 1
    assert tables_of(out) == before
    (out / "run.json").unlink()
    os.mkfifo(out / "run.json")
    with pytest.raises(OSError, match=r"run\.json: it is a pipe, socket or device"):
        run(oracle_of(drawn_fields))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_folder_that_is_a_link_to_itself_is_told_by_its_name(run, oracle_of, drawn_fields, out):
    out.symlink_to(out)
    with pytest.raises(OSError, match=str(out)) as failure:
        run(oracle_of(drawn_fields))
    assert describe_error(failure.value).endswith(
        "its links lead in a circle; choose what is no such link"
    )


def test_a_folder_where_a_table_belongs_is_told_by_its_name(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    (out / "objects.csv").unlink()
    (out / "objects.csv").mkdir()
    with pytest.raises(OSError, match=f"^{out / 'objects.csv'}: a folder has this name"):
        run(oracle_of(drawn_fields))


def test_other_values_are_refused_with_what_differs(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    before, oracle = tables_of(out), oracle_of(drawn_fields)
    with pytest.raises(ValueError, match=r"rule threshold: 0\.5 before, 0\.7 now\. Choose another"):
        run(oracle, rule=ScoreRule(0.7))
    with pytest.raises(ValueError, match="dataset: drawn before, drawn training now"):
        run(oracle, split="training")
    assert oracle.asked == []
    assert tables_of(out) == before


@pytest.mark.slow
def test_the_command_refuses_other_parameters_in_the_same_folder(many, out):
    interrupt_after(many, out, 1, signal.SIGKILL)
    done = run_whole(many, out, "--flow-threshold", "0.6", "--diameter", "20")
    assert done.returncode == 2
    assert "parameters diameter: 0 before, 20 now" in done.stderr
    assert "parameters flow_threshold: 0.4 before, 0.6 now" in done.stderr


def test_an_image_that_changed_since_it_was_scored_is_refused(
    run, oracle_of, drawn_fields, drawn_dataset
):
    run(oracle_of(drawn_fields))
    image = sorted((drawn_dataset / "images").iterdir())[1]
    tifffile.imwrite(image, drawn_fields[1].image + 1)
    with pytest.raises(ValueError, match=f"{image.name}: the image is not the one that was scored"):
        run(oracle_of(drawn_fields))


def test_a_run_that_was_begun_by_a_version_with_fewer_parameters_goes_on(
    run, oracle_of, drawn_fields, out
):
    run(oracle_of(drawn_fields))
    begun = json.loads((out / "run.json").read_text())
    del begun["plan"]["parameters"]["invert"]
    (out / "run.json").write_text(json.dumps(begun))
    oracle = oracle_of(drawn_fields)
    run(oracle)
    assert oracle.asked == []


def test_a_folder_of_something_else_is_refused(run, oracle_of, drawn_fields, out):
    (out / "labels").mkdir(parents=True)
    (out / "labels" / "mine.tif").write_bytes(b"precious")
    with pytest.raises(ValueError, match=r"it holds labels/ but no run\.json"):
        run(oracle_of(drawn_fields))
    (out / "run.json").write_text('{"jogging": "5 km"}')
    with pytest.raises(ValueError, match="not a record of a run as this version writes it"):
        run(oracle_of(drawn_fields))
    assert (out / "labels" / "mine.tif").read_bytes() == b"precious"


def test_a_second_run_at_once_is_refused(run, oracle_of, drawn_fields, out):
    oracle = oracle_of(drawn_fields)
    with (
        ResultsFolder(out).held(),
        pytest.raises(ValueError, match="another run uses this folder"),
    ):
        run(oracle)
    assert oracle.asked == []
    run(oracle)


@pytest.mark.slow
def test_two_processes_cannot_run_in_one_folder_and_a_killed_one_lets_go(many, out):
    with subprocess.Popen(
        command(many, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as first:
        while not done_in(out):
            assert first.poll() is None
            os.sched_yield()
        first.send_signal(signal.SIGSTOP)  # at work for as long as the other tries
        second = run_whole(many, out)
        first.send_signal(signal.SIGKILL)
    assert second.returncode == 2
    assert "another run uses this folder" in second.stderr
    assert run_whole(many, out).returncode == 0


# Fields that fail


def test_a_field_that_fails_is_recorded_and_the_others_go_on(
    run, oracle_of, drawn_fields, drawn_dataset, out
):
    image = sorted((drawn_dataset / "images").iterdir())[1]
    whole = image.read_bytes()
    image.write_bytes(whole[:300])
    result = run(oracle_of(drawn_fields))
    assert list(result.failed) == [image.stem]
    record = read_record(out / "records" / f"{image.stem}.json")
    assert record.score is None
    assert str(image) in record.error
    assert image.stem in (out / "failed.csv").read_text()
    assert len((out / "fields.csv").read_text().splitlines()) == 3
    assert json.loads((out / "summary.json").read_text())["failed_fields"] == [image.stem]

    image.write_bytes(whole)
    oracle = oracle_of(drawn_fields)
    assert run(oracle).failed == {}
    assert len(oracle.asked) == 1
    assert not (out / "failed.csv").exists()
    assert len((out / "fields.csv").read_text().splitlines()) == 4


def test_an_image_without_a_pixel_size_fails_in_a_run_in_micrometres(
    run, oracle_of, drawn_fields, drawn_dataset, out
):
    for path in (drawn_dataset / "images").iterdir():
        write_scaled(path, tifffile.imread(path))
    image = sorted((drawn_dataset / "images").iterdir())[1]
    image.write_bytes(image.read_bytes()[:300])
    run(oracle_of(drawn_fields))
    tifffile.imwrite(image, drawn_fields[1].image)
    for parquet in (True, False):
        result = run(oracle_of(drawn_fields), parquet=parquet)
        assert list(result.failed) == [image.stem]
        assert "this image has no pixel size" in result.failed[image.stem]
        rows = (out / "objects.csv").read_text().splitlines()
        assert "area_um2" in rows[0]
        assert {row.count(",") for row in rows} == {rows[0].count(",")}
    write_scaled(image, drawn_fields[1].image)
    assert run(oracle_of(drawn_fields)).failed == {}


def test_a_run_in_pixels_stays_one_when_an_image_gets_a_pixel_size(
    run, oracle_of, drawn_fields, drawn_dataset, out
):
    first, image, last = sorted((drawn_dataset / "images").iterdir())
    for path in (first, last):
        write_scaled(path, tifffile.imread(path))
    (drawn_dataset / "masks" / f"{image.stem}.png").rename(drawn_dataset / "lost.png")
    assert list(run(oracle_of(drawn_fields)).failed) == [image.stem]
    write_scaled(image, drawn_fields[1].image)
    (drawn_dataset / "lost.png").rename(drawn_dataset / "masks" / f"{image.stem}.png")
    assert run(oracle_of(drawn_fields)).failed == {}
    assert "_um" not in (out / "objects.csv").read_text().splitlines()[0]


def test_failures_are_told_while_the_run_is_at_work(run, oracle_of, drawn_fields, drawn_dataset):
    for image in sorted((drawn_dataset / "images").iterdir())[:2]:
        image.write_bytes(image.read_bytes()[:300])
    told = []
    run(oracle_of(drawn_fields), progress=lambda *step: told.append(step))
    assert told[0] == (0, 3, "A01_s1")
    assert (1, 3, "A03_s1, 1 failed") in told
    assert told[-1] == (3, 3, "")


def test_an_unforeseen_error_is_recorded_with_its_kind(run, oracle_of, drawn_fields):
    oracle = oracle_of(drawn_fields)
    del oracle.answers[drawn_fields[0].image.tobytes()]
    assert [error[:10] for error in run(oracle).failed.values()] == ["KeyError: "]


def test_a_run_whose_fields_all_fail_says_so(run, oracle_of, out):
    with pytest.raises(ValueError, match=r"all 3 fields failed, the first is .*KeyError"):
        run(oracle_of(()))
    assert len((out / "failed.csv").read_text().splitlines()) == 4
    assert not (out / "objects.csv").exists()


@pytest.mark.slow
def test_the_exit_code_tells_that_a_field_failed(many, tmp_path, out):
    root = tmp_path / "copy"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
        for path in sorted((many / part).iterdir())[:2]:
            (root / part / path.name).write_bytes(path.read_bytes())
    Image.fromarray(np.zeros((9, 9, 4), np.uint8)).save(root / "masks" / "f1.png")
    for name, length in (("f2", 8), ("f3", 300)):
        whole = (many / "images" / f"{name}.tif").read_bytes()
        (root / "images" / f"{name}.tif").write_bytes(whole[:length])
        (root / "masks" / f"{name}.png").write_bytes((many / "masks" / f"{name}.png").read_bytes())
    done = run_whole(root, out)
    assert (done.returncode, done.stderr) == (1, "")
    told = " ".join(done.stdout.split())
    assert "3 fields failed" in told
    assert "f1.png: the mask is 9 x 9 px" in told
    for name in ("f2", "f3"):
        assert f"{name}.tif: the file is cut off or damaged; copy or download it again" in told


def test_other_weights_on_another_machine_are_an_error_of_the_field(
    drawn_dataset, oracle_of, drawn_fields, out
):
    setup = replace(oracle_setup(oracle_of(drawn_fields)), weights={"oracle.pt": "cd" * 32})
    with pytest.raises(ValueError, match="other weights of oracle than the run was begun with"):
        run_benchmark(open_dataset(drawn_dataset), setup, out, progress=ignore)


def test_other_versions_on_another_machine_are_an_error_of_the_field(
    drawn_dataset, oracle_of, drawn_fields, out
):
    setup = replace(oracle_setup(oracle_of(drawn_fields)), versions={"napari-nucseg": "0.0.1"})
    with pytest.raises(ValueError, match=r"has napari-nucseg .* was begun with 0\.0\.1; install"):
        run_benchmark(open_dataset(drawn_dataset), setup, out, progress=ignore)


@pytest.mark.slow
def test_unfinished_files_of_others_are_left_alone(many, out):
    out.mkdir()
    (out / "notes.partial").touch()
    (out / "backup.partial").mkdir()
    done = run_whole(many, out)

    assert done.returncode == 0, done.stderr
    assert (out / "notes.partial").exists()
    assert (out / "backup.partial").is_dir()


# Corrected since


def correct(path: Path) -> bytes:
    """Take the first nucleus out of labels, as napari does that has them open."""
    labels, made = tifffile.imread(path), read_provenance(path)
    write_labels(path, labels * (labels != 1), {**made, "corrected_by_hand": 1})
    return path.read_bytes()


def test_labels_that_were_corrected_since_are_kept_and_told(run, oracle_of, drawn_fields, out):
    run(oracle_of(drawn_fields))
    scores = (out / "fields.csv").read_text().splitlines()
    first = sorted((out / "labels").iterdir())[0]
    corrected = correct(first)
    found = run(oracle_of(drawn_fields))
    assert first.read_bytes() == corrected
    assert list(found.suspect) == [first.stem]
    [sign] = found.suspect[first.stem]
    assert "its labels were edited since (corrected by hand: 1 nucleus), and are kept" in sign
    assert "these scores are of the labels as the model made them" in sign
    changed = (out / "fields.csv").read_text().splitlines()
    assert [sign in row for row in changed] == [first.stem in row for row in changed]
    assert [row.split(",")[:20] for row in changed] == [row.split(",")[:20] for row in scores]


def test_a_ground_truth_that_was_corrected_is_told_with_its_nuclei(
    run, oracle_of, drawn_fields, drawn_dataset, out
):
    masks = sorted((drawn_dataset / "masks").iterdir())
    write_labels(masks[0].with_suffix(".tif"), drawn_fields[0].labels, {"corrected_by_hand": 2})
    stem = masks[0].stem
    masks[0].unlink()
    run(oracle_of(drawn_fields))

    # The file tells how many nuclei were corrected, and not which
    told = {
        "fields.csv": ("stem", "corrected_by_hand", "2", "0"),
        "objects.csv": ("field", "corrected", "", "False"),
    }
    for name, (key, column, corrected, other) in told.items():
        with (out / name).open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row[column] for row in rows if row[key] == stem} == {corrected}
        assert {row[column] for row in rows if row[key] != stem} == {other}
    assert json.loads((out / "summary.json").read_text())["corrected_by_hand"] == 2


@pytest.mark.parametrize("theirs", ["corrected", "of another program"])
def test_corrected_labels_whose_record_is_gone_are_never_replaced(
    run, oracle_of, drawn_fields, out, theirs
):
    run(oracle_of(drawn_fields))
    first = sorted((out / "labels").iterdir())[0]
    if theirs == "corrected":
        correct(first)
    else:
        tifffile.imwrite(first, tifffile.imread(first))
    before = first.read_bytes()
    (out / "records" / f"{first.stem}.json").unlink()
    found = run(oracle_of(drawn_fields))
    assert first.read_bytes() == before
    assert list(found.failed) == [first.stem]
    assert f"{first}: these labels were edited" in found.failed[first.stem]

    first.unlink()
    assert not run(oracle_of(drawn_fields)).failed

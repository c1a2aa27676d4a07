"""What `dynamics` is made of: objects on pixels, and loops shared out among the cores."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_nucseg.segmenters.dynamics.compiling import compiled, share_out
from napari_nucseg.segmenters.dynamics.masks import Traced, finish
from napari_nucseg.segmenters.dynamics.objects import flow_errors
from tests.segmenters.cellpose_reference import nothing_left_to_chance

few = settings(max_examples=100, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@few
@given(seeds, st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.integers(0, 3))
def test_holes_and_small_objects_go_as_in_cellpose(seed, height, width, coarseness, background):
    from cellpose.utils import fill_holes_and_remove_small_masks
    from fastremap import renumber

    rng = np.random.default_rng(seed)
    blocks = rng.integers(-background, 6, (height, width)).clip(0)
    labels = np.kron(blocks, np.ones((coarseness, coarseness))).astype(np.uint16)
    if background == 0:  # Cellpose takes the first object for background if there is none
        labels += 1
    labels = renumber(labels)[0].astype(np.int32)
    traced = Traced(labels, np.zeros(labels.max()))
    result = finish(traced, flow_threshold=0.4, min_size=15)
    expected = fill_holes_and_remove_small_masks(labels.copy(), min_size=15)
    np.testing.assert_array_equal(result, expected)


def fill(rows):
    """What becomes of drawn objects, of which none is too small."""
    labels = np.array([[int(number) for number in row] for row in rows], dtype=np.int32)
    traced = Traced(labels, np.zeros(labels.max()))
    filled = finish(traced, flow_threshold=0.4, min_size=1)
    return ["".join(map(str, row)) for row in filled]


def test_what_an_object_encloses_becomes_its_own():
    assert fill(["1111", "1021", "1111"]) == ["1111", "1111", "1111"]


def test_a_hole_ends_where_pixels_touch_at_corners():
    assert fill(["0110", "1001", "0110"]) == ["0110", "1111", "0110"]


def test_a_bay_is_no_hole():
    assert fill(["1111", "1000", "1111"]) == ["1111", "1000", "1111"]


@few
@given(seeds, st.integers(1, 30), st.integers(1, 30), st.integers(1, 4))
def test_flow_errors_are_cellposes(seed, height, width, coarseness):
    from cellpose.dynamics import flow_error
    from fastremap import renumber

    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 4, (height, width))
    labels = renumber(np.kron(blocks, np.ones((coarseness, coarseness), dtype=int)))[0]
    vectors = rng.normal(0, 4, (2, *labels.shape)).astype(np.float32)
    errors = flow_errors(labels.astype(np.int32), vectors)
    if not labels.any():
        assert errors.size == 0
        return
    with nothing_left_to_chance():
        expected = flow_error(labels, vectors)[0]
    np.testing.assert_allclose(errors, expected, rtol=1e-9)


# Running


@pytest.mark.parametrize("count", [0, 1, 10, 11])
def test_every_portion_is_worked_on_once(count):
    done = np.zeros(count, dtype=int)

    def work(some):
        done[some] += 1

    share_out(work, count, 5)
    assert (done == 1).all()


def test_an_error_in_a_portion_comes_out():
    def work(some):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        share_out(work, 10, 1)


def test_a_loop_compiles_where_its_machine_code_cannot_be_kept():
    written_nowhere = eval("lambda number: number + 1")
    assert compiled(written_nowhere)(2) == 3


def cut(content):
    return content[: len(content) // 2]


def change(content):
    """Change a byte in the middle, which may be one of an instruction."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def empty(content):
    return b""


@pytest.mark.parametrize("damage", [cut, change, empty])
@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_machine_code_that_was_damaged_is_compiled_again(damage, ending, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    source = tmp_path / "loops.py"
    source.write_text("def add(number):\n    return number + 1\n")
    add = runpy.run_path(str(source))["add"]
    assert compiled(add)(2) == 3
    (path,) = tmp_path.rglob(f"*.{ending}")
    path.write_bytes(damage(path.read_bytes()))

    mended, kept = compiled(add), compiled(add)
    assert mended(2) == 3
    assert not mended.stats.cache_hits
    assert kept(2) == 3
    assert kept.stats.cache_hits


def test_a_disk_that_takes_no_machine_code_is_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    source = tmp_path / "loops.py"
    source.write_text("def add(number):\n    return number + 1\n")
    loop = compiled(runpy.run_path(str(source))["add"])
    where = Path(loop._cache.cache_path)
    shutil.rmtree(where, ignore_errors=True)
    where.write_text("a file where the folder should be")
    assert loop(2) == 3
    assert "machine code cannot be kept" in caplog.text


def run(program, **environment):
    """Run a program in a process of its own, in which nothing is compiled yet."""
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | environment)


@pytest.mark.slow
def test_importing_compiles_nothing():
    run(
        "from numba.core import event\n"
        "with event.install_recorder('numba:compile') as recorder:\n"
        "    import napari_nucseg.segmenters.dynamics.masks\n"
        "assert not recorder.buffer\n"
    )


LABEL_A_FIELD = """
import numpy as np
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.segmenters.dynamics.masks import finish, trace
from tests.segmenters.cellpose_reference import flows_of

vectors, cellprob = flows_of(draw_field(3, shape=(260, 348), nuclei=30).labels, noise=1.0)
traced = trace(vectors, cellprob, cellprob_threshold=0.0, steps=200)
assert finish(traced, flow_threshold=0.4, min_size=15).max() > 20
"""


@pytest.mark.slow
def test_after_warming_up_no_field_waits_for_the_compiler(tmp_path):
    run(
        "from numba.core.dispatcher import Dispatcher\n"
        "from napari_nucseg.segmenters.dynamics import masks, objects\n"
        "def compiled():\n"
        "    parts = vars(masks) | vars(objects)\n"
        "    loops = {n: loop for n, loop in parts.items() if isinstance(loop, Dispatcher)}\n"
        "    return {name: loop.signatures for name, loop in loops.items()}\n"
        "masks.warm_up()\n"
        "warm = compiled()\n"
        "assert warm and all(len(signatures) == 1 for signatures in warm.values()), warm\n"
        f"{LABEL_A_FIELD}\n"
        "assert compiled() == warm\n",
        NUMBA_CACHE_DIR=str(tmp_path),
    )
    assert list(tmp_path.rglob("*.nbc"))


@pytest.mark.slow
def test_fields_are_labelled_where_no_folder_can_be_written_to():
    run(
        "from numba.core import caching\n"
        "def refuse(locator):\n"
        "    raise PermissionError\n"
        "caching._CacheLocator.ensure_cache_path = refuse\n"
        f"{LABEL_A_FIELD}"
    )

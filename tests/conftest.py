"""Fields for the tests: drawn ones always, real ones where their variables name the folders.

The variables are ``NUCSEG_BBBC039`` and ``NUCSEG_DSB2018``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_nucseg.cli.main import main
from napari_nucseg.io import bbbc039 as download
from napari_nucseg.io.synthetic import SyntheticField, draw_field
from napari_nucseg.segmenters import catalogue
from tests.io.file_server import FileServer
from tests.oracle import Oracle

STEM = "IXMtest_{well}_s1_w100000000-0000-0000-0000-{number:012d}"


@dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def flat(self) -> str:
        """The output without the line breaks of a narrow terminal."""
        return " ".join(self.out.split())

    @property
    def said(self) -> str:
        """All that was said, on one line."""
        return " ".join((self.out + self.err).split())


def sampled(things, every=5):
    """Take every fifth of many things, or all of them where `NUCSEG_ALL_FIELDS` is set."""
    return things if os.environ.get("NUCSEG_ALL_FIELDS") else things[::every]


@pytest.fixture(scope="session")
def bbbc039() -> Path:
    """The real dataset's folder; its absence skips a test, or fails it if it was promised."""
    folder = os.environ.get("NUCSEG_BBBC039")
    if folder and (Path(folder) / "images").is_dir():
        return Path(folder)
    message = f"the real fields are not here (NUCSEG_BBBC039={folder})"
    if os.environ.get("NUCSEG_REQUIRE_DATA"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def dsb2018() -> Path:
    """A folder of DSB2018's fluorescence images; a test is skipped where no variable names one."""
    folder = os.environ.get("NUCSEG_DSB2018")
    if folder and (Path(folder) / "images").is_dir():
        return Path(folder)
    message = f"the real fields are not here (NUCSEG_DSB2018={folder})"
    if folder and os.environ.get("NUCSEG_REQUIRE_DATA"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is measured on this machine out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUCSEG_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def drawn_fields() -> tuple[SyntheticField, ...]:
    """Three small drawn fields; the last has no nucleus."""
    return tuple(
        draw_field(seed, shape=(160, 200), nuclei=nuclei) for seed, nuclei in enumerate((12, 8, 0))
    )


@pytest.fixture
def drawn_dataset(tmp_path: Path, drawn_fields: tuple[SyntheticField, ...]) -> Path:
    """The drawn fields as a dataset on disk, in the layout of BBBC039: two training, one test."""
    root = tmp_path / "drawn"
    for part in ("images", "masks", "metadata"):
        (root / part).mkdir(parents=True)
    stems = [STEM.format(well=f"A0{i + 1}", number=i) for i in range(len(drawn_fields))]
    for stem, field in zip(stems, drawn_fields, strict=True):
        tifffile.imwrite(root / "images" / f"{stem}.tif", field.image)
        write_mask(root / "masks" / f"{stem}.png", field.labels)
    (root / "metadata" / "training.txt").write_text("".join(f"{s}.png\n" for s in stems[:2]))
    (root / "metadata" / "test.txt").write_text(f"{stems[2]}.png\n")
    return root


@pytest.fixture(scope="session")
def draw_many(tmp_path_factory):
    """Draw a dataset of small fields, enough of them to be interrupted in the middle."""

    def draw(count: int) -> Path:
        root = tmp_path_factory.mktemp("many")
        for part in ("images", "masks"):
            (root / part).mkdir()
        for seed in range(count):
            field = draw_field(seed, shape=(160, 200), nuclei=6 + seed)
            tifffile.imwrite(root / "images" / f"f{seed}.tif", field.image)
            write_mask(root / "masks" / f"f{seed}.png", field.labels)
        return root

    return draw


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command line as the installed program does, in this process."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-nucseg", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return Done(code, *capsys.readouterr())

    return command


@pytest.fixture
def oracle_of():
    """Make an `Oracle` of drawn fields, with other labels than the truth where they are given."""

    def make(fields, *labels):
        answers = {f.image.tobytes(): f.labels for f in fields}
        answers |= {f.image.tobytes(): a for f, a in zip(fields, labels, strict=False)}
        return Oracle(answers)

    return make


@pytest.fixture
def published(
    drawn_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, FileServer]]:
    """Servers on this computer, by archive, that publish the drawn fields as BBBC039.

    A download goes to an empty cache folder unless another is chosen.
    """
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("NUCSEG_CACHE", str(tmp_path / "cache"))
    with ExitStack() as running:
        servers, archives = {}, []
        for archive in download.ARCHIVES:
            part = archive.name.removesuffix(".zip")
            path = shutil.make_archive(str(tmp_path / "server" / part), "zip", drawn_dataset, part)
            content = Path(path).read_bytes()
            server = servers[archive.name] = running.enter_context(FileServer(content))
            sha256 = hashlib.sha256(content).hexdigest()
            archives.append(replace(archive, url=server.url(), size=len(content), sha256=sha256))
        monkeypatch.setattr(download, "ARCHIVES", tuple(archives))
        yield servers


def write_scaled(path: Path, image: np.ndarray) -> None:
    """Write an image that says that its pixels are half a micrometre wide."""
    tifffile.imwrite(path, image, imagej=True, resolution=(2, 2), metadata={"unit": "um"})


def write_mask(path: Path, labels: np.ndarray) -> None:
    """Write labels as the dataset's masks are: RGBA, a red value that differs from neighbours'."""
    rgba = np.zeros((*labels.shape, 4), dtype=np.uint8)
    rgba[..., 0] = colour(labels)
    rgba[..., 3] = 255
    Image.fromarray(rgba).save(path)


def colour(labels: np.ndarray) -> np.ndarray:
    """Give touching labels different small values, first come first served."""
    neighbours: dict[int, set[int]] = {int(i): set() for i in np.unique(labels) if i}
    height, width = labels.shape
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = labels[: height - dy, max(0, -dx) : width - max(0, dx)]
        b = labels[dy:, max(0, dx) : width - max(0, -dx)]
        touching = (a != b) & (a > 0) & (b > 0)
        for one, two in {(int(i), int(j)) for i, j in zip(a[touching], b[touching], strict=True)}:
            neighbours[one].add(two)
            neighbours[two].add(one)
    values = np.zeros(int(labels.max(initial=0)) + 1, dtype=np.uint8)
    for label, others in neighbours.items():
        taken = {int(values[other]) for other in others}
        values[label] = next(value for value in range(1, 255) if value not in taken)
    return values[labels]


@pytest.fixture
def site(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder of packages that is looked into."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    catalogue.third_parties.cache_clear()
    yield folder
    catalogue.third_parties.cache_clear()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) == str(folder / f"{name}.py"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch sum in one order on every machine, and wait for no threads of its own."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

"""The folder of a run's results: its layout, and who may write into it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_nucseg.batch.records import FORMAT, FieldRecord, parse_run, read_record
from napari_nucseg.io.atomic import explained, sweep
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.large_images import count_corrected
from napari_nucseg.io.plates import holder_of
from napari_nucseg.io.sources import Source, root_of
from napari_nucseg.io.writers import checksum, known_provenance, write_json
from napari_nucseg.wording import say_corrected

RUN_FILE = "run.json"
REPORT, COMPARISON, WELLS = "report.html", "comparison.csv", "wells.csv"
TABLES = (
    *("fields.csv", "fields.parquet", "objects.csv", "objects.parquet", "failed.csv", WELLS),
    *("summary.csv", "summary.md", "summary.tex", "summary.json", "measurements.csv"),
)
_LONGEST = 255
"""Bytes of the longest name that disks take."""


@dataclass(frozen=True)
class ResultsFolder:
    """Where things are in a folder of results.

    Attributes
    ----------
    path : Path
        The folder. It holds ``run.json``, ``labels/<stem>.tif``, ``records/<stem>.json``,
        ``nuclei/<stem>.csv``, and at the end the tables and the report.
    """

    path: Path

    @property
    def run_file(self) -> Path:
        """What the run was begun with, and when and where it was at work."""
        return self.path / RUN_FILE

    @property
    def labels(self) -> Path:
        """Folder of the labels."""
        return self.path / "labels"

    def labels_file(self, stem: str) -> Path:
        """Labels of a field."""
        return self.labels / f"{stem}.tif"

    def record_file(self, stem: str) -> Path:
        """Record of a field."""
        name = f"{stem}.json"
        if len(os.fsencode(name)) > _LONGEST:  # that of its image is shorter by one
            name = f"{sha256(os.fsencode(stem)).hexdigest()}.json"
        return self.path / "records" / name

    def nuclei_file(self, stem: str) -> Path:
        """Measures of a field's nuclei, as the model made them."""
        return self.path / "nuclei" / f"{stem}.csv"

    def read(self, stem: str) -> FieldRecord | None:
        """Read what became of a field; None if it has yet to be done."""
        record = read_record(self.record_file(stem))
        if record is not None and record.stem != stem:  # it was copied from another field
            return None
        if record is None or record.error is not None or self.labels_file(stem).is_file():
            return record
        return None

    def tell_edits(self, record: FieldRecord) -> str:
        """Say that a field's labels are no longer those that were scored; empty if they are."""
        made = (record.made or {}).get("labels_sha256")  # runs of before do not know it
        if made is None or self._checksum_of(record.stem) == made:
            return ""
        corrected = say_corrected(count_corrected(self.labels_file(record.stem)))
        return (
            f"its labels were edited since{corrected and f' ({corrected})'}, and are kept; these "
            "scores are of the labels as the model made them"
        )

    def refuse_edited(self, stem: str) -> None:
        """Refuse to replace labels that are not exactly what a run has written.

        Raises
        ------
        ValueError
            Naming the file.
        """
        path = self.labels_file(stem)
        if not path.exists():
            return
        made = known_provenance(path).get("labels_sha256")
        if made is None or self._checksum_of(stem) != made:
            raise ValueError(
                f"{path}: these labels were edited, or are not of this run, and are kept; move the "
                "file to another folder, and give the same command again to make them anew"
            )

    def _checksum_of(self, stem: str) -> str | None:
        """Return the checksum of a field's labels; None if the file holds none that are whole."""
        try:
            return checksum(read_labels(Source(self.labels_file(stem))))
        except (ValueError, OSError):
            return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other runs out; a process that is killed lets go.

        Raises
        ------
        ValueError
            If another run is at work here.
        OSError
            If nothing can be written here; the message says where and what to do.
        """
        lock = FileLock(self.path / ".lock")
        try:
            with explained(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
        except Timeout as error:
            raise ValueError(
                f"{self.path}: another run uses this folder now; wait until it is done, or choose "
                "another folder"
            ) from error
        try:
            for folder in (self.path, self.labels, self.path / "records"):
                sweep(folder)
            yield
        finally:
            lock.release()

    def read_run(self) -> dict[str, Any] | None:
        """Read ``run.json``; None if there is none.

        Raises
        ------
        ValueError
            If it is no record of a run.
        """
        try:
            return parse_run(Source(self.run_file).read())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(
                f"{self.run_file}: not a record of a run as this version writes it ({error}); "
                "choose another folder"
            ) from error

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.run_file, {"format": FORMAT, **run})

    def check_unchanged(
        self, field: Field, record: FieldRecord, remedy: str = "choose another folder to start over"
    ) -> None:
        """Refuse a field that is done and whose files are others now.

        Parameters
        ----------
        field : Field
            The field, with the image and the mask it has now.
        record : FieldRecord
            Record of the field, written when it was done.
        remedy : str
            What the message tells the user to do.

        Raises
        ------
        ValueError
            Naming the file.
        """
        for kind, scored in record.checksums.items():
            source = field.image if kind == "image" else field.mask
            if source is None or source.sha256() != scored:
                raise ValueError(
                    f"{source or field.stem}: the {kind} is not the one that was scored in "
                    f"{self.path}; {remedy}"
                )


def refuse_dataset(out: Path, dataset: Dataset) -> None:
    """Refuse to write results among the images and masks that they are of.

    Raises
    ------
    ValueError
        Naming the folder.
    """
    roots = {os.path.realpath(root) for root in map(_root, dataset.fields) if root}
    if os.path.realpath(root_of(out)) in roots:  # resolve() fails at links to themselves
        raise ValueError(
            f"{out}: this is the folder of the dataset; choose another folder for the results, "
            f"such as {root_of(out) / 'results'}"
        )


def _root(field: Field) -> Path | None:
    source = field.image or field.mask
    return None if source is None else holder_of(source)


def refuse_repeated(models: Sequence[str]) -> None:
    """Refuse two models of one name, whose results would be one folder.

    Raises
    ------
    ValueError
        Naming the model.
    """
    twice = [name for name in models if models.count(name) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice; name each model only once")


def check_for_models(path: Path, models: Sequence[str]) -> None:
    """Refuse a folder for the results of several models that holds something else.

    Parameters
    ----------
    path : Path
        The folder, which need not be there.
    models : sequence of str
        Names of all the models.

    Raises
    ------
    ValueError
        Naming what it holds.
    """
    refuse_file(path)
    if (path / RUN_FILE).exists():
        raise ValueError(
            f"{path}: this folder holds the run of a single model; choose another folder, or only "
            "that model to go on"
        )
    there = models_in(path)
    others = [name for name in there if name not in models]
    if others:
        raise ValueError(
            f"{path}: this folder holds results of {', '.join(others)}, too; choose another "
            "folder, or all its models to go on"
        )
    if not there:
        refuse_names(path, (COMPARISON, REPORT))


def models_in(path: Path) -> list[str]:
    """Name the models that have a folder of results within a folder."""
    return [file.parent.name for file in sorted(path.glob(f"*/{RUN_FILE}")) if _is_models(file)]


def _is_models(run_file: Path) -> bool:
    """Whether a run is one of several, and not a run of its own that lies beside others."""
    try:
        run = ResultsFolder(run_file.parent).read_run()
    except ValueError:
        return False  # of something else
    return run is not None and run["plan"]["model"] == run_file.parent.name


def refuse_file(path: Path) -> None:
    """Refuse a file, or a place within one, for a folder of results."""
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ValueError(f"{there}: this is a file; choose a folder for the results")


def refuse_names(path: Path, names: Sequence[str]) -> None:
    """Refuse to write over what is not known to be of a run."""
    taken = next((path / name for name in names if (path / name).exists()), None)
    if taken is not None:
        raise ValueError(
            f"{path}: it holds {taken.name}{'/' if taken.is_dir() else ''} but no {RUN_FILE}, so "
            "it is not a folder of results; choose another folder"
        )

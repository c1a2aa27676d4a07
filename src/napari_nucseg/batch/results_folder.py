"""The folder of a run's results: its layout, who may write into it, and what it was begun with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from napari_nucseg.batch.field_record import FieldRecord, read_record
from napari_nucseg.batch.plan import Plan, differences
from napari_nucseg.io.atomic import explained, sweep
from napari_nucseg.io.fields import Field
from napari_nucseg.io.writers import write_json
from napari_nucseg.segmenters.parameters import completed

RUN_FILE = "run.json"
REPORT, COMPARISON = "report.html", "comparison.csv"
TABLES = (
    *("fields.csv", "fields.parquet", "objects.csv", "objects.parquet", "failed.csv"),
    *("summary.csv", "summary.md", "summary.tex", "summary.json"),
)
FORMAT = 1
_LONGEST = 255
"""Bytes of the longest name that disks take."""


@dataclass(frozen=True)
class ResultsFolder:
    """Where things are in a folder of results.

    Attributes
    ----------
    path : Path
        The folder. It holds ``run.json``, ``labels/<stem>.tif``, ``records/<stem>.json``, and at
        the end the tables and the report.
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

    def read(self, stem: str) -> FieldRecord | None:
        """Read what became of a field; None if it has yet to be done."""
        record = read_record(self.record_file(stem))
        if record is None or record.error is not None or self.labels_file(stem).is_file():
            return record
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

    def check(self, plan: Plan) -> None:
        """Refuse a folder that was begun with something else.

        Raises
        ------
        ValueError
            Naming what differs.
        """
        _refuse_file(self.path)
        run = self.read_run()
        if run is None:
            models = _models_in(self.path)
            if models:
                raise ValueError(
                    f"{self.path}: this folder holds a run of several models, {', '.join(models)}; "
                    "choose another folder, or all these models to go on"
                )
            _refuse_names(self.path, ("labels", "records", *TABLES, REPORT))
            return
        begun = run["plan"] | {"parameters": completed(run["plan"]["parameters"])}
        found = differences(begun, plan)
        if found:
            raise ValueError(
                f"{self.path}: this folder holds another run. {'; '.join(found)}. Choose another "
                "folder, or the same values to go on"
            )

    def read_run(self) -> dict[str, Any] | None:
        """Read ``run.json``; None if there is none.

        Raises
        ------
        ValueError
            If it is no record of a run.
        """
        try:
            run = json.loads(self.run_file.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(f"{self.run_file}: not a record of a run ({error})") from error
        if not isinstance(run, dict) or run.get("format") != FORMAT:
            raise ValueError(
                f"{self.run_file}: not a record of a run as this version writes it; choose another "
                "folder"
            )
        return run

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
        for kind, checksum in record.checksums.items():
            source = field.image if kind == "image" else field.mask
            if source is None or source.sha256() != checksum:
                raise ValueError(
                    f"{source or field.stem}: the {kind} is not the one that was scored in "
                    f"{self.path}; {remedy}"
                )


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
    _refuse_file(path)
    if (path / RUN_FILE).exists():
        raise ValueError(
            f"{path}: this folder holds the run of a single model; choose another folder, or only "
            "that model to go on"
        )
    there = _models_in(path)
    others = [name for name in there if name not in models]
    if others:
        raise ValueError(
            f"{path}: this folder holds results of {', '.join(others)}, too; choose another "
            "folder, or all its models to go on"
        )
    if not there:
        _refuse_names(path, (COMPARISON, REPORT))


def default_folder(dataset: str, models: Sequence[str]) -> Path:
    """Name a folder for the results of models on a dataset, within the working folder."""
    return Path("results") / "-".join(re.sub(r"[^\w.]+", "-", name) for name in (dataset, *models))


def _models_in(path: Path) -> list[str]:
    """Name the models that have a folder of results within a folder."""
    return [file.parent.name for file in sorted(path.glob(f"*/{RUN_FILE}")) if _is_models(file)]


def _is_models(run_file: Path) -> bool:
    """Whether a run is one of several, and not a run of its own that lies beside others."""
    try:
        run = ResultsFolder(run_file.parent).read_run()
    except ValueError:
        return False  # of something else
    return run is not None and run["plan"]["model"] == run_file.parent.name


def _refuse_file(path: Path) -> None:
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    if not there.is_dir():
        raise ValueError(f"{there}: this is a file; choose a folder for the results")


def _refuse_names(path: Path, names: Sequence[str]) -> None:
    """Refuse to write over what is not known to be of a run."""
    taken = next((path / name for name in names if (path / name).exists()), None)
    if taken is not None:
        raise ValueError(
            f"{path}: it holds {taken.name}{'/' if taken.is_dir() else ''} but no {RUN_FILE}, so "
            "it is not a folder of results; choose another folder"
        )

"""Runs over images without ground truth: nuclei are segmented and measured, and nothing scored."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_nucseg.analysis.measurements import Nuclei, measure
from napari_nucseg.analysis.score_records import Columns, join
from napari_nucseg.batch.dataset_run import Session
from napari_nucseg.batch.field_task import Executor, describe_failure
from napari_nucseg.batch.image_run import refuse_overwriting, segment_images
from napari_nucseg.batch.image_task import Choice, Failed, ImageTask, Saved
from napari_nucseg.batch.results_folder import (
    REPORT,
    WELLS,
    ResultsFolder,
    check_for_models,
    refuse_dataset,
    refuse_repeated,
)
from napari_nucseg.batch.run_report import describe_sessions
from napari_nucseg.batch.run_setup import Plan, Setup, all_have_scale, check_folder, make_plan
from napari_nucseg.batch.wells import FoundInField, read_wells, write_wells
from napari_nucseg.io.atomic import files_at_once
from napari_nucseg.io.fields import Dataset, Field
from napari_nucseg.io.images import read_labels
from napari_nucseg.io.large_images import count_corrected
from napari_nucseg.io.sources import Source
from napari_nucseg.io.writers import read_provenance, write_columns, write_table
from napari_nucseg.progress import Progress
from napari_nucseg.report.measures import Measured, MeasuredPage, field_record, write_measures
from napari_nucseg.report.page import describe_made
from napari_nucseg.wording import counted

MEASUREMENTS, FIELDS, FAILED = "measurements.csv", "fields.csv", "failed.csv"


def measure_models(
    dataset: Dataset,
    setups: Sequence[Setup],
    out: Path,
    progress: Progress,
    cluster: Executor | None = None,
    command: Sequence[str] = (),
) -> list[Measured]:
    """Segment and measure images by one model after the other; go on with what was begun.

    Parameters
    ----------
    dataset : Dataset
        Fields with images; ground truth is not looked at.
    setups : sequence of Setup
        Model and parameters, one a model.
    out : Path
        Folder of the results: ``run.json``, ``labels/``, ``measurements.csv`` with a row a
        nucleus, ``fields.csv`` with a row a field, and ``report.html``. Several models have a
        folder each in it, and one report.
    progress : Progress
        Called with (images done, images in all, name of one) now and then, counted over all
        models; may raise to stop.
    cluster : callable, optional
        Segments images elsewhere; None to segment them in this process.
    command : sequence of str
        Command line that does the same, for ``run.json`` and the report.

    Raises
    ------
    ValueError
        If the folder holds something else, labels would replace an image, or all images failed.
    OSError
        If results cannot be written.
    """
    models = [setup.model for setup in setups]
    refuse_repeated(models)
    refuse_dataset(out.absolute(), dataset)
    # Labels are named like the files of their images
    fields = [replace(one, stem=one.image.stem) for one in dataset.fields if one.image is not None]
    dataset, several, found = replace(dataset, fields=tuple(fields)), len(setups) > 1, []
    has_scale = cache(all_have_scale)
    with ResultsFolder(out.absolute()).held():
        if several:
            check_for_models(out, models)
        for number, setup in enumerate(setups):
            folder = ResultsFolder((out / setup.model if several else out).absolute())

            def tell(done: int, _: int, name: str = "", /, before: int = number) -> None:
                progress(before * len(fields) + done, len(setups) * len(fields), name)

            with folder.held() if several else nullcontext():
                plan = _settle(dataset, setup, folder, has_scale)
                run = _Run(dataset, setup, folder, plan)
                session = Session(folder, plan, dataset, command)
                found.append(run.carry_out(session, tell, cluster))
        title, results = f"{', '.join(models)} on {dataset.name}", str(out.absolute())
        page = MeasuredPage(title, len(fields), found, results, shlex.join(command))
        write_measures(out / REPORT, page)
    return found


def describe_measured(found: Sequence[Measured]) -> list[str]:
    """Say that nothing was scored, and how many nuclei each model found: a sentence each."""
    told = ["There is no ground truth, so nuclei were measured, and nothing was scored."]
    for one in found:
        fields, nuclei = counted(len(one.nuclei), "field"), counted(one.count, "nucleus")
        failed = f" {len(one.failed)} failed, see failed.csv." if one.failed else ""
        told.append(f"{one.name}: {fields}, {nuclei}.{failed}")
    return told


def _settle(
    dataset: Dataset, setup: Setup, folder: ResultsFolder, has_scale: Callable[[Dataset], bool]
) -> Plan:
    """Say what a run is, and refuse a folder that holds something else."""
    begun = folder.read_run()
    scaled = has_scale(dataset) if begun is None else bool(begun["plan"].get("has_scale"))
    plan = make_plan(dataset, setup, scaled) | {"scored": False}
    check_folder(folder, plan)
    refuse_overwriting([one.image for one in dataset.fields if one.image], folder.labels)
    return plan


class _Run:
    """One model's run over images that all have a name of their own."""

    def __init__(self, dataset: Dataset, setup: Setup, folder: ResultsFolder, plan: Plan) -> None:
        self._setup, self._folder, self._plan = setup, folder, plan
        self._has_wells = dataset.has_wells
        self._fields = {one.image.name: one for one in dataset.fields if one.image is not None}
        self._nuclei: dict[str, Nuclei] = {}
        self._made: dict[str, Mapping[str, Any]] = {}
        self._suspect: dict[str, tuple[str, ...]] = {}
        self._doubtful: set[str] = set()
        self._failed: dict[str, str] = {}

    def carry_out(self, session: Session, progress: Progress, cluster: Executor | None) -> Measured:
        """Segment and measure all images, and write labels and tables."""
        channel = next(iter(self._fields.values())).channel  # the same one in all fields
        work = ImageTask(self._setup, self._folder.labels, Choice(channel), in_run=True)
        sources = [one.image for one in self._fields.values() if one.image is not None]
        for one in segment_images(sources, work, progress, cluster):
            self._take(one)
        progress(len(sources), len(sources), "")
        if not self._nuclei:
            first = next(iter(self._failed.values()))
            raise ValueError(f"all {len(sources)} images failed, the first is {first}")
        self._write_tables()
        session.end(len(sources), self._result())
        done = [one for one in self._fields.values() if one.stem in self._nuclei]
        return Measured(
            self._setup.model,
            {one.name: self._nuclei[one.stem] for one in done},
            [*describe_made(self._made[done[0].stem]), self._pace()],
            describe_sessions(self._folder),
            {one.name: self._failed[one.stem] for one in self._in_order(self._failed)},
            {one.name: self._suspect[one.stem] for one in self._in_order(self._suspect)},
            read_wells(self._folder.path),
        )

    def _in_order(self, stems: Mapping[str, Any]) -> list[Field]:
        return [one for one in self._fields.values() if one.stem in stems]

    def _take(self, one: Saved | Failed) -> None:
        """Measure the nuclei of an image, if it could be segmented."""
        field = self._fields[one.name]
        if isinstance(one, Failed):
            self._failed[field.stem] = one.error
            return
        try:
            image, has_scale = field.read_image(), self._plan["has_scale"]
            if has_scale and image.pixel_size is None:
                raise ValueError(
                    f"{field.image}: this image has no pixel size, and the images that the run was "
                    "begun with have one; choose another folder of results to measure all in pixels"
                )
            size = image.pixel_size if has_scale else None
            nuclei = measure(read_labels(Source(one.path)), image.data, pixel_size=size)
            self._made[field.stem] = read_provenance(one.path)
        except (ValueError, OSError) as error:
            self._failed[field.stem] = describe_failure(error)
            return
        self._nuclei[field.stem] = nuclei
        signs = (*one.suspect, *one.read_as)
        if one.suspect:
            self._doubtful.add(field.stem)
        if signs:
            self._suspect[field.stem] = signs

    def _write_tables(self) -> None:
        """Write the tables, which take their places together."""
        done = self._in_order(self._nuclei)
        first = self._nuclei[done[0].stem]
        columns = {
            name: np.concatenate([self._nuclei[one.stem][name] for one in done]) for name in first
        }
        with files_at_once(self._folder.path, (MEASUREMENTS, FIELDS, WELLS, FAILED)) as stage:
            named = join([self._named(one) for one in done])
            write_columns(stage / MEASUREMENTS, {**named, **columns})
            write_table(stage / FIELDS, [self._row(one) for one in done])
            found = [
                FoundInField.of(one, self._nuclei[one.stem], one.stem in self._doubtful)
                for one in done
            ]
            write_wells(stage / WELLS, found)
            if self._failed:
                rows = [{"stem": stem, "error": error} for stem, error in self._failed.items()]
                write_table(stage / FAILED, rows)

    def _named(self, field: Field) -> Columns:
        """Name a field for each of its nuclei, and its well if any is known."""
        table = {"field": [field.stem] * len(self._nuclei[field.stem]["index"])}
        return field.placed(table) if self._has_wells else table

    def _row(self, field: Field) -> dict[str, Any]:
        """Return a field's row of ``fields.csv``."""
        return {
            **field.place,
            **field_record(self._nuclei[field.stem]),
            "diameter_px": self._made[field.stem].get("diameter"),
            "suspect": "; ".join(self._suspect.get(field.stem, ())),
            "corrected_by_hand": count_corrected(self._folder.labels_file(field.stem)),
        }

    def _result(self) -> dict[str, Any]:
        """Say for ``run.json`` how many fields there are, and how long they took."""
        seconds = self._seconds
        return {
            "fields": len(seconds),
            "failed": len(self._failed),
            "seconds_per_field": {
                "network_and_postprocessing": round(sum(seconds) / len(seconds), 4)
            },
        }

    @property
    def _seconds(self) -> list[float]:
        return [float(made.get("seconds", 0)) for made in self._made.values()]

    def _pace(self) -> str:
        devices = dict.fromkeys(str(made.get("device", "?")) for made in self._made.values())
        mean = sum(self._seconds) / len(self._seconds)
        return f"{mean:.2f} s a field for segmentation, on {', '.join(devices)}."

"""The command that segments images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_nucseg.cli.console import (
    console,
    counting,
    follow_parts_with,
    follow_with,
    print_json,
    refuse_failures,
    told_beside,
    warn,
)
from napari_nucseg.cli.options import (
    ACQUISITION,
    AsJson,
    ModelOptions,
    examples,
    grouped,
    path_argument,
    path_option,
    prepare,
    takes,
)
from napari_nucseg.io.atomic import describe_error
from napari_nucseg.segmenters import catalogue
from napari_nucseg.segmenters.parameters import Depth, SegmentParams, VolumeParams
from napari_nucseg.wording import counted

if TYPE_CHECKING:
    from napari_nucseg.batch.field_task import Executor
    from napari_nucseg.batch.image_task import Choice, Failed, ImageTask, Saved
    from napari_nucseg.io.channels import Channel
    from napari_nucseg.io.sources import Source

EXAMPLES = examples(
    ("Labels beside a table of measures", "segment images --measures --out labels"),
    ("A volume in 3-D", "segment stack.tif --volume 3d --out labels"),
)


@dataclass(frozen=True)
class FileOptions:
    """Images, and where their labels go."""

    inputs: Annotated[
        list[Path],
        path_argument("Images (TIFF, PNG, JPEG, OME-Zarr) or folders of them.", metavar="INPUT..."),
    ]
    out: Annotated[Path, path_option("Folder of the results.", "--out", "-o")]
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace labels that were edited since, and files of others."
        ),
    ] = False

    def find(self, acquisition: str) -> tuple[list[Source], list[ValueError | OSError]]:
        """Find images, and say which cannot be segmented; an error if none can be."""
        from napari_nucseg.batch.image_run import find_clashes, find_images, passed_over

        sources, missing = find_images(self.inputs, acquisition)
        clashes = find_clashes(sources, self.out)
        refused: list[ValueError | OSError] = [
            *missing.values(),
            *map(ValueError, clashes.values()),
        ]
        if len(clashes) == len(sources):
            raise refused[0]
        for line in passed_over([path for path in self.inputs if path not in missing], sources):
            warn(line)
        return [source for source in sources if source not in clashes], refused


@dataclass(frozen=True)
class ChoiceOptions:
    """What of a file is segmented, and how its planes belong together."""

    channel: Annotated[
        str | None,
        typer.Option(
            help="Channel of a colour image: its number from 1, red, green, blue, mean, or "
            "haematoxylin (the stain of nuclei in histology). Of a plate by name, too."
        ),
    ] = None
    channel_axis: Annotated[
        Literal["first", "last"] | None,
        typer.Option(help="Where channels lie, if the file does not say."),
    ] = None
    acquisition: Annotated[str, typer.Option(help=ACQUISITION)] = ""
    volume: Annotated[
        Depth | None,
        typer.Option(
            help="How to segment a stack: each plane by itself (planes), nuclei joined by overlap "
            "(stitched), or flows in 3-D (3d)."
        ),
    ] = None
    blocks: Annotated[
        int | None,
        typer.Option(
            min=256,
            help="Segment in blocks whose edges are so long, px. Images too large for memory are "
            "in any case, in blocks that suit the model.",
        ),
    ] = None

    def choice(self, in_depth: dict[str, Any] | None, sources: Sequence[Source]) -> Choice:
        """Say what of images is segmented, by parameters of stacks other than the usual ones."""
        from napari_nucseg.batch.image_task import Choice

        given = in_depth or {}
        return Choice(
            self._channel_of(sources),
            self.volume,
            VolumeParams(**given),
            takes_spacing="anisotropy" not in given,
        )

    def _channel_of(self, sources: Sequence[Source]) -> Channel | None:
        """Return the channel that is segmented; a plate names its channels, and files number them.

        Raises
        ------
        ValueError
            If an option does not suit the images, or some are of plates and others are not.
        """
        from napari_nucseg.io.channels import Channel
        from napari_nucseg.io.plates import PlateOptions, find_channel, holder_of

        plates = sorted({holder_of(source) for source in sources if source.title})
        others = [source for source in sources if not source.title]
        if plates and others:
            raise ValueError(
                f"{plates[0]} is a plate of OME-Zarr, and {others[0]} is none; their channels are "
                "not chosen alike, so segment plates by themselves"
            )
        if plates and self.channel_axis is not None:
            raise ValueError("--channel-axis: a plate of OME-Zarr says itself where channels lie")
        if plates:
            options = PlateOptions(self.channel or "", acquisition=self.acquisition)
            return find_channel(plates, options)
        if self.acquisition:
            raise ValueError("--acquisition: none of the images is of a plate of OME-Zarr")
        if self.channel_axis is not None and self.channel is None:
            raise ValueError("--channel-axis needs --channel, the channel of the nuclei")
        return None if self.channel is None else Channel.named(self.channel, self.channel_axis)


@dataclass(frozen=True)
class OutputOptions:
    """What comes of labels beside their files: measures of nuclei, labels in plates, and JSON."""

    measures: Annotated[
        bool,
        typer.Option(
            "--measures",
            help="Write measurements.csv, too, a row a nucleus: size, place, shape, intensity of "
            "every channel and of the background around, doubt; of volumes in 3-D. Not of images "
            "that are segmented in blocks.",
        ),
    ] = False
    cellprofiler: Annotated[
        bool,
        typer.Option(
            "--cellprofiler", help="Name the columns of measurements.csv as CellProfiler does."
        ),
    ] = False
    into_plate: Annotated[
        str,
        typer.Option(
            help="Write the labels into the plate of OME-Zarr, too, by this name. Others of the "
            "name are kept, but for --overwrite."
        ),
    ] = ""
    as_json: AsJson = False

    def check(self, out: Path, sources: Sequence[Source], overwrite: bool) -> None:
        """Refuse to begin what ends with something that may not, or cannot, be written."""
        from napari_nucseg.batch.image_measures import TABLE, refuse_foreign

        if self.into_plate and not any(source.title for source in sources):
            raise ValueError("--into-plate: none of the images is of a plate of OME-Zarr")
        if self.cellprofiler and not self.measures:
            raise ValueError("--cellprofiler names the columns of --measures; give both")
        if self.measures:
            refuse_foreign(out / TABLE, overwrite)

    def put_into_plates(
        self, sources: Sequence[Source], saved: Sequence[Saved], overwrite: bool
    ) -> list[Failed]:
        """Write labels into plates if that is wanted; return what could not be, and why."""
        from napari_nucseg.batch.image_run import put_into_plates

        if not self.into_plate:
            return []
        failed = put_into_plates(sources, saved, self.into_plate, overwrite)
        names = {source.name for source in sources if source.title}
        count = len([one for one in saved if one.name in names]) - len(failed)
        console.print(f"Labels of {counted(count, 'field')} are in the plate as {self.into_plate}")
        return failed

    def join(self, out: Path, saved: Sequence[Saved]) -> Path | None:
        """Put the tables of all images of a folder together, and tell where; None if not asked."""
        from napari_nucseg.batch.image_measures import TABLE, find_tables, join_tables, table_of

        if not self.measures or not saved:
            return None
        tables, outdated = find_tables(out, [table_of(one.path) for one in saved])
        nuclei = counted(
            join_tables(out / TABLE, tables, cellprofiler=self.cellprofiler), "nucleus"
        )
        images, table = counted(len(tables), "image"), out / TABLE
        console.print(f"Measures of {nuclei} of {images} are in {table}")
        for labels in outdated:
            hint = "segment its image with --measures again"
            warn(f"{labels} was changed since it was measured, and is not in {table}; {hint}")
        return table


@takes(SegmentParams, "Segmentation", "set by the model")
@takes(VolumeParams, "Stacks in depth", name="in_depth")
@grouped
def segment(
    files: FileOptions,
    how: ModelOptions,
    what: ChoiceOptions,
    told: OutputOptions,
    in_depth: dict[str, Any] | None = None,
    chosen: dict[str, Any] | None = None,
) -> None:
    """Segment images, and write a label TIFF named like each. Labels that are up to date are kept.

    A stack that states the distance of its planes has its own anisotropy, unless it is given.

    The exit code is 1 if an image failed; the others are done.
    """
    from napari_nucseg.batch.executor import cluster_for
    from napari_nucseg.batch.image_task import ImageTask

    sources, refused = files.find(what.acquisition)
    choice, model = what.choice(in_depth, sources), how.only
    told.check(files.out, sources, files.overwrite)
    with told_beside(told.as_json):
        setup = prepare(model, how.device, chosen)
        catalogue.find(model).check(setup.params, what.volume)
        work = ImageTask(setup, files.out, choice, files.overwrite, told.measures)
        with cluster_for(how.scheduler, how.device) as cluster:
            if cluster is None:
                setup.load()  # what is wrong with it is told before anything is written
            saved, failed = _segment_all(sources, work, what.blocks, cluster)
        failed += told.put_into_plates(sources, saved, files.overwrite)
        reasons = [*refused, *(ValueError(one.error) for one in failed)]
        measured = told.join(files.out, saved)
        if told.as_json:
            rows = [asdict(one) | {"path": str(one.path)} for one in saved]
            place = None if measured is None else str(measured)
            listed = [describe_error(one) for one in reasons]
            print_json({"segmented": rows, "measures": place, "failed": listed})
        refuse_failures(reasons, len(sources) + len(refused), "images")


def _segment_all(
    sources: Sequence[Source], work: ImageTask, size: int | None, cluster: Executor | None
) -> tuple[list[Saved], list[Failed]]:
    """Segment images and tell of each; return those that are saved, and those that failed."""
    from napari_nucseg.batch.block_run import segment_each
    from napari_nucseg.batch.image_run import describe
    from napari_nucseg.batch.image_task import Failed

    saved: list[Saved] = []
    failed: list[Failed] = []
    with counting() as bar:
        if cluster is None:  # a stack or a large image may take minutes
            parts = "Planes" if work.choice.depth else "Tiles"
            work = replace(work, progress=follow_parts_with(bar, parts))
        for one in segment_each(sources, work, size, partial(follow_with, bar), cluster):
            if isinstance(one, Failed):
                failed.append(one)
                continue
            saved.append(one)
            console.print(f"{one.name}: {describe(one)}")
            for sign in (*one.read_as, *one.suspect):
                warn(f"{one.name}: {sign}")
    return saved, failed

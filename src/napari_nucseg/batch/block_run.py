"""Images that are larger than memory: segmented block by block, on any machine, and put together.

Each block is a file of its own until all are done, in a folder beside the result. So a run that is
interrupted goes on where it was, and workers of a cluster write what they make themselves.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

from napari_nucseg.batch.block_task import (
    BlockFolder,
    BlockTask,
    JoinedLabels,
    Surveyed,
    SurveyTask,
    opened,
)
from napari_nucseg.batch.field_task import Executor, run_serially
from napari_nucseg.batch.image_run import is_same_setup, keep_edited, segment_images
from napari_nucseg.batch.image_task import Failed, ImageTask, Saved, labels_file, note_of_planes
from napari_nucseg.io.atomic import alone_with, describe_error, replace_folder
from napari_nucseg.io.large_images import (
    OpenImage,
    checksum_in_parts,
    count_in_parts,
    declared_planes,
    fingerprint_of,
    open_large,
    read_made,
)
from napari_nucseg.io.limits import is_zarr
from napari_nucseg.io.ome_zarr import write_zarr_labels
from napari_nucseg.io.pictures import JPEG_SUFFIXES, PNG_SUFFIXES
from napari_nucseg.io.sources import Source
from napari_nucseg.io.tiff_parts import write_tiff_labels
from napari_nucseg.progress import Progress
from napari_nucseg.segmenters.blocks import join_blocks
from napari_nucseg.segmenters.devices import exceeds_memory, memory_kept
from napari_nucseg.segmenters.parameters import Depth
from napari_nucseg.segmenters.tiling import MAX_PIXELS
from napari_nucseg.segmenters.volumes import MAX_VOXELS
from napari_nucseg.wording import counted

_ENDING = ".ome.zarr"


def needs_blocks(source: Source, depth: Depth | None) -> bool:
    """Tell whether an image is too large for memory, or of a kind that is read in parts alone."""
    if is_zarr(source.path):
        return not source.title  # a field of a plate is small
    try:
        planes = declared_planes(source)
    except (ValueError, OSError):
        return False  # whoever reads it whole says what is wrong
    pixels = math.prod(planes.shape)
    sides = [n for n, axis in zip(planes.shape, planes.axes, strict=True) if axis in "YX"]
    plane = math.prod(sides)
    voxels = MAX_VOXELS if depth is Depth.IN_3D else pixels
    return plane > MAX_PIXELS or pixels > voxels or exceeds_memory(plane, pixels)


def segment_each(
    sources: Sequence[Source],
    work: ImageTask,
    size: int | None,
    follow: Callable[[str], Progress],
    cluster: Executor | None = None,
) -> Iterator[Saved | Failed]:
    """Segment images, those in blocks that need it, or all if a size is given.

    Parameters
    ----------
    sources : sequence of Source
        The images.
    work : ImageTask
        What is done with each.
    size : int or None
        Edge of a block, in pixels; None to use blocks for too large images alone.
    follow : callable
        Returns the progress of work of a title.
    cluster : callable, optional
        Segments images, and blocks, elsewhere; None to segment them in this process.
    """
    depth = work.choice.depth
    large = [source for source in sources if size is not None or needs_blocks(source, depth)]
    small = [source for source in sources if source not in large]
    if small:
        yield from segment_images(small, work, follow("Images"), cluster)
    for source in large:
        yield segment_in_blocks(source, work, size, follow(f"Blocks of {source.name}"), cluster)


def segment_in_blocks(
    source: Source,
    work: ImageTask,
    size: int | None,
    progress: Progress,
    cluster: Executor | None = None,
) -> Saved | Failed:
    """Segment an image block by block, unless its labels already exist.

    Parameters
    ----------
    source : Source
        A TIFF, or a folder of OME-Zarr or Zarr.
    work : ImageTask
        How it is segmented, and the folder of the labels.
    size : int or None
        Edge of a block, in pixels; None for what suits the model.
    progress : Progress
        Called with (blocks done, blocks in all, name of one) now and then; may raise to stop.
    cluster : callable, optional
        Segments blocks elsewhere; None to segment them in this process.

    Returns
    -------
    Saved or Failed
        Where the labels are, or why there are none. Blocks that are done stay for the next time.
    """
    work = replace(work, out=work.out.absolute())
    source = replace(source, path=source.path.absolute())
    try:
        if source.member is not None:
            raise ValueError(f"{source}: unpack the archive to segment it in blocks")
        if source.suffix in PNG_SUFFIXES + JPEG_SUFFIXES and not isinstance(source, OpenImage):
            raise ValueError(f"{source}: PNG and JPEG are not read in blocks; save it as TIFF")
        if work.measures:
            raise ValueError(
                f"{source}: it is segmented in blocks, whose nuclei are not measured; segment it "
                "without --measures"
            )
        path, sha256 = labels_file(source, work.out), fingerprint_of(source)
        there = _find_saved(path, source, work, sha256)
        if there is not None:
            return there
        folder = BlockFolder(path.with_name(f"{path.name}.blocks"))
        with alone_with(folder.path):
            plan = _plan(source, work, size, sha256)
            return _segment(source, work, plan, folder, progress, cluster or run_serially)
    except (ValueError, OSError) as error:
        return work.blame(source, describe_error(error))


def with_free_name(source: OpenImage, work: ImageTask) -> OpenImage:
    """Give labels a name with a number where other labels, or anything else, have theirs."""
    stem = source.labels.removesuffix(_ENDING)
    for number in count(2):
        path = labels_file(source, work.out)
        if not path.exists() or _is_of(path, source, work):
            return source
        source = replace(source, labels=f"{stem} {number}{_ENDING}")
    raise AssertionError  # numbers have no end


def _is_of(path: Path, source: OpenImage, work: ImageTask) -> bool:
    """Whether labels say that they are of the same image, made in the same way."""
    try:
        made = read_made(path)
    except (ValueError, OSError):
        return False
    return made.get("image_sha256") == source.fingerprint and is_same_setup(made, work)


def _segment(
    source: Source,
    work: ImageTask,
    plan: Mapping[str, Any],
    folder: BlockFolder,
    progress: Progress,
    run: Executor,
) -> Saved | Failed:
    """Do what is left to do, and put the blocks together."""
    begun = folder.read_plan()
    if begun is None or begun["plan"] != plan:
        folder.clear()
        [found] = run(SurveyTask(work), [source], progress)
        if isinstance(found, Failed):
            shutil.rmtree(folder.path)  # which is empty yet
            return found
        folder.write_plan({"plan": plan, "found": asdict(found)})
    else:
        found = Surveyed.of(begun["found"])
    blocks = found.blocks(plan["size"])
    left = [block for block in blocks if not folder.has(block)]
    before = len(blocks) - len(left)

    def tell(done: int, _: int, name: str = "", /) -> None:
        progress(before + done, len(blocks), name)

    with memory_kept():  # which is given back before blocks are put together
        done = list(run(BlockTask(work, source, found.survey, folder), left, tell))
    failed = [one for one in done if isinstance(one, Failed)]
    if failed:
        several = f" ({len(failed)} blocks failed)" if len(failed) > 1 else ""
        again = "; the other blocks are kept, do the same again to go on"
        return Failed(source.name, f"{failed[0].error}{several}{again}")
    progress(len(blocks), len(blocks), "putting blocks together")
    return _put_together(source, work, plan, found, folder)


def _put_together(
    source: Source,
    work: ImageTask,
    plan: Mapping[str, Any],
    found: Surveyed,
    folder: BlockFolder,
) -> Saved:
    """Join the labels of all blocks, write them, and remove the files of the blocks."""
    blocks, params = found.blocks(plan["size"]), work.setup.params
    joined = join_blocks(
        blocks, folder.read_labels,
        min_size=params.min_size, exclude_on_edges=params.exclude_on_edges,
    )  # fmt: skip
    labels = JoinedLabels(blocks, joined, folder)
    made = {
        **folder.made_of(blocks),
        "parameters": asdict(params),
        "suspect": list(found.survey.suspect),
        "image": source.name,
        "image_sha256": plan["image_sha256"],
        "choice": asdict(work.choice),
        "nuclei": joined.count,
        "labels_sha256": checksum_in_parts(labels),
    }
    path = labels_file(source, work.out)
    with opened(source, work) as image:
        told = [f"segmented in {counted(len(blocks), 'block')}", *made.pop("cut_notes")]
        doubts = note_of_planes(image.stack)
        made |= {"channel": image.channel, "read_as": [*image.notes, *doubts, *told]}
        if path.suffix == ".zarr":
            stage = folder.stage()
            version = "0.4" if image.ngff.startswith("0.") and image.ngff < "0.5" else "0.5"
            write_zarr_labels(stage, labels, made, image.calibration, version, image.stack)
            replace_folder(path, stage)
        else:
            sizes = image.calibration
            write_tiff_labels(path, labels, made, sizes, joined.count, image.stack)
    shutil.rmtree(folder.path)
    return Saved.of(path, made)


def _plan(source: Source, work: ImageTask, size: int | None, sha256: str) -> dict[str, Any]:
    """Write down all that the blocks of an image depend on, as JSON would give it back."""
    setup = work.setup
    plan = {
        "image": source.name,
        "image_sha256": sha256,
        "model": setup.model,
        "weights_sha256": dict(setup.weights),
        "parameters": asdict(setup.params),
        "versions": dict(setup.versions),
        "choice": asdict(work.choice),
        "size": size,
    }
    found: dict[str, Any] = json.loads(json.dumps(plan))
    return found


def _find_saved(path: Path, source: Source, work: ImageTask, sha256: str) -> Saved | Failed | None:
    """Find what stands where the labels belong, if it is to stay; see `find_saved`."""
    if not path.exists():
        return None
    if path.is_dir() and not is_zarr(path):
        raise FileExistsError(f"{path}: it is no folder of Zarr; choose another --out")
    made: dict[str, Any] = {}
    try:
        made = dict(read_made(path))
        with open_large(Source(path), as_numbers=True) as labels:
            is_unchanged = made.get("labels_sha256") == checksum_in_parts(labels)
            made["nuclei"] = count_in_parts(labels)
    except (ValueError, OSError):
        is_unchanged, made = False, {}
    if is_unchanged:
        same = made.get("image_sha256") == sha256 and is_same_setup(made, work)
        return Saved.of(path, made, is_old=True) if same else None
    if work.overwrite:
        return None
    if "labels_sha256" in made and made.get("image") == source.name:
        return keep_edited(path, made, work)
    return work.blame_foreign(source, path)

"""The models there are: where their weights lie, how big they are, and how to load one.

Nothing here imports torch before a model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import lru_cache
from pathlib import Path

from napari_nucseg.io.download import RemoteFile, fetch
from napari_nucseg.io.sources import sha256
from napari_nucseg.segmenters import model as capabilities
from napari_nucseg.segmenters.api import Segmenter
from napari_nucseg.segmenters.devices import Device, choose, load_torch
from napari_nucseg.segmenters.flows import compiling
from napari_nucseg.segmenters.model import Model, weights_folder
from napari_nucseg.segmenters.network import NetSegmenter, Network
from napari_nucseg.segmenters.parameters import SegmentParams

BUNDLED = "fluo-nuclei"
"""The model that comes with the package."""
BBBC039_ALONE = "u2os"
"""An older bundled model, for images like those of BBBC039."""
BASELINE = "otsu"
"""Otsu's threshold and a watershed, to see what a network is worth."""
_HUB = "https://huggingface.co/mouseland/cellpose-sam/resolve/main/"
_CLASSICS = "https://www.cellpose.org/models/"


def models() -> tuple[Model, ...]:
    """List the models that have a name."""
    return (
        _bundled(
            BUNDLED,
            "bundled with the plugin: fluorescent nuclei of any kind and size; fast on any CPU",
            SegmentParams(),
            capabilities.FLUO,
        ),
        _bundled(
            BBBC039_ALONE,
            "bundled with the plugin, trained on BBBC039 alone: closest outlines there",
            # Chosen by the validation split of BBBC039
            SegmentParams(flow_threshold=0.45, cellprob_threshold=-0.1, min_size=15),
            capabilities.UNET,
        ),
        Model(
            BASELINE,
            "Otsu's threshold and a watershed, no network: the baseline",
            None,
            0,
            capabilities=capabilities.OTSU,
        ),
        _classic("nuclei", "nucleitorch_0", "Cellpose 1's model of nuclei; fast on a CPU"),
        _classic("cyto", "cytotorch_0", "Cellpose 1's model of cells; fast on a CPU"),
        _classic("cyto2", "cyto2torch_0", "Cellpose 2's model of cells; fast on a CPU"),
        _classic("cyto3", "cyto3", "Cellpose 3's model of cells and nuclei; fast on a CPU"),
        _published("cpsam_v2", "Cellpose-SAM, Cellpose 4's default: general, slow on a CPU", 1200),
        _published("cpsam", "Cellpose-SAM, first release", 1200),
        _published("cpdino", "Cellpose with a DINOv3 ViT-L; needs the package dinov3", 1200),
        _published("cpdino-vitb", "Cellpose with a DINOv3 ViT-B; needs the package dinov3", 350),
    )


def find(name: str) -> Model:
    """Look up a model by its name, or make one of a file.

    Raises
    ------
    ValueError
        If there is no such model; the message lists those that there are.
    """
    for model in models():
        if model.name == name:
            return model
    path = Path(name)
    if path.is_file():
        return Model(path.name, f"your file {path}", path, round(path.stat().st_size / 1e6))
    known = ", ".join(model.name for model in models())
    raise ValueError(f"there is no model {name!r}; choose {known}, or the path of a model file")


def check(path: Path) -> None:
    """Refuse a file that holds no network we know; nothing in it is run.

    Raises
    ------
    ValueError, OSError
        Naming the file and what is wrong with it.
    """
    load_torch()
    from napari_nucseg.segmenters.checkpoints import kind_of, read_state

    kind_of(read_state(path), path)


def caveat(name: str, splits: Set[str | None]) -> str | None:
    """Say what makes a model's scores on BBBC039 look better than they are, if anything does.

    Parameters
    ----------
    name : str
        The model.
    splits : set of str or None
        Splits that the scored fields are of; None for fields that are not of BBBC039.
    """
    if name in (BUNDLED, BBBC039_ALONE) and splits & {"training", "validation"}:
        return f"{name} learned from the training split and was chosen by the validation split"
    if name == BASELINE and "training" in splits:
        return f"the two constants of {BASELINE} were chosen by the training split"
    published = any(model.name == name and model.remote is not None for model in models())
    if published and any(splits):
        return (
            "43 of the 200 fields of BBBC039 are also in DSB2018, which the published Cellpose "
            "models were partly trained on"
        )
    return None


def download(model: Model, report: Callable[[int, int | None], None]) -> None:
    """Fetch a model's weights unless they are here.

    Parameters
    ----------
    model : Model
        From `find`.
    report : callable
        Called with (bytes done, bytes in all or None); may raise to stop.

    Raises
    ------
    DownloadError
        If they cannot be had; the message says what to do.
    """
    if model.remote is not None and not model.is_ready:
        fetch(model.remote, weights_folder(), report=report)


def require_device(device: str) -> None:
    """Refuse a device that is not on this machine, before anything is fetched for it.

    Raises
    ------
    ValueError
        Naming the devices that there are.
    """
    from napari_nucseg.segmenters.devices import choose

    choose(device)


def load(model: Model, device: str = "auto") -> Segmenter:
    """Load a model whose weights are here; the last two stay in memory.

    Parameters
    ----------
    model : Model
        From `find`.
    device : str
        auto, cuda, mps or cpu.

    Raises
    ------
    ValueError
        If the file is not a model we know, or the device is not there.
    """
    if model.path is None:
        from napari_nucseg.segmenters import otsu

        return otsu.segment

    path = model.path.resolve()
    return load_network(model.name, path, model.onnx, path.stat().st_mtime_ns, device)


def _bundled(
    name: str, about: str, defaults: SegmentParams, kind: capabilities.Capabilities
) -> Model:
    path = Path(__file__).parent / "weights" / f"{name}.safetensors"
    graph = path.with_suffix(".onnx")
    megabytes = round(path.stat().st_size / 1e6)
    return Model(
        name,
        about,
        path,
        megabytes,
        onnx=graph if graph.is_file() else None,
        defaults=defaults,
        capabilities=kind,
    )


def _published(name: str, about: str, megabytes: int) -> Model:
    remote = RemoteFile(name, _HUB + name)
    return Model(
        name, about, weights_folder() / name, megabytes, remote, capabilities=capabilities.CELLPOSE
    )


def _classic(name: str, file: str, about: str) -> Model:
    remote = RemoteFile(file, _CLASSICS + file)
    return Model(
        name, about, weights_folder() / file, 27, remote, capabilities=capabilities.CLASSIC
    )


@lru_cache(maxsize=2)
def load_network(
    name: str, path: Path, onnx: Path | None, modified: int, device: str
) -> NetSegmenter:
    """Load a network; the last two stay in memory.

    Parameters
    ----------
    name : str
        The model's.
    path : Path
        Its weights.
    onnx : Path or None
        The graph by which ONNX Runtime reads them, which is taken on a CPU.
    modified : int
        When the weights were written: others are loaded anew.
    device : str
        auto, cuda, mps or cpu.

    Raises
    ------
    ValueError
        If the file is not a model we know, or the device is not there.
    """
    place = choose(device)
    if place.kind == "cpu":
        compiling()
    if place.kind == "cpu" and onnx is not None:
        from napari_nucseg.segmenters import onnx_unet
        from napari_nucseg.segmenters.fluo import FluoNuclei

        network: Network = FluoNuclei(onnx_unet.load(onnx), place)
    else:
        network = _load_by_torch(path, place)
    return NetSegmenter(name, sha256(path), network, path.name)


def _load_by_torch(path: Path, place: Device) -> Network:
    load_torch()
    from napari_nucseg.segmenters import classic_unet, unet
    from napari_nucseg.segmenters.cellpose4 import CellposeSAM
    from napari_nucseg.segmenters.checkpoints import kind_of, load_unet, read_state
    from napari_nucseg.segmenters.residual_unet import ResidualUNet

    if kind_of(read_state(path), path) == "cellpose":
        return CellposeSAM.load(path, place)
    net = load_unet(path)
    # Ours have neither a style nor a second channel
    if isinstance(net, ResidualUNet) and (net.shape.style or net.shape.channels > 1):
        return classic_unet.wrap(net, place)
    return unet.wrap(net, place)

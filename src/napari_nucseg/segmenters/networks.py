"""Models with a network of this package or of Cellpose: what each is, and how it is loaded.

Nothing here imports torch before a model is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.io.download import RemoteFile
from napari_nucseg.io.sources import sha256
from napari_nucseg.segmenters.api import Capabilities
from napari_nucseg.segmenters.devices import Device, choose, load_torch
from napari_nucseg.segmenters.flows import compiling
from napari_nucseg.segmenters.model import Model, card_of, describe_card
from napari_nucseg.segmenters.network import UNSCALED, NetSegmenter, Network
from napari_nucseg.system_info import cores

FLUO = Capabilities(
    frozenset({"tile_overlap", "batch_size", "low_percentile", "high_percentile"}),
    "float32",
    in_3d=True,
    unscaled=UNSCALED,
)
"""What `fluo-nuclei` can do, and networks like it, which scale intensities in their own way."""
UNET = Capabilities(frozenset({"tile_overlap", "batch_size"}), "float32", in_3d=True)
"""What residual U-Nets can do, which see a field whole or in tiles that they choose."""
CLASSIC = Capabilities(frozenset({"tile_overlap"}), "float32", in_3d=True)
"""What the U-Nets of Cellpose 1 to 3 can do, whose tiles overlap as in Cellpose 3."""
CELLPOSE = Capabilities(in_3d=True)
"""What the networks of Cellpose 4 can do."""

ONNX_INPUT = "image"
"""Name of a graph's input."""
ONNX_SHAPE = "traits"
"""Key of a graph's metadata that holds channels, stride and reach, as JSON."""
_LIBRARIES = ("cellpose", "torch", "onnxruntime", "numba", "numpy")
_HUB = "https://huggingface.co/mouseland/cellpose-sam/resolve/7c61431b5fbb078f3296754bd15d9f51b320f837/"
"""Where Cellpose 4's weights are: one revision, of which no file ever changes."""
_PINNED = {
    "cpsam_v2": (1233586851, "0f1cc3f7ecdd8a037a57c6c48d9d8921391be4cbce3fa9f13c3e3a2e1253c667"),
    "cpsam": (1233587898, "e1440429eb384f95afe32bcba6510f90d518eaedc917ede549bed6804004abe2"),
    "cpdino": (1213987717, "fad0dda262554922da1c5ab0e0004b00c1b14b8a48bea6781b89222567577573"),
    "cpdino-vitb": (343599997, "3ed4c06a3963ab13ff377d4e2957174aaaf637434eb031ae9931fcbfaf9a217f"),
}
"""Their sizes in bytes and their SHA-256, as several who fetched them noted.

`scripts/pin_weights.py` asks the server for them.
"""
_CLASSICS = "https://www.cellpose.org/models/"
_CELLPOSE_LICENCE = "BSD-3-Clause"
_CELLPOSE_DATA = "Cellpose's images and others (CC-BY-NC)"
_DINO_LICENCE = "BSD-3-Clause; backbone DINOv3 License (Meta)"


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


def of_file(path: Path, about: str = "") -> Model:
    """Declare a file of the user's; what it holds turns out when it is loaded."""
    card = card_of(path)
    about = about or " ".join([f"Your file {path}", *describe_card(card)])
    return Model(
        path.name, about, str(card.get("licence", "")), load, file=path, capabilities=None,
        libraries=_LIBRARIES,
    )  # fmt: skip


def load(model: Model, device: str) -> NetSegmenter:
    """Load a network whose weights are here.

    Parameters
    ----------
    model : Model
        One of those here, or of a file.
    device : str
        auto, cuda, mps or cpu.

    Raises
    ------
    ValueError
        If the file is not a model we know, or the device is not there.
    """
    if model.path is None:
        raise ValueError(f"{model.name} has no weights to load a network from")
    path, place = model.path.resolve(), choose(device)
    if place.kind == "cpu":
        compiling()
    if place.kind == "cpu" and model.onnx is not None:
        kind, network = _load_by_onnx(partial(open_graph, model.onnx), place)
    elif place.kind == "cpu" and fits_graph(path):
        kind, network = _load_by_onnx(partial(open_graph, GRAPH, weights=path), place)
    else:
        kind, network = _load_by_torch(path, place)
    known = replace(model, capabilities=model.capabilities or kind)
    return NetSegmenter(known, sha256(path), network)


def fits_graph(path: Path) -> bool:
    """Tell whether the graph of `fluo-nuclei` can read its weights from a file instead.

    It can where each weight lies at the same place, which the beginning of the file tells: so it is
    for what was trained from `fluo-nuclei` or anew, and saved as safetensors.
    """
    own = _WEIGHTS.stat().st_size
    if not path.is_file() or path.stat().st_size != own:
        return False
    with path.open("rb") as file, _WEIGHTS.open("rb") as bundled:
        length = bundled.read(8)
        header = length + bundled.read(int.from_bytes(length, "little"))
        if file.read(len(header)) != header:
            return False
        return bool(np.isfinite(np.frombuffer(file.read(), "<f4")).all())  # or torch's loader tells


def open_graph(graph: Path, options: Any, weights: Path | None = None) -> Any:
    """Open a network in ONNX Runtime.

    Parameters
    ----------
    graph : Path
        The graph, which reads its weights from the file beside it that it names.
    options : onnxruntime.SessionOptions
        How to open it.
    weights : Path, optional
        A file that `GRAPH` reads its weights from instead; see `fits_graph`.

    Returns
    -------
    onnxruntime.InferenceSession
        The network, ready to run on the CPU.
    """
    onnxruntime = load_onnxruntime()
    if weights is not None:
        content = weights.read_bytes()
        options.add_external_initializers_from_files_in_memory(
            [_WEIGHTS.name], [content], [len(content)]
        )
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def load_onnxruntime() -> Any:
    """Import ONNX Runtime, and keep it from telling its makers of the models that are run.

    From 1.29 on its packages do so unless the variable is there before it is loaded; on Windows
    they heed the function alone.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _load_by_onnx(open_with: Callable[[Any], Any], place: Device) -> tuple[Capabilities, Network]:
    """Read a network by the graph that `scripts/export_onnx.py` wrote, without loading torch.

    That saves seconds. The file holds the graph alone, and reads its weights from a file of
    safetensors. `docs/performance.md` has what else was tried.
    """
    from napari_nucseg.segmenters.fluo import FluoNuclei
    from napari_nucseg.segmenters.tiling import TiledNet

    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    options.enable_mem_pattern = False  # which asks for more memory for each new size of image
    giving_back = onnxruntime.RunOptions()
    giving_back.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session = open_with(options)
    shape = json.loads(session.get_modelmeta().custom_metadata_map[ONNX_SHAPE])

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run(None, {ONNX_INPUT: images})[0]
        return output

    def give_back() -> None:
        # Memory is given back at the end of a run alone, which may be of the least image
        least = np.zeros((1, shape["channels"], shape["stride"], shape["stride"]), np.float32)
        session.run(None, {ONNX_INPUT: least}, giving_back)

    return FLUO, FluoNuclei(TiledNet(run, **shape, give_back=give_back), place)


def _load_by_torch(path: Path, place: Device) -> tuple[Capabilities, Network]:
    load_torch()
    from napari_nucseg.segmenters import unet
    from napari_nucseg.segmenters.cellpose4 import CellposeSAM
    from napari_nucseg.segmenters.checkpoints import kind_of, load_unet, read_state
    from napari_nucseg.segmenters.residual_unet import ResidualUNet

    if kind_of(read_state(path), path) == "cellpose":
        return CELLPOSE, CellposeSAM.load(path, place)
    net = load_unet(path)
    if not isinstance(net, ResidualUNet):
        return FLUO, unet.wrap(net, place)
    # Ours have neither a style nor a second channel
    if net.shape.style or net.shape.channels > 1:
        return CLASSIC, unet.wrap_classic(net, place)
    return UNET, unet.wrap(net, place)


def _published(
    name: str, about: str, remote: RemoteFile, kind: Capabilities, licence: str = _CELLPOSE_LICENCE
) -> Model:
    return Model(
        name,
        about,
        licence,
        load,
        remote=remote,
        download_mb=round((remote.size or remote.rough_size or 0) / 1e6),
        capabilities=replace(
            kind,
            seen=frozenset({"training", "validation", "test"}),
            caveat="43 of the 200 fields of BBBC039 are also in DSB2018, which the published "
            "Cellpose models were partly trained on",
        ),
        libraries=_LIBRARIES,
        trained_on=_CELLPOSE_DATA,
    )


def _classic(name: str, file: str, about: str) -> Model:
    # Its size and checksum are not known yet; `scripts/pin_weights.py` finds them
    remote = RemoteFile(file, _CLASSICS + file, rough_size=27_000_000)
    return _published(name, f"{about}. Fast on a CPU", remote, CLASSIC)


def _cellpose4(name: str, about: str, licence: str = _CELLPOSE_LICENCE) -> Model:
    remote = RemoteFile(name, _HUB + name, *_PINNED[name])
    return _published(name, f"{about}. Slow on a CPU", remote, CELLPOSE, licence)


_WEIGHTS = Path(__file__).parent / "weights" / "fluo-nuclei.safetensors"
GRAPH = _WEIGHTS.with_suffix(".onnx")
"""Graph of `fluo-nuclei`, which holds no weights."""
BUNDLED: Model = Model(
    "fluo-nuclei",
    "Bundled with the plugin. For fluorescent nuclei of any kind and size. Fast on any CPU",
    "CC0-1.0",
    load,
    file=_WEIGHTS,
    onnx=GRAPH,
    capabilities=replace(
        FLUO,
        seen=frozenset({"training", "validation"}),
        caveat="fluo-nuclei was trained on the training split and chosen on the validation split",
    ),
    libraries=_LIBRARIES,
    trained_on="DSB2018 and BBBC039 (CC0-1.0)",
)
"""The model that comes with the package."""
CLASSICS = (
    _classic("nuclei", "nucleitorch_0", "Cellpose 1's model for nuclei"),
    _classic("cyto", "cytotorch_0", "Cellpose 1's model for cells"),
    _classic("cyto2", "cyto2torch_0", "Cellpose 2's model for cells"),
    _classic("cyto3", "cyto3", "Cellpose 3's model for cells and nuclei"),
)
"""Cellpose 1 to 3's models, which can be taught, as `fluo-nuclei` can."""
SAMS = (
    _cellpose4("cpsam_v2", "Cellpose-SAM, the default of Cellpose 4. For many kinds of cells"),
    _cellpose4("cpsam", "Cellpose-SAM, first release. For many kinds of cells"),
)
"""Cellpose 4's models with the encoder of SAM, which can be taught on a large GPU."""
DINOS = (
    _cellpose4("cpdino", "Cellpose with a DINOv3 ViT-L. Needs the package dinov3", _DINO_LICENCE),
    _cellpose4(
        "cpdino-vitb", "Cellpose with a DINOv3 ViT-B. Needs the package dinov3", _DINO_LICENCE
    ),
)
"""Cellpose 4's models with the encoder of DINOv3, which cannot be taught here."""
PUBLISHED = (*CLASSICS, *SAMS, *DINOS)
"""Cellpose's models, which are fetched."""

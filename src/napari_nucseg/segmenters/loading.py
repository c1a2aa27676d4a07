"""From a file of weights to a segmenter; torch is imported only if the network needs it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from napari_nucseg.core.sources import sha256
from napari_nucseg.segmenters.devices import Device, choose
from napari_nucseg.segmenters.flows import compiling
from napari_nucseg.segmenters.net_segmenter import NetSegmenter
from napari_nucseg.segmenters.network import Network
from napari_nucseg.segmenters.torch_import import load_torch


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
    from napari_nucseg.segmenters import classic_unet, torch_unet
    from napari_nucseg.segmenters.cellpose_sam import CellposeSAM
    from napari_nucseg.segmenters.checkpoints import kind_of, load_unet, read_state
    from napari_nucseg.segmenters.residual_unet import ResidualUNet

    if kind_of(read_state(path), path) == "cellpose":
        return CellposeSAM.load(path, place)
    net = load_unet(path)
    # Ours have neither a style nor a second channel
    if isinstance(net, ResidualUNet) and (net.shape.style or net.shape.channels > 1):
        return classic_unet.wrap(net, place)
    return torch_unet.wrap(net, place)

"""Write what ONNX Runtime needs beside a network's weights, a graph that reads them from there.

python scripts/export_onnx.py fluo-nuclei.safetensors (needs the package onnx)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx.external_data_helper import set_external_data

from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.fluo_unet import REACH, FluoUNet
from napari_nucseg.segmenters.networks import ONNX_INPUT, ONNX_SHAPE

OPSET = 17


def export(weights: Path) -> Path:
    """Write ``<weights>.onnx`` beside a file of safetensors, for images of any size."""
    net = load_unet(weights)
    if not isinstance(net, FluoUNet):
        raise TypeError(f"{weights}: only networks like fluo-nuclei are exported")
    capabilities = {"channels": 1, "stride": net.shape.stride, "reach": REACH}
    target = weights.with_suffix(".onnx")
    edge = 4 * net.shape.stride
    sizes = {2: "height", 3: "width"}
    torch.onnx.export(
        net,
        (torch.zeros(1, 1, edge, edge),),
        target,
        dynamo=False,
        opset_version=OPSET,
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,  # otherwise weights are folded, and stand twice
        input_names=[ONNX_INPUT],
        output_names=["flows"],
        dynamic_axes={ONNX_INPUT: sizes, "flows": sizes},
    )
    model = onnx.load(target)
    _refer(model, weights)
    onnx.helper.set_model_props(model, {ONNX_SHAPE: json.dumps(capabilities)})
    onnx.save(model, target)
    return target


def _refer(model: onnx.ModelProto, weights: Path) -> None:
    """Replace the weights in a graph by where they lie in the file."""
    places = _places(weights)
    for tensor in model.graph.initializer:
        start, stop = places[tensor.name]
        set_external_data(tensor, weights.name, start, stop - start)
        tensor.ClearField("raw_data")


def _places(weights: Path) -> Mapping[str, tuple[int, int]]:
    """Tell between which bytes of a file of safetensors each tensor lies."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return {
        name: (8 + length + entry["data_offsets"][0], 8 + length + entry["data_offsets"][1])
        for name, entry in header.items()
        if name != "__metadata__"
    }


if __name__ == "__main__":
    print(export(Path(sys.argv[1])))

"""Write a residual U-Net for ONNX Runtime: python scripts/export_onnx.py u2os.pt (needs onnx)."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.onnx_unet import INPUT, TRAITS
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.torch_unet import traits_of

OPSET = 17


class WithoutStyle(nn.Module):
    """A net's flows and cell probability alone."""

    def __init__(self, net: ResidualUNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Run the net."""
        flows: Tensor = self.net(images)[0]
        return flows


def export(weights: Path) -> Path:
    """Write ``<weights>.onnx`` beside the weights, for images of any size."""
    net = load_unet(weights)
    target = weights.with_suffix(".onnx")
    edge = 4 * net.shape.stride
    sizes = {2: "height", 3: "width"}
    torch.onnx.export(
        WithoutStyle(net).eval(),
        (torch.zeros(1, net.shape.channels, edge, edge),),
        target,
        dynamo=False,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=["flows"],
        dynamic_axes={INPUT: sizes, "flows": sizes},
    )
    model = onnx.load(target)
    onnx.helper.set_model_props(model, {TRAITS: json.dumps(asdict(traits_of(net)))})
    onnx.save(model, target)
    return target


if __name__ == "__main__":
    print(export(Path(sys.argv[1])))

"""U-Nets computed by ONNX Runtime: on CPUs, without the seconds that torch takes to load.

A file holds the graph alone, and reads its weights from the file of safetensors beside it, which
torch reads, too. `docs/performance.md` has what else was tried.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from napari_nucseg.segmenters.tiling import TiledNet
from napari_nucseg.system_info import cores

INPUT = "image"
TRAITS = "traits"
"""Key of the file's metadata that holds channels, stride and reach, as JSON."""


def load(path: Path) -> TiledNet:
    """Read a network that `scripts/export_onnx.py` wrote."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    after_run = onnxruntime.RunOptions()
    # What a large image took is given back; otherwise it stays taken for good
    after_run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    capabilities = json.loads(session.get_modelmeta().custom_metadata_map[TRAITS])

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        output: NDArray[np.float32] = session.run(None, {INPUT: images}, after_run)[0]
        return output

    return TiledNet(run, **capabilities)

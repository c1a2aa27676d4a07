"""What other programs read of a training: weights as a BioImage.IO package, logs by TensorBoard.

References
----------
.. [1] The format, version 0.5: https://bioimage-io.github.io/spec-bioimage-io/
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_nucseg.io.atomic import write_whole
from napari_nucseg.io.synthetic import draw_field
from napari_nucseg.segmenters.devices import load_torch
from napari_nucseg.segmenters.model import card_of
from napari_nucseg.segmenters.networks import (
    GRAPH,
    ONNX_INPUT,
    fits_graph,
    load_onnxruntime,
    open_graph,
)

ENDING = ".bioimageio.zip"
OPSET = 17
"""That of the graph, see `scripts/export_onnx.py`."""
PERCENTILES = (1.0, 99.8)
"""Intensities that become 0 and 1: the nearest that the format offers to this package's scaling."""
_EPS = 1e-6
_EDGE, _NUCLEI = 256, 25
"""Of the drawn field that shows what comes out; no image of the user's is in the package."""
_CITE = (
    ("Stringer et al., Cellpose, Nature Methods 18, 100-106 (2021)", "10.1038/s41592-020-01018-x"),
    ("Caicedo et al., Nature Methods 16, 1247 (2019)", "10.1038/s41592-019-0612-7"),
)


def check_packable(out: Path, start: Path | None) -> None:
    """Refuse, before a training, what its result could not be packed of.

    Parameters
    ----------
    out : Path
        File that the weights will be written to.
    start : Path or None
        Weights that the training begins with; None for a new network. Those that are still to be
        fetched are none like the bundled ones.

    Raises
    ------
    ValueError
        Saying what to choose instead.
    """
    load_torch()
    from napari_nucseg.segmenters.checkpoints import SAFETENSORS, kind_of, read_state

    is_other = start is not None and (
        not start.is_file() or kind_of(read_state(start), start) != "fluo"
    )
    if is_other or out.suffix.lower() != SAFETENSORS:
        raise ValueError(_refusal(out))


def write_package(weights: Path) -> Path:
    """Write ``<name>.bioimageio.zip`` beside weights, and return its path.

    Parameters
    ----------
    weights : Path
        File of safetensors, of a network like `fluo-nuclei`; its card, if there is one beside,
        goes into the package.

    Raises
    ------
    ValueError
        If the weights are of another network, or not in that format.
    """
    if not fits_graph(weights):
        raise ValueError(_refusal(weights))
    image = draw_field(0, shape=(_EDGE, _EDGE), nuclei=_NUCLEI).image[None, None]
    tensor = image.astype(np.float32)
    graph, output = _run(weights, scale_range(tensor))
    card = card_of(weights)
    parts = {
        "bioimageio.yaml": json.dumps(_description(weights, card), indent=1).encode(),
        "README.md": _readme(weights, card).encode(),
        "weights.onnx": graph,
        "input.npy": _as_npy(tensor),
        "output.npy": _as_npy(output),
        "card.json": json.dumps(card, indent=1).encode(),
    }
    target = weights.with_suffix(ENDING)
    write_whole(target, lambda file: file.write(_zipped(parts)))
    return target


def _refusal(weights: Path) -> str:
    return (
        f"{weights}: only networks like fluo-nuclei, saved as .safetensors, can be packed for "
        "BioImage.IO; start from fluo-nuclei or anew, and write NAME.safetensors"
    )


def scale_range(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale intensities as a reader of the package does, who knows the format alone."""
    low, high = np.percentile(tensor, PERCENTILES, axis=(-2, -1), keepdims=True)
    return np.asarray((tensor - low) / (high - low + _EPS), np.float32)


def _run(weights: Path, tensor: NDArray[np.float32]) -> tuple[bytes, NDArray[np.float32]]:
    """Return the network as an ONNX file that holds its weights, and its output."""
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with TemporaryDirectory() as folder:
        path = Path(folder) / "weights.onnx"
        options.optimized_model_filepath = str(path)
        session = open_graph(GRAPH, options, weights)
        return path.read_bytes(), session.run(None, {ONNX_INPUT: tensor})[0]


def _description(weights: Path, card: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the package; JSON is YAML, too."""
    described: dict[str, Any] = {
        "format_version": "0.5.4",
        "type": "model",
        "name": f"Nuclei {_plain(weights.stem)}",
        "description": "Flows and cell probability of nuclei in fluorescence images, as Cellpose "
        "has them. Trained with napari-nucseg.",
        "authors": [{"name": "The user of napari-nucseg"}],
        "cite": [{"text": text, "doi": doi} for text, doi in _CITE],
        "documentation": "README.md",
        "attachments": [{"source": "card.json"}],
        "tags": ["nuclei", "fluorescence-light-microscopy", "instance-segmentation", "2d", "unet"],
        "inputs": [_tensor("input", ["grey"], {"min": 64, "step": 32})],
        "outputs": [_tensor("output", ["flow_y", "flow_x", "cell_probability"])],
        "weights": {"onnx": {"source": "weights.onnx", "opset_version": OPSET}},
    }
    if card.get("licence"):
        described["license"] = card["licence"]
    described["inputs"][0]["preprocessing"] = [
        {
            "id": "scale_range",
            "kwargs": {
                "axes": ["y", "x"],
                "min_percentile": PERCENTILES[0],
                "max_percentile": PERCENTILES[1],
                "eps": _EPS,
            },
        }
    ]
    return described


def _tensor(name: str, channels: list[str], size: Any = None) -> dict[str, Any]:
    """Describe what goes in or comes out; it is as large as the input if no size is given."""
    sizes = {axis: size or {"tensor_id": "input", "axis_id": axis} for axis in "yx"}
    return {
        "id": name,
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": channels},
            *({"type": "space", "id": axis, "size": one} for axis, one in sizes.items()),
        ],
        "test_tensor": {"source": f"{name}.npy"},
        "data": {"type": "float32"},
    }


def _plain(name: str) -> str:
    """Keep what the format allows in names."""
    return "".join(letter if letter.isalnum() or letter in "_-" else " " for letter in name)


def _readme(weights: Path, card: Mapping[str, Any]) -> str:
    """Tell what the network does, and what it learned from."""
    lines = [
        f"# {weights.stem}",
        "",
        "Input: one grey channel with bright nuclei, of about 22 to 55 px. Output: five times the "
        "flow along y and x, and the cell probability as a logit. Labels come of them by the "
        "dynamics of Cellpose. Height and width are multiples of 32 px.",
        "",
        "napari-nucseg scales intensities by blocks instead, and resizes images whose nuclei are "
        "smaller or larger; there the network does better than by the scaling of this package.",
        "",
    ]
    before, best = (card.get(key) or {} for key in ("before", "best"))
    if card:
        learned = ", ".join(f"{one['name']} ({one['fields']})" for one in card["learned_from"])
        lines.append(
            f"- Learned from: {learned}. Started from: {card['started_from'] or 'nothing'}"
        )
        lines.append(f"- Terms of what it started from: {card['licence'] or 'not known'}")
    for told, scores in (("Before", before), ("After", best)):
        if scores.get("f1_50") is not None:
            lines.append(
                f"- {told}, on what was held out: F1 at 0.5 {scores['f1_50']:.3f}, mean AP "
                f"{scores['mean_ap']:.3f}"
            )
    return "\n".join(lines) + "\n"


def _as_npy(array: NDArray[np.float32]) -> bytes:
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def _zipped(parts: Mapping[str, bytes]) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def check_tensorboard() -> None:
    """Refuse to log for TensorBoard where it is not installed.

    Raises
    ------
    ValueError
        Saying how to install it.
    """
    if find_spec("tensorboard") is None:
        raise ValueError(
            "the package tensorboard is not installed, so no log can be written for it; install it "
            "with: pip install tensorboard, or leave out --tensorboard"
        )


def log_scalars(folder: Path, batch: int, values: Mapping[str, float | None]) -> None:
    """Add values to the log in a folder; None is left out.

    Parameters
    ----------
    folder : Path
        Folder that ``tensorboard --logdir`` is given.
    batch : int
        Number of batches that were learned from.
    values : mapping of str to float or None
        Values by their names.
    """
    load_torch()
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, value in values.items():
            if value is not None:
                writer.add_scalar(name, value, batch)

"""Tiles give what the whole image gives, by networks of random weights in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_nucseg.progress import ignore
from napari_nucseg.segmenters import tiling
from napari_nucseg.segmenters.api import Stopped
from napari_nucseg.segmenters.fluo_unet import WIDTHS, FluoShape, FluoUNet
from napari_nucseg.segmenters.residual_unet import ResidualUNet
from napari_nucseg.segmenters.tiling import BORDER, TiledNet
from napari_nucseg.segmenters.unet import FlowsAlone
from tests.segmenters.random_nets import SMALL, unsettle

FLUO = FluoShape((4, 6, 8))
DEEP = FluoShape((2,) * len(WIDTHS))
"""As deep as the bundled net, but narrow."""


def fluo(shape):
    torch.manual_seed(1)
    return unsettle(FluoUNet(shape)).double()


# How far a network sees


@pytest.mark.parametrize("shape", [FluoShape((4,)), FLUO, DEEP], ids=str)
def test_no_pixel_changes_an_output_beyond_the_reach(shape):
    net, middle = fluo(shape), 16 * shape.stride
    image = torch.randn(1, 1, shape.stride, 32 * shape.stride, dtype=torch.float64)
    farthest = 0
    with torch.inference_mode():
        before = net(image)
        for column in range(middle, middle + shape.stride, max(1, shape.stride // 8)):
            other = image.clone()
            other[..., column] += 5 * torch.randn(shape.stride, dtype=torch.float64)
            changed = (net(other) != before).amax(dim=(0, 1, 2)).nonzero()
            farthest = max(farthest, int((changed - column).abs().max()))
    assert shape.reach / 3 < farthest <= shape.reach


def test_the_bundled_nets_depth_and_reach():
    assert (FluoShape().stride, FluoShape().reach) == (32, 374)


# Tiles


def as_batches(net):
    def run(images):
        with torch.inference_mode():
            return net(torch.from_numpy(images).double()).numpy()

    return run


def tiled(kind):
    """A network that is run whole or in tiles, and the length of its tiles in this test."""
    if kind == "residual":
        net = unsettle(ResidualUNet(SMALL)).double()
        return TiledNet(as_batches(FlowsAlone(net)), 1, SMALL.stride, SMALL.reach)
    return TiledNet(as_batches(fluo(FLUO)), 1, FLUO.stride, FLUO.reach)


@pytest.mark.parametrize("shape", [(600, 50), (50, 600), (333, 341)], ids=str)
@pytest.mark.parametrize("kind", ["fluo", "residual"])
def test_tiles_give_what_the_whole_image_gives(monkeypatch, kind, shape):
    net, steps = tiled(kind), []
    image = np.random.default_rng(2).normal(0.3, 0.5, shape).astype(np.float32)
    whole = net(image, False, ignore)
    monkeypatch.setattr(tiling, "LARGEST_TILE", 2 * net.reach + 6 * net.stride)
    pieces = net(image, False, lambda *step: steps.append(step))
    count = steps[-1][1]
    assert count >= 2
    assert steps == [(done, count) for done in range(count + 1)]
    assert pieces.shape == (3, *shape)
    np.testing.assert_allclose(pieces, whole, rtol=1e-6, atol=1e-6)
    assert np.ptp(whole) > 0.01


def test_a_stop_between_tiles_passes_through(monkeypatch):
    net = tiled("fluo")
    monkeypatch.setattr(tiling, "LARGEST_TILE", 2 * net.reach + 6 * net.stride)

    def stop(done, total):
        if done == 1:
            raise Stopped

    with pytest.raises(Stopped):
        net(np.ones((400, 40), np.float32), False, stop)


def sizes_run(shape):
    """Sizes of the pieces that an image is run in by a net like the bundled one."""
    sizes = []

    def run(images):
        sizes.append(images.shape[2:])
        return np.zeros((1, 3, *images.shape[2:]), np.float32)

    net = TiledNet(run, 1, FluoShape().stride, FluoShape().reach)
    assert net(np.zeros(shape, np.float32), False, ignore).shape == (3, *shape)
    return np.array(sizes)


@pytest.mark.parametrize("shape", [(520, 696), (2048, 2048), (1, 2048)], ids=str)
def test_up_to_2048_pixels_an_image_is_run_whole(shape):
    assert len(sizes_run(shape)) == 1


@pytest.mark.parametrize("shape", [(2049, 30), (100, 9000), (4100, 2100)], ids=str)
def test_no_piece_of_a_larger_image_is_larger_than_that(shape):
    sizes = sizes_run(shape)
    assert len(sizes) > 1
    assert sizes.max() <= 2048 + 2 * BORDER
    assert not (sizes % FluoShape().stride).any()

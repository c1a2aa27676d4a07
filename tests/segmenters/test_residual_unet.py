from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from napari_nucseg.segmenters.checkpoints import load_unet
from napari_nucseg.segmenters.residual_unet import ResidualUNet, UNetShape
from tests.segmenters.random_nets import unsettle

CELLPOSE_3 = UNetShape(channels=2, widths=(32, 64, 128, 256), residuals=2, style=True)

SHAPES = [
    UNetShape(),
    CELLPOSE_3,
    UNetShape(channels=1, widths=(4,), residuals=1, style=False),
    UNetShape(channels=3, widths=(4, 6), residuals=1, style=True),
    UNetShape(channels=1, widths=(5, 7, 9), residuals=3, style=False),
]


def random_net(shape, seed=0):
    """A net whose batch normalisation does something, as after training."""
    torch.manual_seed(seed)
    return unsettle(ResidualUNet(shape), seed)


# The names and shapes of Cellpose 3's CPnet([2, 32, 64, 128, 256], nout=3, sz=3), written down
# apart from the code under test


def batch_norm(name, width):
    per_channel = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (width,) for part in per_channel} | {
        f"{name}.num_batches_tracked": ()
    }


def convolution(name, inputs, outputs, size):
    return {f"{name}.weight": (outputs, inputs, size, size), f"{name}.bias": (outputs,)}


def batchconv(name, inputs, outputs, size=3):
    norm = batch_norm(f"{name}.0", inputs)
    return norm | convolution(f"{name}.2", inputs, outputs, size)


def projection(name, inputs, outputs):
    norm = batch_norm(f"{name}.0", inputs)
    return norm | convolution(f"{name}.1", inputs, outputs, 1)


def cellpose_3_shapes():
    shapes = {"diam_mean": (1,), "diam_labels": (1,)} | batchconv("output", 32, 3, 1)
    for level, (inputs, outputs) in enumerate(pairwise([2, 32, 64, 128, 256])):
        block = f"downsample.down.res_down_{level}"
        shapes |= projection(f"{block}.proj", inputs, outputs)
        shapes |= batchconv(f"{block}.conv.conv_0", inputs, outputs)
        for index in (1, 2, 3):
            shapes |= batchconv(f"{block}.conv.conv_{index}", outputs, outputs)
    for level, (outputs, inputs) in enumerate(pairwise([32, 64, 128, 256, 256])):
        block = f"upsample.up.res_up_{level}"
        shapes |= projection(f"{block}.proj", inputs, outputs)
        shapes |= batchconv(f"{block}.conv.conv_0", inputs, outputs)
        for index in (1, 2, 3):
            shapes |= batchconv(f"{block}.conv.conv_{index}.conv", outputs, outputs)
            shapes[f"{block}.conv.conv_{index}.full.weight"] = (outputs, 256)
            shapes[f"{block}.conv.conv_{index}.full.bias"] = (outputs,)
    return shapes


def test_names_and_shapes_are_those_of_cellpose_3():
    state = ResidualUNet(CELLPOSE_3).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == cellpose_3_shapes()


def test_some_names_of_the_published_weights_are_there():
    shapes = {name: tuple(t.shape) for name, t in ResidualUNet(CELLPOSE_3).state_dict().items()}
    assert shapes["downsample.down.res_down_0.conv.conv_0.0.weight"] == (2,)
    assert shapes["downsample.down.res_down_3.proj.1.weight"] == (256, 128, 1, 1)
    assert shapes["upsample.up.res_up_0.conv.conv_1.full.weight"] == (32, 256)
    assert shapes["upsample.up.res_up_3.conv.conv_0.2.weight"] == (256, 256, 3, 3)
    assert shapes["output.2.weight"] == (3, 32, 1, 1)
    assert not any(name.startswith("make_style") for name in shapes)


# What Cellpose 3 computes with those weights, as functions of the state dict


class CellposeThree:
    """The forward pass of Cellpose 3's CPnet in evaluation mode."""

    def __init__(self, state):
        self.state = state

    def norm(self, name, x):
        s = self.state
        return F.batch_norm(
            x,
            s[f"{name}.running_mean"],
            s[f"{name}.running_var"],
            s[f"{name}.weight"],
            s[f"{name}.bias"],
            eps=1e-5,
        )

    def conv(self, name, x):
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def batchconv(self, name, x):
        return self.conv(f"{name}.2", self.norm(f"{name}.0", x).relu())

    def project(self, name, x):
        return self.conv(f"{name}.1", self.norm(f"{name}.0", x))

    def styled(self, name, style, x):
        features = F.linear(
            style, self.state[f"{name}.full.weight"], self.state[f"{name}.full.bias"]
        )
        return self.batchconv(f"{name}.conv", x + features[:, :, None, None])

    def down(self, name, x):
        conv = f"{name}.conv.conv_"
        x = self.project(f"{name}.proj", x) + self.batchconv(
            f"{conv}1", self.batchconv(f"{conv}0", x)
        )
        return x + self.batchconv(f"{conv}3", self.batchconv(f"{conv}2", x))

    def up(self, name, x, skip, style):
        conv = f"{name}.conv.conv_"
        first = self.batchconv(f"{conv}0", x)
        x = self.project(f"{name}.proj", x) + self.styled(f"{conv}1", style, first + skip)
        return x + self.styled(f"{conv}3", style, self.styled(f"{conv}2", style, x))

    def __call__(self, x):
        levels = []
        for level in range(4):
            x = self.down(f"downsample.down.res_down_{level}", F.max_pool2d(x, 2) if level else x)
            levels.append(x)
        style = x.mean(dim=(2, 3))
        style = style / (style**2).sum(dim=1, keepdim=True) ** 0.5
        for level in (3, 2, 1, 0):
            name = f"upsample.up.res_up_{level}"
            x = self.up(name, x, levels[level], style)
            if level:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
        return self.batchconv("output", x), style


def test_it_computes_what_cellpose_3_computes():
    net = random_net(CELLPOSE_3)
    image = torch.randn(2, 2, 48, 64)
    with torch.inference_mode():
        output, style = net(image)
        expected, expected_style = CellposeThree(net.state_dict())(image)
    assert output.shape == (2, 3, 48, 64)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(style, expected_style, rtol=1e-4, atol=1e-5)


# Shapes and files


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_shape_can_be_read_off_the_weights(shape):
    assert UNetShape.of(ResidualUNet(shape).state_dict()) == shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_output_has_the_size_of_the_smallest_input_and_of_one_that_is_not_square(shape):
    net = random_net(shape)
    for height, width in ((shape.stride, shape.stride), (shape.stride, 3 * shape.stride)):
        with torch.inference_mode():
            output, style = net(torch.randn(1, shape.channels, height, width))
        assert output.shape == (1, 3, height, width)
        assert style.shape == (1, shape.widths[-1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_saved_net_gives_the_same_output_after_loading(shape, tmp_path):
    net = random_net(shape, seed=1)
    image = torch.randn(1, shape.channels, 2 * shape.stride, shape.stride)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    loaded = load_unet(tmp_path / "net.pt")
    assert loaded.shape == shape
    assert not loaded.training
    with torch.inference_mode():
        assert torch.equal(loaded(image)[0], net(image)[0])


def test_channels_beyond_its_own_are_ignored():
    net = random_net(UNetShape(widths=(4, 4)))
    image = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(net(image)[0], net(image[:, :1])[0])


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"output.2.weight": torch.zeros(3, 4, 1, 1)},
        {"downsample.down.res_down_0.conv.conv_0.2.weight": torch.zeros(4, 1, 3, 3)},
        {"W2": torch.zeros(1)},
    ],
    ids=["nothing", "only the output", "only the encoder", "a transformer's"],
)
def test_weights_without_the_keys_of_a_unet_have_no_shape(state):
    with pytest.raises(ValueError, match="not those of a Cellpose U-Net"):
        UNetShape.of(state)

"""The denoisers' shapes and names, and the cut f = Ψ∘Φ for any module."""

from __future__ import annotations

import importlib.util
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from closeness import assert_same
from torch import nn

import CTInvarianceLib as cti
from CTInvarianceLib.base import LayerError
from CTInvarianceLib.denoisers import Identity, representations


class Residual(nn.Module):
    """A denoiser of somebody else: global skip, a residual block, one shared in-place activation."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Sequential(Block(), Block())
        self.tail = nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, x):
        return x - self.tail(self.body(self.head(x)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.activation(x + self.second(self.activation(self.first(x))))


class Strided(nn.Module):
    """Half resolution inside, in-place activations, z determines everything."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 6, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            Residual2(),
            nn.ConvTranspose2d(6, 1, 4, stride=2, padding=1),
        )

    def forward(self, x):
        return self.net(x)


class Residual2(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x):
        return x + self.inner(x)


class HiddenSkip(nn.Module):
    """The skip is invisible to autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return self.conv(x) + x.detach().mean()


def image(size: int = 40) -> torch.Tensor:
    return torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("build", [cti.Chen, lambda: cti.Chen(last_kernel=5), cti.Yang, Identity, Strided])
def test_remainder_of_representation_is_the_denoiser_to_the_bit(build):
    torch.manual_seed(0)
    denoiser, x = build(), image()
    names = [n for n in cti.layers(denoiser) if n != "net.2.inner"]
    assert names
    for layer in names:
        z = cti.representation(denoiser, x, layer)
        kept = z.clone()
        assert torch.equal(cti.remainder(denoiser, z, layer), denoiser(x)), layer
        assert torch.equal(z, kept), "the caller's z must stay as it is"


def test_layers_are_named_as_on_the_slides():
    assert cti.layers(cti.Chen()) == ["1", "3", "5"]
    assert cti.layers(cti.Yang()) == [str(i) for i in range(1, 9)]
    assert cti.representation(cti.Chen(), image(), "3").shape == (2, 32, 40, 40)
    assert cti.representation(cti.Yang(), image(), "8").shape == (2, 1, 40, 40)


def test_representation_is_taken_before_the_activation():
    yang, x = cti.Yang(), image()
    assert torch.equal(cti.representation(yang, x, "1"), yang.net[0](x))
    assert (cti.representation(yang, x, "1") < 0).any()


def test_foreign_modules_are_named_in_order_of_execution():
    assert cti.layers(Residual()) == [
        "head",
        "body.0.first",
        "body.0.activation",
        "body.0.second",
        "body.0.activation:2",
        "body.1.first",
        "body.1.activation",
        "body.1.second",
        "body.1.activation:2",
        "tail",
    ]
    assert cti.layers(Strided()) == ["net.0", "net.1", "net.2.inner", "net.2", "net.3"]


@pytest.mark.parametrize(("build", "layer"), [(Residual, "tail"), (Residual, "body.0"), (HiddenSkip, "conv")])
def test_a_connection_that_passes_the_layer_by_is_an_error(build, layer):
    torch.manual_seed(0)
    denoiser = build()
    z = cti.representation(denoiser, image(), layer)
    with pytest.raises(LayerError, match="passes it by"):
        cti.remainder(denoiser, z, layer)


def test_several_layers_in_one_pass_equal_each_alone_despite_inplace_activations():
    torch.manual_seed(0)
    denoiser, x = Strided(), image()
    names = ["net.0", "net.2", "net.3"]
    together = representations(denoiser, x, names)
    for name in names:
        assert torch.equal(together[name], cti.representation(denoiser, x, name))


def test_unknown_layer_and_wrong_channels_are_named():
    with pytest.raises(LayerError, match=r"no layer of this name: '2'. Its layers are 1, 3, 5"):
        cti.representation(cti.Chen(), image(), "2")
    with pytest.raises(LayerError, match=r"\(N, 64, H, W\)"):
        cti.remainder(cti.Chen(), torch.zeros(1, 3, 8, 8), "1")


def test_hooks_are_gone_afterwards_also_after_an_error():
    chen = cti.Chen()
    cti.representation(chen, image(), "1")
    with pytest.raises(RuntimeError):
        cti.representation(chen, torch.zeros(1, 2, 8, 8), "1")
    assert all(not module._forward_hooks for module in chen.modules())


def test_gradients_flow_through_the_representation():
    chen, x = cti.Chen(), image().requires_grad_()
    cti.representation(chen, x, "3").square().sum().backward()
    assert x.grad is not None
    assert chen.layers[2].weight.grad is not None


def test_parameter_names_and_counts_are_the_published_ones():
    chen, yang = cti.Chen(last_kernel=5), cti.Yang()
    assert sum(p.numel() for p in chen.parameters()) == 24_513
    assert sum(p.numel() for p in yang.parameters()) == 56_097
    assert set(chen.state_dict()) == {f"layers.{i}.{p}" for i in (0, 2, 4) for p in ("weight", "bias")}
    assert set(yang.state_dict()) == {f"net.{i}.{p}" for i in range(0, 15, 2) for p in ("weight", "bias")}


@pytest.mark.parametrize(
    ("method", "ours"), [("cnn10", lambda: cti.Chen(last_kernel=5)), ("wganvgg", cti.Yang)]
)
def test_same_output_as_ldct_benchmark_with_the_same_weights(method, ours):
    spec = importlib.util.find_spec("ldctbench")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("ldct-benchmark is not installed (pip install --no-deps ldct-benchmark)")
    # The package's own imports need its whole training stack; the network file needs torch alone.
    path = Path(next(iter(spec.submodule_search_locations)), "methods", method, "network.py")
    network = importlib.util.spec_from_file_location(f"ldctbench_{method}", path)
    assert network is not None
    assert network.loader is not None
    module = importlib.util.module_from_spec(network)
    network.loader.exec_module(module)
    torch.manual_seed(3)
    theirs, mine = module.Model(Namespace()), ours()
    mine.load_state_dict(theirs.state_dict())
    assert_same(mine(image()), theirs(image()))

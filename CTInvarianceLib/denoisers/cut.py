"""
Cutting a denoiser f = Ψ∘Φ at a layer, for any torch module.

A layer is named by a submodule; what is cut is that submodule's output. The cut is made with forward hooks,
so the module runs its own code, and Ψ∘Φ equals f to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..base import LayerError

_PROBE = 64  # pixels; side of the image with which an unknown module is explored


class _ReachedLayer(Exception):  # noqa: N818 - a jump out of forward(), not an error
    """Ends a forward pass as soon as everything asked for is there."""


def layers(denoiser: nn.Module) -> list[str]:
    """
    Names of the layers at which `denoiser` can be looked at, in order of execution.

    Chen's and Yang's are numbered as on the slides. Any other module's are the qualified names of its
    submodules whose output is a tensor; a submodule that runs a second time appears as "name:2". A container
    that only hands on what its last child returned is left out.
    """
    named = _slide_names(denoiser)
    if named:
        return list(named)
    outputs: dict[str, Tensor] = {}

    def note(name: str, output: Tensor) -> None:
        if not any(output is outputs[other] for other in outputs if other.startswith(f"{name}.")):
            outputs[name] = output

    with torch.no_grad():
        _watch(denoiser, _probe_image(denoiser), note)
    return list(outputs)


def representation(denoiser: nn.Module, x: Tensor, layer: str) -> Tensor:
    """Z = Φ(x): what `layer` puts out for normalised images x, (N, 1, H, W)."""
    return representations(denoiser, x, [layer])[layer]


def representations(denoiser: nn.Module, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """
    Z of several layers in one forward pass, which ends at the last of them.

    Raises:
        LayerError: the denoiser has no such layer.
    """
    wanted = {_qualified(denoiser, name): name for name in names}
    found: dict[str, Tensor] = {}

    def note(name: str, output: Tensor) -> None:
        if name in wanted:
            # A later in-place activation would overwrite z; only a pass that goes on needs the copy.
            found[wanted[name]] = output if len(found) + 1 == len(wanted) else output.clone()
            if len(found) == len(wanted):
                raise _ReachedLayer

    _watch(denoiser, x, note)
    for name in names:
        if name not in found:
            raise _unknown(denoiser, name)
    return found


def representation_and_output(denoiser: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """
    Φ(x) and f(x) in one forward pass.

    Raises:
        LayerError: the denoiser has no such layer.
    """
    wanted, found = _qualified(denoiser, layer), []

    def note(name: str, output: Tensor) -> None:
        if name == wanted:
            found.append(output.clone())  # an in-place activation behind the layer would overwrite z

    output = _watch(denoiser, x, note)
    if not found:
        raise _unknown(denoiser, layer)
    return found[0], output


def remainder(denoiser: nn.Module, z: Tensor, layer: str) -> Tensor:
    """
    Ψ(z): the denoiser from `layer` on; remainder(representation(x)) equals denoiser(x) to the bit.

    Raises:
        LayerError: z alone does not determine the output (a skip connection passes the layer by), or z has
            not the layer's number of channels.
    """
    probe = _probe_image(denoiser)
    with torch.no_grad():
        z_probe = representation(denoiser, probe, layer)
    _check_determined(denoiser, layer, probe, z_probe)
    if z.ndim != 4 or z_probe.shape[1] != z.shape[1]:
        raise LayerError(
            f"z has shape {tuple(z.shape)} where (N, {z_probe.shape[1]}, H, W) is expected", where=layer
        )
    # What the layers before the cut compute is thrown away, so any image of the right size will do.
    size = [n * _PROBE // m for n, m in zip(z.shape[2:], z_probe.shape[2:], strict=True)]
    return _substitute(denoiser, z.new_zeros(z.shape[0], 1, *size), z, layer)


def layer_chain(denoiser: nn.Module, layer: str) -> list[nn.Module]:
    """The modules without children that run until `layer` has put out z, in order of execution.

    Raises:
        LayerError: the denoiser has no such layer.
    """
    target, ran = _qualified(denoiser, layer), []
    modules = dict(denoiser.named_modules())

    def note(name: str, _output: Tensor) -> None:
        module = modules[name.split(":", maxsplit=1)[0]]
        if not list(module.children()):
            ran.append(module)
        if name == target:
            raise _ReachedLayer

    with torch.no_grad():
        _watch(denoiser, _probe_image(denoiser), note)
    return ran


def _check_determined(denoiser: nn.Module, layer: str, probe: Tensor, z: Tensor) -> None:
    """Raise unless the output with z put in place is the same, and has no gradient, for other images."""
    with torch.inference_mode(False), torch.enable_grad():
        image = probe.clone().requires_grad_()
        output = _substitute(denoiser, image, z.detach().clone(), layer)
        if output.requires_grad:
            (gradient,) = torch.autograd.grad(output.sum(), image, allow_unused=True)
            passes_by = gradient is not None
        else:
            passes_by = False
        with torch.no_grad():
            passes_by |= not torch.equal(output, _substitute(denoiser, -probe, z, layer))
    if passes_by:
        raise LayerError(
            "this layer alone does not determine the output, a connection passes it by",
            where=layer,
            hint="Choose a layer behind which the paths have joined again.",
        )


def _substitute(denoiser: nn.Module, x: Tensor, z: Tensor, layer: str) -> Tensor:
    """f(x) with the output of `layer` replaced by z."""
    target = _qualified(denoiser, layer)

    def replace(name: str, output: Tensor) -> Tensor | None:
        # An in-place activation behind the layer must not change the caller's z.
        return z.clone() if name == target else None

    result = _watch(denoiser, x, replace)
    return result if isinstance(result, Tensor) else _raise_output(type(result))


def _watch(denoiser: nn.Module, x: Tensor, see: Callable[[str, Tensor], Tensor | None]) -> Any:
    """Run the denoiser on x; `see` gets every submodule's name and output, and may replace the output."""
    calls: dict[str, int] = {}

    def hook_for(name: str) -> Callable[..., Tensor | None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            calls[name] = calls.get(name, 0) + 1
            if not isinstance(output, Tensor):
                return None
            return see(name if calls[name] == 1 else f"{name}:{calls[name]}", output)

        return hook

    handles = [m.register_forward_hook(hook_for(name)) for name, m in denoiser.named_modules() if name]
    try:
        return denoiser(x)
    except _ReachedLayer:
        return None
    finally:
        for handle in handles:
            handle.remove()


def _qualified(denoiser: nn.Module, layer: str) -> str:
    """The submodule's name behind a layer's name; raises LayerError where there is none."""
    name = _slide_names(denoiser).get(layer, layer)
    if name.split(":")[0] not in dict(denoiser.named_modules()) or not name:
        raise _unknown(denoiser, layer)
    return name


def _slide_names(denoiser: nn.Module) -> dict[str, str]:
    """The numbers that the slides give to the layers of Chen and Yang, and the submodules behind them."""
    return cast(dict[str, str], getattr(denoiser, "LAYERS", {}))


def _unknown(denoiser: nn.Module, layer: str) -> LayerError:
    return LayerError(
        f"{type(denoiser).__name__} has no layer of this name",
        where=repr(layer),
        hint=f"Its layers are {', '.join(layers(denoiser))}.",
    )


def _raise_output(kind: type) -> Tensor:
    raise LayerError(f"a denoiser must return one tensor, this one returns {kind.__name__}")


def _probe_image(denoiser: nn.Module) -> Tensor:
    """A small fixed image without symmetry on the denoiser's device and in its precision."""
    reference = next(denoiser.parameters(), torch.empty(0))
    ramp = torch.linspace(-1, 1, _PROBE * _PROBE, device=reference.device, dtype=reference.dtype)
    return torch.sin(7 * ramp).reshape(1, 1, _PROBE, _PROBE)

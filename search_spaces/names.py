"""Networks whose layers have names by stage and block, so that the same part of two students has the same name."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn


class Named(nn.Sequential):
    """Layers that run one after the other. A name such as `stages.0.blocks.1` puts a layer into groups.

    Earlier versions of AutoKD numbered all layers of a network and of its blocks. `with_earlier_names` gives such a
    network. From it AutoKD learns the names in older files of weights and the digest of an older teacher.

    Args:
        layers: the layers by name, in the order in which they run; those of a group follow each other.
    """

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        super().__init__(_grouped(layers))

    def forward(self, x: Tensor) -> Tensor:
        """Runs all layers. Groups do not run by themselves, because each would keep its input in memory to its end."""
        for layer in _layers(self):
            x = layer(x)
        return x

    def with_earlier_names(self) -> nn.Module:
        """A copy in which all layers are numbered; its weights are in the same order."""
        return _numbered(copy.deepcopy(self))


class _Group(nn.Sequential):
    """Layers whose names begin alike. They were not apart from the others when layers were numbered."""


def _grouped(layers: Mapping[str, nn.Module]) -> OrderedDict[str, nn.Module]:
    """The layers and the groups of layers, by the first part of their names."""
    found: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in layers.items():
        first, dot, _ = name.partition(".")
        if not dot:
            found[first] = layer
        elif first not in found:
            inner = {key.removeprefix(f"{first}."): layers[key] for key in layers if key.startswith(f"{first}.")}
            found[first] = _Group(_grouped(inner))
    return found


def _numbered(module: nn.Module) -> nn.Module:
    for name, child in list(module.named_children()):
        module.add_module(name, _numbered(child))
    return nn.Sequential(*_layers(module)) if isinstance(module, Named) else module


def _layers(module: nn.Module) -> list[nn.Module]:
    """The layers in a module, without the groups around them."""
    found: list[nn.Module] = []
    for child in module.children():
        found += _layers(child) if isinstance(child, _Group) else [child]
    return found

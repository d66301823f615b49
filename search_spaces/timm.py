"""Networks of timm, as `timm(models="resnet1*|vit_tiny*")`, searched by name and by the arguments that they take."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from search_spaces.picks import is_searched, pick, refuse_strange

if TYPE_CHECKING:
    import optuna


_SMALL = "mobilenetv3_small_*|resnet10t|resnet14t|resnet18|resnet26"


class TimmSpace:
    """A space over the names of networks and their arguments. The networks begin without pretrained weights.

    Args:
        models: patterns of names with `*`, separated by `|`.
        arguments: arguments of `timm.create_model`. Each is a list of choices, a pair (low, high) for a range, or a
            fixed value. A model that does not take an argument is made without that argument. The channels and classes
            come from the task.

    Raises:
        ValueError: no name matches, or a setting is neither choices nor a range nor a fixed value.
    """

    def __init__(self, models: str = _SMALL, **arguments: Any) -> None:
        refuse_strange(arguments)
        self.models, self.arguments = models, arguments
        self._takes = cache(self._takes_argument)
        if not self._names:
            raise ValueError(
                f"timm has no model whose name matches '{models}'; write patterns such as 'resnet*|vit_tiny*'"
            )

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Picks a model, and values for the searched arguments that this model takes."""
        name = trial.suggest_categorical("model", self._names)
        searched = {key: setting for key, setting in self.arguments.items() if is_searched(setting)}
        return {"model": name} | {
            key: pick(trial, key, setting) for key, setting in searched.items() if self._takes(name, key)
        }

    def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
        """Makes the network.

        Raises:
            ValueError: the task's inputs are not images.
        """
        if len(task.input_shape) != 3:
            raise ValueError(f"timm needs inputs of shape (channels, height, width), not {task.input_shape}")
        name = arch["model"]
        given = {key: value for key, value in self.arguments.items() if not is_searched(value)}
        fixed = {key: value for key, value in given.items() if self._takes(name, key)}
        picked = {key: value for key, value in arch.items() if key != "model"}
        return self._made(name, {"in_chans": task.input_shape[0], "num_classes": task.num_outputs, **fixed, **picked})

    @cached_property
    def _names(self) -> list[str]:
        found = {name for pattern in self.models.split("|") for name in self._timm.list_models(pattern.strip())}
        return sorted(found)

    @cached_property
    def _timm(self) -> Any:
        try:
            import timm
        except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision built for another torch
            raise ImportError(f"timm cannot be imported ({error}): pip install 'autokd[timm]'") from None
        return timm

    def _takes_argument(self, name: str, argument: str) -> bool:
        """Whether a model can be made with an argument. This is tried with its first value, on the meta device."""
        setting = self.arguments[argument]
        with torch.device("meta"):
            try:
                self._made(name, {argument: setting[0] if is_searched(setting) else setting})
            except TypeError:
                return False
            except Exception:  # the model takes the argument, though not alone
                return True
        return True

    def _made(self, name: str, arguments: dict[str, Any]) -> nn.Module:
        network: nn.Module = self._timm.create_model(name, pretrained=False, **arguments)
        return network

"""Networks of timm, as `timm(models="resnet1*|vit_tiny*")`, searched by name and by the arguments that they take."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from search_spaces.picks import is_searched, pick, refuse_strange
from search_spaces.timm_weights import answering_layers, taken_over

if TYPE_CHECKING:
    import optuna


_LOG = logging.getLogger("autokd")
_SMALL = "mobilenetv3_small_*|resnet10t|resnet14t|resnet18|resnet26"


class TimmSpace:
    """A space over the names of networks and their arguments.

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
        self._compared: set[str] = set()
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
        return self._made(arch["model"], {"num_classes": task.num_outputs, **self._arguments_of(arch, task)})

    def pretrained(self, arch: dict[str, Any], task: Any) -> dict[str, Tensor]:
        """The weights that timm has for this very model, but for those of the layer that tells its classes apart.

        If the task normalises images in another way than those on which the model was trained, the log says so.

        Raises:
            ValueError: timm has no weights for the model with these arguments.
            OSError: the weights cannot be fetched.
        """
        name = arch["model"]
        try:
            with _quiet():
                network = self._made(name, self._arguments_of(arch, task), pretrained=True)
        except OSError as error:
            raise OSError(
                f"the weights of timm's '{name}' cannot be fetched ({error}); fetch them once where there is a "
                "network, or leave out the start 'pretrained'"
            ) from error
        except Exception as error:  # timm raises errors of several kinds where weights are missing or do not fit
            raise ValueError(f"timm has no weights for '{name}' with the arguments {arch}: {error}") from error
        self._compare_normalisation(name, network, task)
        answering = answering_layers(network)
        return {key: value for key, value in network.state_dict().items() if not key.startswith(answering)}

    def inherit(
        self, arch: dict[str, Any], teacher_arch: dict[str, Any], teacher_weights: dict[str, Tensor], task: Any
    ) -> dict[str, Tensor]:
        """The part of a teacher with which a student begins, as `timm_weights.taken_over` chooses it.

        Args:
            arch: the student's architecture.
            teacher_arch: the teacher's; the names of its weights and their shapes say enough.
            teacher_weights: the teacher's weights by name.
            task: the task of the student.
        """
        with torch.device("meta"):
            return taken_over(self.build(arch, task), teacher_weights)

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

    def _arguments_of(self, arch: dict[str, Any], task: Any) -> dict[str, Any]:
        """The arguments with which a network is made, but for the number of its outputs."""
        name = arch["model"]
        given = {key: value for key, value in self.arguments.items() if not is_searched(value)}
        fixed = {key: value for key, value in given.items() if self._takes(name, key)}
        picked = {key: value for key, value in arch.items() if key != "model"}
        return {"in_chans": task.input_shape[0], **fixed, **picked}

    def _compare_normalisation(self, name: str, network: nn.Module, task: Any) -> None:
        """Says once for each model if students see images of another mean or deviation than its weights know."""
        if name in self._compared or not hasattr(task, "shift") or not hasattr(task, "divisor"):
            return
        self._compared.add(name)
        peak = 255 if "uint8" in str(task.x.dtype) else 1
        seen = [[each / peak for each in given] for given in (task.shift, task.divisor)]
        known = getattr(network, "pretrained_cfg", {})
        trained = [
            [float(each) for each in known.get(key, own)] for key, own in zip(("mean", "std"), seen, strict=True)
        ]
        pairs = [pair for own, its in zip(seen, trained, strict=True) for pair in zip(own, its, strict=False)]
        if all(abs(own - its) < 0.02 for own, its in pairs):
            return
        _LOG.warning(
            "The weights of timm's %s were trained on images of mean %s and deviation %s, but students see images of "
            "mean %s and deviation %s. Write task.normalise: {mean: %s, std: %s} to have students see them alike.",
            name,
            *(", ".join(f"{each:.3g}" for each in part) for part in (*trained, *seen)),
            *trained,
        )

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

    def _made(self, name: str, arguments: dict[str, Any], *, pretrained: bool = False) -> nn.Module:
        network: nn.Module = self._timm.create_model(name, pretrained=pretrained, **arguments)
        return network


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps packages from saying how each try to fetch weights went; the error of the last one is enough."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "timm")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

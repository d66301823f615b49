"""Model spaces of NNI 3.0, as `nni:my_pkg.module:MySpace`: a value is picked for each label and the model is frozen."""

from __future__ import annotations

import inspect
import logging
import math
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

try:
    with warnings.catch_warnings(action="ignore"):  # NNI warns of classes in torch that it does not know
        from nni.nas.nn.pytorch import ModelSpace
        from nni.nas.space import model_context
except ImportError as error:
    raise ImportError(f"{error}: pip install 'autokd[nni]'") from None

if TYPE_CHECKING:
    import optuna

logging.getLogger("nni").setLevel(logging.WARNING)  # some spaces log how they prune each model

_PLAIN = (bool, int, float, str, type(None))
_OUTPUTS = ("num_labels", "num_classes", "num_outputs")
_CHANNELS = ("in_channels", "in_chans")


class NNISpace:
    """A subclass of `nni.nas.nn.pytorch.ModelSpace` as a search space. An architecture is NNI's sample, by label.

    Args:
        model_space: the subclass.
        settings: arguments of its constructor. Arguments that are called num_labels, num_classes or num_outputs, and
            in_channels or in_chans, come from the task unless they are given here.

    Raises:
        TypeError: `model_space` is no such class, or its constructor does not take one of the settings.
    """

    def __init__(self, model_space: Any, **settings: Any) -> None:
        if not isinstance(model_space, type) or not issubclass(model_space, ModelSpace):
            raise TypeError(f"{model_space!r} is no subclass of nni.nas.nn.pytorch.ModelSpace; name the class itself")
        self.model_space, self.settings = model_space, settings
        self._known = _arguments(model_space)
        unknown = [name for name in settings if name not in self._known]
        if unknown:
            raise TypeError(
                f"{model_space.__name__} takes no argument '{unknown[0]}'; it takes {', '.join(self._known)}"
            )

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Picks a value for each label. If the values are not plain data, their positions in NNI's list are picked.

        Raises:
            ValueError: the architecture breaks a constraint of the space.
        """
        arch: dict[str, Any] = {}
        for label, mutable in self._mutables.items():
            pick = _PICKS.get(type(mutable).__name__)
            if pick is not None:
                arch[label] = pick(trial, label, mutable)
        sample = self._sample(arch)
        for label, mutable in self._mutables.items():
            broken = None if label in arch else mutable.check_contains(sample)
            if broken is not None:
                raise ValueError(f"the architecture is outside the space: {broken}")
        return arch

    def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
        """Makes the frozen model, with new weights.

        If the model takes colour images and the task's are grey, it gets the grey channel three times.

        Raises:
            ValueError: `arch` is not in the space.
            RuntimeError: NNI cannot freeze the model.
        """
        sample = self._sample(arch)
        arguments = {**self._of_task(task), **self.settings}
        space = self._made(arguments)
        if not space.contains(sample):
            raise ValueError(f"{arch} is not in {self.model_space.__name__}")
        network = self._frozen(space, sample, arguments)
        first = next((each for each in network.modules() if isinstance(each, nn.Conv2d)), None)
        grey = len(task.input_shape) == 3 and task.input_shape[0] == 1
        return _Coloured(network) if grey and first is not None and first.in_channels == 3 else network

    @cached_property
    def _mutables(self) -> dict[str, Any]:
        with torch.random.fork_rng(devices=[]):
            found: dict[str, Any] = self._made(self.settings).simplify()
        unknown = [each for each in found.values() if not _is_known(each)]
        if unknown:
            raise ValueError(f"{unknown[0]!r} cannot be searched; write it as nni.choice or as an NNI distribution")
        return found

    def _made(self, arguments: dict[str, Any]) -> Any:
        try:
            return self.model_space(**arguments)
        except ValueError as error:
            if "Label must be specified" not in str(error):
                raise
            raise ValueError(
                f"{self.model_space.__name__} has choices without a label; give each choice a label, or write "
                f"class {self.model_space.__name__}(ModelSpace, label_prefix='model')"
            ) from None

    def _frozen(self, space: Any, sample: dict[str, Any], arguments: dict[str, Any]) -> nn.Module:
        try:
            frozen: nn.Module = space.freeze(sample)
        except NotImplementedError:  # for a module that calls add_mutable and has no freeze, NNI advises this way
            with model_context(sample):
                frozen = self.model_space(**arguments)
        except Exception as error:
            raise RuntimeError(
                f"NNI cannot freeze {self.model_space.__name__} ({type(error).__name__}: {error}); try "
                f"{self.model_space.__name__}(...).freeze({sample}) by itself, and give the module that raises a "
                "freeze(sample) of its own"
            ) from error
        return frozen

    def _of_task(self, task: Any) -> dict[str, Any]:
        wanted = dict.fromkeys(_OUTPUTS, task.num_outputs)
        if len(task.input_shape) == 3:
            wanted |= dict.fromkeys(_CHANNELS, task.input_shape[0])
        return {name: value for name, value in wanted.items() if name in self._known}

    def _sample(self, arch: dict[str, Any]) -> dict[str, Any]:
        """`arch` as a sample of NNI: positions in lists are replaced by the values at these positions."""
        sample = {}
        for label, value in arch.items():
            mutable: Any = self._mutables.get(label)
            listed = hasattr(mutable, "values") and not _are_plain(mutable.values)
            if listed and isinstance(value, list):
                value = [mutable.values[each] for each in value]
            elif listed:
                value = mutable.values[value]
            sample[label] = value
        return sample


def _pick_one(trial: Any, label: str, mutable: Any) -> Any:
    return trial.suggest_categorical(
        label, mutable.values if _are_plain(mutable.values) else range(len(mutable.values))
    )


def _pick_several(trial: Any, label: str, mutable: Any) -> list[Any]:
    number, chosen = len(mutable.values), mutable.n_chosen
    if chosen is None:
        places = [i for i in range(number) if trial.suggest_categorical(f"{label}/{i}", [False, True])]
    else:
        places = []  # in rising order, so that each set has one order
        for i in range(chosen):
            places.append(trial.suggest_int(f"{label}/{i}", places[-1] + 1 if places else 0, number - chosen + i))
    return [mutable.values[i] for i in places] if _are_plain(mutable.values) else places


def _pick_number(trial: Any, label: str, mutable: Any) -> float:
    named = mutable.quantize is None and mutable.mu is None and math.isfinite(mutable.low + mutable.high)
    if named and mutable.distribution.dist.name in ("uniform", "loguniform", "reciprocal"):
        return float(trial.suggest_float(label, mutable.low, mutable.high, log=mutable.log_distributed))
    share = trial.suggest_float(label, 0.001, 0.999)  # a quantile of any distribution
    return float(mutable.qclip(mutable.distribution.ppf(share)))


_PICKS = {"Categorical": _pick_one, "CategoricalMultiple": _pick_several, "Numerical": _pick_number}


def _is_known(mutable: Any) -> bool:
    return type(mutable).__name__ in _PICKS or "Constraint" in " ".join(each.__name__ for each in type(mutable).__mro__)


def _are_plain(values: Any) -> bool:
    return all(isinstance(each, _PLAIN) for each in values)


def _arguments(model_space: Any) -> list[str]:
    """Names of the constructor's arguments. NNI wraps the constructor and keeps the original."""
    made = getattr(model_space, "_init_wrapped", model_space.__init__)
    return list(inspect.signature(made).parameters)[1:]


class _Coloured(nn.Module):
    """A network for three channels that is given images of one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        return self.network(x.expand(-1, 3, -1, -1))

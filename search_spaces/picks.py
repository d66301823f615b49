"""What the settings of `hf` and `timm` mean: a list holds choices, a pair is a range, any other value is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna

_PLAIN = (bool, int, float, str, type(None))


def is_searched(setting: Any) -> bool:
    """Whether a setting is a list of choices or a range."""
    return isinstance(setting, list | tuple)


def refuse_strange(settings: Mapping[str, Any]) -> None:
    """Refuses settings that are neither choices nor a range nor a fixed value.

    Raises:
        ValueError: a list is empty, or a tuple is not a pair (low, high) of two whole numbers or two floats.
    """
    for name, setting in settings.items():
        if isinstance(setting, list) and not setting:
            raise ValueError(f"{name}=[] holds no choice; write [one, another], (low, high) or a value")
        if isinstance(setting, tuple) and not _is_range(setting):
            raise ValueError(
                f"{name}={setting} is no range; write (low, high) with low below high, or a list of choices"
            )


def pick(trial: optuna.Trial, name: str, setting: Any) -> Any:
    """What `trial` picks from a setting. A pair of whole numbers gives whole numbers; choices may hold lists, too."""
    if isinstance(setting, tuple):
        low, high = setting
        return trial.suggest_int(name, low, high) if isinstance(low, int) else trial.suggest_float(name, low, high)
    if all(isinstance(each, _PLAIN) for each in setting):
        return trial.suggest_categorical(name, setting)
    return setting[trial.suggest_categorical(name, range(len(setting)))]


def _is_range(setting: tuple[Any, ...]) -> bool:
    if len(setting) != 2 or any(isinstance(each, bool) for each in setting):
        return False
    alike = all(isinstance(each, int) for each in setting) or all(isinstance(each, float) for each in setting)
    return alike and setting[0] < setting[1]

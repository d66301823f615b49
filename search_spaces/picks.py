"""What the settings of a search space mean: a list holds choices, a pair is a range, any other value is fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def pick(trial: optuna.Trial, name: str, setting: Any, *, log: bool = False) -> Any:
    """What `trial` picks from a setting. A fixed value is itself, and nothing is suggested.

    A pair of whole numbers gives whole numbers; choices may hold lists, too.

    Args:
        trial: suggests the value.
        name: the name of the suggestion.
        setting: choices, a range or a fixed value.
        log: whether a range is searched on a logarithmic scale.
    """
    if not is_searched(setting):
        return setting
    if isinstance(setting, tuple):
        low, high = setting
        suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
        return suggest(name, low, high, log=log)
    if all(isinstance(each, _PLAIN) for each in setting):
        return trial.suggest_categorical(name, setting)
    return setting[trial.suggest_categorical(name, range(len(setting)))]


def need_counts(*, least: int = 1, most: int | None = None, **settings: Any) -> None:
    """Refuses settings that may give something else than a whole number from `least` to `most`.

    Raises:
        ValueError: names the setting.
    """
    for name, setting in settings.items():
        if not all(type(each) is int and least <= each and (most is None or each <= most) for each in _values(setting)):
            numbers = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise ValueError(
                f"{name}={setting!r} is not allowed; write a whole number {numbers}, a list of such numbers, or a "
                "range (low, high)"
            )


def need_some_of(known: Sequence[Any], **settings: Any) -> None:
    """Refuses settings that may give something else than the known values.

    Raises:
        ValueError: names the setting and the known values.
    """
    for name, setting in settings.items():
        fits = all(any(type(each) is type(value) and each == value for value in known) for each in _values(setting))
        if isinstance(setting, tuple) or not fits:
            raise ValueError(
                f"{name}={setting!r} is not allowed; write one of {', '.join(map(repr, known))}, or a list of some"
            )


def _values(setting: Any) -> Sequence[Any]:
    return setting if isinstance(setting, list | tuple) else [setting]


def _is_range(setting: tuple[Any, ...]) -> bool:
    if len(setting) != 2 or any(isinstance(each, bool) for each in setting):
        return False
    alike = all(isinstance(each, int) for each in setting) or all(isinstance(each, float) for each in setting)
    return alike and setting[0] < setting[1]

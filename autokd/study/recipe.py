"""The settings of training that are searched: each is a fixed value, a list of choices, or a range."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from autokd.errors import InputError, nearest
from autokd.study.section import Section, as_tuple
from autokd.types import FROM_TEACHER, PRETRAINED, SCRATCH, Head, Recipe

if TYPE_CHECKING:
    import optuna


Drawn = TypeVar("Drawn", "Range", "WholeRange")


class Range(Section):
    """Numbers from `low` to `high`, both included."""

    low: float
    """The smallest value."""
    high: float
    """The largest value."""
    log: bool = False
    """Whether to draw evenly on a logarithmic scale."""
    step: float | None = None
    """The distance between values. Without it, every value in between is possible."""

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """A number from the range, suggested by `trial`."""
        return trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step)

    @model_validator(mode="after")
    def _can_be_drawn_from(self) -> Range:
        return _checked(self)


class WholeRange(Section):
    """Whole numbers from `low` to `high`, both included."""

    low: int
    """The smallest value."""
    high: int
    """The largest value."""
    log: bool = False
    """Whether to draw evenly on a logarithmic scale."""
    step: int | None = None
    """The distance between values. Without it, every whole number in between is possible."""

    def suggest(self, trial: optuna.Trial, name: str) -> int:
        """A whole number from the range, suggested by `trial`."""
        return trial.suggest_int(name, self.low, self.high, log=self.log, step=self.step or 1)

    @model_validator(mode="after")
    def _can_be_drawn_from(self) -> WholeRange:
        return _checked(self)


def _form(value: Any) -> str:
    if isinstance(value, Mapping | Range | WholeRange):
        return "range"
    return "choices" if isinstance(value, list | tuple) else "value"


def _checked(given: Drawn) -> Drawn:
    if not given.low < given.high:
        raise ValueError(
            f"low {given.low:g} is not below high {given.high:g}; to fix the setting, write its value alone"
        )
    if given.log and given.low <= 0:
        raise ValueError(f"low {given.low:g} has no logarithm; write a low above 0, or leave 'log' out")
    if given.step is None:
        return given
    if given.log:
        raise ValueError("'log' and 'step' cannot be combined; leave one out")
    if given.step <= 0 or not _divides(given.step, given.high - given.low):
        raise ValueError(
            f"step {given.step:g} does not lead from {given.low:g} to {given.high:g}; choose a step that "
            "divides the range"
        )
    return given


def _divides(step: float, width: float) -> bool:
    return math.isclose(width / step, round(width / step), rel_tol=1e-9) and width >= step


def _numbers(setting: Any) -> tuple[float, ...]:
    if isinstance(setting, Range | WholeRange):
        return (setting.low, setting.high)
    return setting if isinstance(setting, tuple) else (setting,)


def _different(choices: tuple[Any, ...]) -> tuple[Any, ...]:
    if not choices or len(set(choices)) < len(choices):
        raise ValueError(f"{list(choices)} given; write one or more different choices")
    return choices


def _above_zero(setting: Any) -> Any:
    for number in _numbers(setting):
        if number <= 0:
            raise ValueError(f"{number:g} given; it should be above 0")
    return setting


def _at_least_zero(setting: Any) -> Any:
    for number in _numbers(setting):
        if number < 0:
            raise ValueError(f"{number:g} given; it should be 0 or more")
    return setting


def _at_least_two(setting: Any) -> Any:
    for number in _numbers(setting):
        if number < 2:
            raise ValueError(f"{number} given; it should be 2 or more, because BatchNorm cannot train on one row")
    return setting


def _weight(setting: Any) -> Any:
    for number in _numbers(setting):
        if not 0 <= number <= 1:
            raise ValueError(f"{number:g} given; it should be between 0 (labels only) and 1 (teacher only)")
    # A continuous draw never gives the ends of a range, but 0 (plain training) must be tried.
    if isinstance(setting, Range) and not setting.log and setting.step is None:
        on_grid = _divides(0.05, setting.high - setting.low)
        return setting.model_copy(update={"step": 0.05}) if on_grid else setting
    return setting


_Choices = [BeforeValidator(as_tuple), AfterValidator(_different), Tag("choices")]
Setting = Annotated[
    Annotated[float, Tag("value")] | Annotated[tuple[float, ...], *_Choices] | Annotated[Range, Tag("range")],
    Discriminator(_form),
]
WholeSetting = Annotated[
    Annotated[int, Tag("value")] | Annotated[tuple[int, ...], *_Choices] | Annotated[WholeRange, Tag("range")],
    Discriminator(_form),
]
NameSetting = Annotated[
    Annotated[str, Tag("value")] | Annotated[tuple[str, ...], *_Choices],
    Discriminator(lambda value: "choices" if isinstance(value, list | tuple) else "value"),
]


class FileStart(Section):
    """First weights from a file."""

    file: str = Field(min_length=1)
    """The file of the weights. Write a file .safetensors, .pt, .pth or .npz, found from the current folder. Tensors of
    which a student has the name and the shape are taken over."""

    @property
    def name(self) -> str:
        """The name of the file, without its folder, by which recipes name this start."""
        return os.path.basename(self.file)


_START_WORDS = (SCRATCH, PRETRAINED, FROM_TEACHER)


def _start_form(given: Any) -> str:
    if isinstance(given, list | tuple):
        return "choices"
    return "file" if isinstance(given, Mapping | FileStart) else "word"


def _named_apart(starts: tuple[Any, ...]) -> tuple[Any, ...]:
    names = [start_name(start) for start in starts]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"'{name}' is named twice; leave one out, or rename a file so that all names differ")
    return starts


def start_name(start: str | FileStart) -> str:
    """The name of a start in a recipe."""
    return start if isinstance(start, str) else start.name


def _file_is_no_word(start: FileStart) -> FileStart:
    if start.name in _START_WORDS:
        raise ValueError(f"a file named '{start.name}' given; rename it, because this is the name of another start")
    return start


_Word = Annotated[Literal["scratch", "pretrained", "teacher"], Tag("word")]
_File = Annotated[FileStart, AfterValidator(_file_is_no_word), Tag("file")]
_Starts = Annotated[
    tuple[Annotated[_Word | _File, Discriminator(_start_form)], ...],
    BeforeValidator(as_tuple),
    Field(min_length=1),
    AfterValidator(_named_apart),
    Tag("choices"),
]
StartSetting = Annotated[_Word | _File | _Starts, Discriminator(_start_form)]


class RecipeSpace(Section):
    """How students may be trained: each setting a fixed value, a list of choices, or a range."""

    later_keys: ClassVar[frozenset[str]] = frozenset({"head_weights", "start"})

    temperature: Annotated[Setting, AfterValidator(_above_zero)] = Range(low=1, high=16, log=True)
    """The temperature T that softens the outputs of teacher and student. Write numbers above 0."""
    alpha: Annotated[Setting, AfterValidator(_weight)] = Range(low=0, high=1, step=0.05)
    """The weight of the teacher: 0 is plain training, 1 only distils. Write numbers from 0 to 1. A range without `step`
    whose width is a multiple of 0.05 gets that step, so that both ends are tried."""
    method: NameSetting = ("kd", "dkd", "dist", "logit_std")
    """The distillation losses. Write a plug-in's name, 'package.module:attr' or 'path/to/file.py:attr'."""
    lr: Annotated[Setting, AfterValidator(_above_zero)] = Range(low=1e-3, high=3e-2, log=True)
    """The peak learning rate of AdamW. Write numbers above 0."""
    weight_decay: Annotated[Setting, AfterValidator(_at_least_zero)] = Recipe.weight_decay
    """The weight decay of AdamW. Write numbers of 0 or more."""
    batch_size: Annotated[WholeSetting, AfterValidator(_at_least_two)] = Recipe.batch_size
    """How many rows each training step has. Write whole numbers of 2 or more."""
    head_weights: Annotated[
        Annotated[Literal["uncertainty"], Tag("word")]
        | Annotated[dict[str, Annotated[Setting, AfterValidator(_at_least_zero)]], Tag("mapping")],
        Discriminator(lambda value: "word" if isinstance(value, str) else "mapping"),
    ] = Field(default_factory=dict)
    """How much the loss of each head counts, where the task has several. Write a mapping {head: number of 0 or more},
    whose ratios count and in which a head that is left out has 1, or 'uncertainty' to have the weights learned."""
    start: StartSetting = "scratch"
    """Where a student's first weights come from. Write 'scratch' (drawn at random), 'pretrained' (as somebody trained
    them, if the search space knows such weights), 'teacher' (taken over from the teacher's layers), or {file: PATH}.
    A list of these is searched."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The distillation losses that a recipe may name."""
        return self.method if isinstance(self.method, tuple) else (self.method,)

    @property
    def starts(self) -> tuple[str | FileStart, ...]:
        """Where the first weights of students may come from."""
        return self.start if isinstance(self.start, tuple) else (self.start,)

    def suggest(self, trial: optuna.Trial, *, epochs: int, heads: Mapping[str, Head] | None = None) -> Recipe:
        """A recipe that `trial` suggests under the names `recipe.<setting>`. Fixed settings are not suggested.

        With alpha 0 the teacher does not matter, and where no head answers with logits, neither temperature nor method
        does. These two are then not suggested, but always 1 and `kd`, so that equal trainings have equal recipes.

        Args:
            trial: suggests the values.
            epochs: the full budget, 1 or more.
            heads: the heads of the task; None if they are known to answer with logits.
        """
        alpha = _pick(trial, "recipe.alpha", self.alpha)
        plain = alpha == 0 or (heads is not None and not any(head.compares_logits for head in heads.values()))
        weights: Any = self.head_weights
        if isinstance(weights, Mapping):
            weights = {name: _pick(trial, f"recipe.head_weights.{name}", each) for name, each in weights.items()}
        names = tuple(map(start_name, self.starts))
        return Recipe(
            alpha=alpha,
            temperature=1.0 if plain else _pick(trial, "recipe.temperature", self.temperature),
            method="kd" if plain else _pick(trial, "recipe.method", self.method),
            lr=_pick(trial, "recipe.lr", self.lr),
            weight_decay=_pick(trial, "recipe.weight_decay", self.weight_decay),
            batch_size=_pick(trial, "recipe.batch_size", self.batch_size),
            epochs=epochs,
            head_weights=weights,
            start=_pick(trial, "recipe.start", names if len(names) > 1 else names[0]),
        )

    def refuse_heads(self, heads: Collection[str]) -> None:
        """Refuses weights that do not fit the heads of a task.

        Raises:
            InputError: the task has one head, a weight is for a head that it does not have, or all weights are 0.
        """
        given = self.head_weights
        if not given:
            return
        if len(heads) == 1:
            raise InputError("recipe.head_weights: the task has one head, so there is nothing to weigh; leave it out")
        if isinstance(given, str):
            return
        for name in given:
            if name not in heads:
                raise InputError(
                    f"recipe.head_weights: the task has no head '{name}'; its heads are {', '.join(heads)}"
                    f"{nearest(name, heads)}"
                )
        if all(name in given and max(_numbers(given[name])) == 0 for name in heads):
            raise InputError(
                "recipe.head_weights: the weights of all heads are 0, so nothing would be learned; give one head a "
                "weight above 0"
            )


def _pick(trial: optuna.Trial, name: str, setting: Any) -> Any:
    if isinstance(setting, Range | WholeRange):
        return setting.suggest(trial, name)
    return trial.suggest_categorical(name, setting) if isinstance(setting, tuple) else setting

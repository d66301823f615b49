"""The facts about an exported student, as data and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic
import torch
from torch import Tensor

from autokd.errors import listed, said
from autokd.heads import Classes, Own, head_of, heads_of, width
from autokd.readings import Column, reading_of
from autokd.types import Head, Task


def _made(given: Any, make: Any) -> Any:
    if isinstance(given, Mapping):
        return make(given)
    if given is None or hasattr(given, "plain"):
        return given
    raise ValueError(f"a mapping should stand here, not {type(given).__name__}")


PlainHead = Annotated[
    Any,
    pydantic.BeforeValidator(lambda given: _made(given, head_of)),
    pydantic.PlainSerializer(lambda head: head.plain()),
]
"""A `Head`, which is plain data in files."""

PlainReading = Annotated[
    Any,
    pydantic.BeforeValidator(lambda given: _made(given, reading_of)),
    pydantic.PlainSerializer(lambda reading: reading and reading.plain()),
]
"""A `Reading`, which is plain data in files, or None."""


class TaskShape(pydantic.BaseModel):
    """The facts about a task that `build` reads, kept with a student so that it can be built without the data.

    Args:
        name: the name of the task.
        input_shape: the shape of one sample, without the batch.
        num_outputs: the length of the network's output.
        outputs: the names of the columns of the answers in a graph; empty if they have none.
        heads: what the outputs mean, by the name of each head; None if the task does not say.
        columns: the columns of the table from which the features of a sample are; empty if they are of no table.
        vocabulary: the number of ids of the tokens of texts, padding included; 0 if samples are no texts.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    name: str
    input_shape: tuple[int, ...]
    num_outputs: int
    outputs: tuple[str, ...] = ()
    heads: dict[str, PlainHead] | None = None
    columns: tuple[Column, ...] = ()
    vocabulary: int = 0

    def example(self, rows: int = 1) -> Tensor:
        """A batch of the form that the network takes: zeros, and for texts ids without padding."""
        make = torch.ones if self.vocabulary else torch.zeros
        return make(rows, *self.input_shape, dtype=torch.int64 if self.vocabulary else torch.float32)

    @pydantic.model_validator(mode="after")
    def _fits(self) -> TaskShape:
        if self.heads is not None and width(self.heads) != self.num_outputs:
            raise ValueError(f"the heads have {width(self.heads)} columns, and num_outputs is {self.num_outputs}")
        return self


class Card(pydantic.BaseModel):
    """Where a student comes from and how good it is.

    Args:
        space: the reference of the search space.
        space_digest: the digest of that space's source, as `registry.source_digest` gives it; "" if unknown.
        arch: the architecture that `suggest` picked.
        recipe: how these weights were trained.
        task: the task for which they were trained.
        values: the value of each objective; trained objectives are those of these weights.
        seeds: the seeds with which these weights were trained.
        teacher: the teacher's name, digest and values, as far as they are known.
        versions: the versions of the packages that trained the student, by name.
        reading: how raw rows become inputs; None if the task does not say.
        takes: what the file takes; `inputs` are raw rows after the reading.
        origin: when the weights were trained, in words; "" if unknown.
        picked_reading: what the search picked of the reading, such as `{"size": 24}`; empty if it did not vary that.
        start: where the first weights come from, and what the student took over of them; empty if it began from
            scratch.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    space: str
    space_digest: str
    arch: dict[str, Any]
    recipe: dict[str, Any]
    task: TaskShape
    values: dict[str, pydantic.FiniteFloat]
    seeds: tuple[int, ...]
    teacher: dict[str, Any]
    versions: dict[str, str]
    reading: PlainReading = None
    takes: Literal["raw rows", "inputs"] = "inputs"
    origin: str = ""
    picked_reading: dict[str, Any] = {}
    start: dict[str, Any] = {}

    @pydantic.model_serializer(mode="wrap")
    def _without_what_is_empty(self, plain: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The card without what came later, so that students of searches that do not vary it have the same file."""
        data: dict[str, Any] = plain(self)
        return {key: value for key, value in data.items() if key not in ("picked_reading", "start") or value}


class Config(Card):
    """The card together with its weights, as `config.json` holds them."""

    format: Literal["autokd-student-1", "autokd-student-2"]
    weights: str = pydantic.Field(pattern=r"^[^/\\]+\.safetensors$")
    weights_sha256: str

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_format_1(cls, given: Any) -> Any:
        """What the first format held: the names of the classes, and for arrays the shift and the divisor."""
        if not isinstance(given, dict) or given.get("format") != "autokd-student-1":
            return given
        config = {**given, "task": dict(given["task"]) if isinstance(given.get("task"), dict) else given.get("task")}
        inputs = config.pop("inputs", None)
        if isinstance(config["task"], dict):
            names = config["task"].pop("classes", ())
            if names and len(names) == config["task"].get("num_outputs"):
                config["task"] |= {"heads": {"": {"kind": "classes", "names": names}}, "outputs": names}
            if isinstance(inputs, dict):
                shape = config["task"].get("input_shape")
                config["reading"] = {"kind": "pixels", **inputs, "shape": shape}
                config["reading"].pop("order", None)
        return config


def task_shape(task: Task) -> TaskShape:
    """The facts about a task that are kept with a student."""
    heads = None if any(isinstance(head, Own) for head in heads_of(task).values()) else dict(heads_of(task))
    classes = tuple(map(str, getattr(task, "class_names", ())))
    if heads is None and len(classes) == task.num_outputs:
        heads = {"": Classes(classes)}
    columns = getattr(task, "columns", ())
    return TaskShape(
        name=task.name,
        input_shape=tuple(task.input_shape),
        num_outputs=task.num_outputs,
        outputs=_columns(heads or {}),
        heads=heads,
        columns=columns if isinstance(columns, tuple) and all(isinstance(each, Column) for each in columns) else (),
        vocabulary=getattr(task, "vocabulary", 0),
    )


def _columns(heads: Mapping[str, Head]) -> tuple[str, ...]:
    """The names of the columns in which a graph answers."""
    if any(len(head.shape) > 1 for head in heads.values()):
        return ()
    names = ((name, column) for name, head in heads.items() for column in getattr(head, "names", ()))
    return tuple(f"{name}.{column}" if name else column for name, column in names)


def model_card(card: Card) -> str:
    """The card as a page for people: Markdown with the head that model hubs read."""
    task = card.task
    values = "\n".join(f"| {name} | {value:.6g} |" for name, value in card.values.items())
    plain = card.model_dump(mode="json")
    details = {
        "architecture": card.arch,
        **({"picked reading": card.picked_reading} if card.picked_reading else {}),
        "recipe": card.recipe,
        **({"start": card.start} if card.start else {}),
        "teacher": card.teacher,
        "seeds": list(card.seeds),
        "reading": _in_short(plain["reading"]),
        "heads": plain["task"]["heads"],
        "versions": card.versions,
    }
    return f"""---
library_name: autokd
tags: [knowledge-distillation]
---
# A student for {task.name}

AutoKD distilled this student from a larger teacher. Its architecture is from the search space `{card.space}`.

| objective | value |
|---|---|
{values}

Scores were measured with these weights on the validation split.{_more_words(card)}

## Use
{_use(card)}
The network itself is `autokd.load_student("this/folder")`, in eval mode. It takes {_forms(task)}.

## How it was made
```json
{json.dumps(details, indent=2)}
```
"""


def _in_short(reading: Any) -> Any:
    """A reading as plain data for a page: a tokenizer, which may have thousands of tokens, is left to config.json."""
    if not isinstance(reading, Mapping) or "tokenizer" not in reading:
        return reading
    return {**reading, "tokenizer": f"of the kind {reading['tokenizer']['model']['type']}, see config.json"}


def _forms(task: TaskShape) -> str:
    """What the network takes and returns, in words."""
    if task.vocabulary:
        taken = f"ids, int64, shape\n(batch, at most {task.input_shape[0]} tokens), with 0 for padding at the end"
    else:
        taken = f"float32 inputs of shape\n(batch, {', '.join(map(str, task.input_shape))})"
    return f"{taken}, and returns outputs of shape (batch, {task.num_outputs})"


def _more_words(card: Card) -> str:
    """What else is to be known of these values and weights, in sentences."""
    return f"{_words_on_latency(card)}{_words_on_origin(card)}{_words_on_start(card)}"


def _words_on_latency(card: Card) -> str:
    """What was timed, if anything was."""
    if "latency_ms" not in card.values:
        return ""
    return (
        " The latency is that of the network on inputs that are ready; what is done with a raw row before, such as "
        "resizing a photo or cutting a text into tokens, is not in it."
    )


def _words_on_origin(card: Card) -> str:
    return f" Origin of the weights: {card.origin}." if card.origin else ""


def _words_on_start(card: Card) -> str:
    """Where the student began, if not from scratch."""
    start = card.start
    if not start:
        return ""
    counts = start["parameters"]
    taken = counts["whole"] + counts["cut"]
    return (
        f" Before its training the student took over {taken:,} of its {taken + counts['new']:,} parameters (start: "
        f"{start['from']}); trainings with other seeds begin with the same ones."
    )


def _use(card: Card) -> str:
    """Code that answers rows, and what these are."""
    heads = card.task.heads
    answers = "answers = student.predict(rows)" if heads else "outputs = student.outputs(rows)"
    rows = (
        "Rows are float32 inputs, normalised as in training; the task does not say how they are made from raw rows."
        if card.reading is None
        else f"Rows are {card.reading.words}."
    )
    return f"""```python
import autokd

student = autokd.load_predictor("this/folder")
{answers}
```
{rows} {_words_on_heads(heads) if heads else ""}
"""


def _words_on_heads(heads: Mapping[str, Head]) -> str:
    """What the answers are, as a sentence."""
    named = [f"`{name}`: {head.summary}" if name else head.summary for name, head in heads.items()]
    return f"The student answers {listed(named)}."


def reason(error: BaseException) -> str:
    """The message of an exception on one line of at most 300 characters; an OSError without its number."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else said(error)

"""What is known of an exported student, as data and as a page."""

from __future__ import annotations

import json
from typing import Any, Literal

import pydantic


class TaskShape(pydantic.BaseModel):
    """What `build` reads of a task, kept with a student so that it can be built where the data are not.

    Args:
        name: of the task.
        input_shape: of one sample, without the batch.
        num_outputs: length of the network's output.
        classes: names of the outputs in order; empty where they have none.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    name: str
    input_shape: tuple[int, ...]
    num_outputs: int
    classes: tuple[str, ...] = ()


class Card(pydantic.BaseModel):
    """Where a student comes from and how good it is.

    Args:
        space: reference of the search space.
        space_digest: of that space's source, as `registry.source_digest` gives it; "" where unknown.
        arch: architecture, as `suggest` picked it.
        recipe: how it was trained.
        task: what it was trained for.
        values: objectives by name.
        seeds: of the trainings behind the values.
        teacher: name, digest, values: whatever is known.
        versions: of the packages that trained it, by name.
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


class Config(Card):
    """The card with the weights it belongs to: what `config.json` holds."""

    format: Literal["autokd-student-1"]
    weights: str = pydantic.Field(pattern=r"^[^/\\]+\.safetensors$")
    weights_sha256: str


def model_card(card: Card) -> str:
    """The card for people, as Markdown with the head that model hubs read."""
    task, shape = card.task, ", ".join(str(size) for size in card.task.input_shape)
    values = "\n".join(f"| {name} | {value:.6g} |" for name, value in card.values.items())
    details = {
        "architecture": card.arch,
        "recipe": card.recipe,
        "teacher": card.teacher,
        "seeds": list(card.seeds),
        "classes": list(task.classes),
        "versions": card.versions,
    }
    return f"""---
library_name: autokd
tags: [knowledge-distillation]
---
# A student for {task.name}

Distilled by AutoKD from a larger teacher; search space `{card.space}`.

| objective | value |
|---|---|
{values}

Values are the search's own, on its validation split.

## Use
```python
import autokd

student = autokd.load_student("this/folder")  # in eval mode
outputs = student(inputs)
```
Inputs: float32, shape (batch, {shape}), normalised as in training.
Outputs: shape (batch, {task.num_outputs}).

## How it was made
```json
{json.dumps(details, indent=2)}
```
"""


def reason(error: BaseException) -> str:
    """What an exception says, on one line of at most 300 characters."""
    said = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(said.split())[:300] or type(error).__name__

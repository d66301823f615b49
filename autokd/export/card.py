"""The facts about an exported student, as data and as a page."""

from __future__ import annotations

import json
from typing import Any, Literal

import pydantic

from autokd.errors import said


class TaskShape(pydantic.BaseModel):
    """The facts about a task that `build` reads, kept with a student so that it can be built without the data.

    Args:
        name: the name of the task.
        input_shape: the shape of one sample, without the batch.
        num_outputs: the length of the network's output.
        classes: the names of the outputs in order; empty if they have none.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    name: str
    input_shape: tuple[int, ...]
    num_outputs: int
    classes: tuple[str, ...] = ()


class Inputs(pydantic.BaseModel):
    """How raw rows become inputs of the student: `(raw - shift) / divisor`, as float32.

    Args:
        raw: the type of the raw numbers, such as `uint8`.
        order: the order of the dimensions of a sample: channels, height, width; or features.
        shift, divisor: one number of each for every channel or feature.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    raw: str
    order: tuple[str, ...]
    shift: tuple[pydantic.FiniteFloat, ...]
    divisor: tuple[pydantic.FiniteFloat, ...]


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
        inputs: how raw rows become inputs; None if the task does not say.
        origin: when the weights were trained, in words; "" if unknown.
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
    inputs: Inputs | None = None
    origin: str = ""


class Config(Card):
    """The card together with its weights, as `config.json` holds them."""

    format: Literal["autokd-student-1"]
    weights: str = pydantic.Field(pattern=r"^[^/\\]+\.safetensors$")
    weights_sha256: str


def model_card(card: Card) -> str:
    """The card as a page for people: Markdown with the head that model hubs read."""
    task, shape = card.task, ", ".join(str(size) for size in card.task.input_shape)
    values = "\n".join(f"| {name} | {value:.6g} |" for name, value in card.values.items())
    details = {
        "architecture": card.arch,
        "recipe": card.recipe,
        "teacher": card.teacher,
        "seeds": list(card.seeds),
        "inputs": card.inputs and card.inputs.model_dump(mode="json"),
        "classes": list(task.classes),
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

Scores were measured with these weights on the validation split.{_words_on_origin(card)}

## Use
```python
{_imports(card)}

student = autokd.load_student("this/folder")  # in eval mode
{_use(card)}
```
{_words_on_inputs(card, shape)}
The student returns outputs of shape (batch, {task.num_outputs}).

## How it was made
```json
{json.dumps(details, indent=2)}
```
"""


def _words_on_origin(card: Card) -> str:
    return f" Origin of the weights: {card.origin}." if card.origin else ""


def _imports(card: Card) -> str:
    return (
        "import autokd"
        if card.inputs is None
        else "import json\nfrom pathlib import Path\n\nimport autokd\nimport torch"
    )


def _use(card: Card) -> str:
    """Code that turns raw rows into inputs."""
    if card.inputs is None:
        return "outputs = student(inputs)"
    dims = ", 1" * (len(card.task.input_shape) - 1)
    return f"""how = json.loads(Path("this/folder/config.json").read_text())["inputs"]
shift, divisor = (torch.tensor(how[key], dtype=torch.float64).reshape(-1{dims}) for key in ("shift", "divisor"))
inputs = ((torch.as_tensor(raw).double() - shift) / divisor).float()
outputs = student(inputs)"""


def _words_on_inputs(card: Card, shape: str) -> str:
    if card.inputs is None:
        return f"The student takes float32 inputs of shape (batch, {shape}), normalised as in training."
    order, each = ", ".join(card.inputs.order), "channel" if len(card.inputs.order) > 1 else "feature"
    return (
        f"Raw rows are {card.inputs.raw} of shape (batch, {shape}), in the order {order}. They become inputs by "
        f"`(raw - shift) / divisor` in float32. Each {each} has its own shift and divisor; they stand in "
        "`config.json` and below."
    )


def reason(error: BaseException) -> str:
    """The message of an exception on one line of at most 300 characters; an OSError without its number."""
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else said(error)

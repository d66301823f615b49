"""A classifier of transformers, which reads what a task gives: photos, or texts in the numbers of the task's pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import InputError
from autokd.teachers.hub import plain_config


class HfNetwork(nn.Module):
    """Gives the logits of a classifier of transformers.

    Args:
        model: the classifier.
        numbers: for texts, the model's number of each piece of the task, of which the first is padding; empty if the
            inputs are the model's own numbers, as floats. None if the model reads images.
    """

    numbers: Tensor | None

    def __init__(self, model: Any, numbers: Tensor | None) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("numbers", numbers, persistent=False)

    def forward(self, x: Tensor) -> Any:
        """The logits, shape (rows, outputs)."""
        if self.numbers is None:
            return self.model(pixel_values=x).logits
        if len(self.numbers):
            ids, there = self.numbers[x], x != 0
        else:
            ids = x.round().long()
            there = ids != self.model.config.pad_token_id
        return self.model(input_ids=ids, attention_mask=there.long()).logits

    def origin(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights by name without the prefix of the base model, and the configuration as plain data.

        The embeddings of texts have a row for each piece of the task, in the task's numbers, of which 0 is padding. So
        do the positions, where a model counts them from the number of its padding.
        """
        model: Any = self.model
        prefix = f"{model.base_model_prefix}."
        tensors = {name.removeprefix(prefix): value for name, value in model.state_dict().items()}
        arch = plain_config(model.config)
        if self.numbers is not None and len(self.numbers):
            tables = {name.removeprefix(prefix): module for name, module in model.named_modules() if _is_table(module)}
            for name, table in tables.items():
                if table is model.get_input_embeddings():
                    tensors[f"{name}.weight"] = table.weight[self.numbers]
                elif counts_from_padding(name, table):
                    tensors[f"{name}.weight"] = table.weight[table.padding_idx :]
                    arch["max_position_embeddings"] -= table.padding_idx
            arch |= {"vocab_size": len(self.numbers), "pad_token_id": 0}
        return {name: value.detach().clone() for name, value in tensors.items()}, arch


def last_linear(model: Any) -> tuple[str, nn.Linear]:
    """The layer that gives the logits, with its name.

    Raises:
        InputError: the model has no such layer.
    """
    base = {id(module) for module in model.base_model.modules()} if model.base_model is not model else set()
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module) not in base
    ]
    if not found:
        raise InputError(
            f"teacher.hf: {type(model).__name__} has no linear layer that gives its classes, so it cannot be used; "
            "name a checkpoint of a classifier such as BERT, RoBERTa or ViT"
        )
    return found[-1]


def put_head(model: Any, head: nn.Linear) -> None:
    """Puts a layer in the place of the one that gives the logits."""
    name, _ = last_linear(model)
    parent, _, child = name.rpartition(".")
    model.get_submodule(parent).register_module(child, head)
    model.config.num_labels = model.num_labels = head.out_features


def head_of_columns(head: nn.Linear, columns: Sequence[int]) -> nn.Linear:
    """A layer that gives some of the numbers that another gives, in this order."""
    made = nn.Linear(head.in_features, len(columns), bias=head.bias is not None)
    with torch.no_grad():
        made.weight.copy_(head.weight[[*columns]])
        if head.bias is not None:
            made.bias.copy_(head.bias[[*columns]])
    return made


def new_head(head: nn.Linear, outputs: int, deviation: float) -> nn.Linear:
    """A layer of so many outputs, drawn as transformers draws the first weights of a head."""
    made = nn.Linear(head.in_features, outputs)
    nn.init.normal_(made.weight, std=deviation)
    nn.init.zeros_(made.bias)
    return made


def longest(model: Any, said: object) -> int:
    """The most tokens that a model reads of a text.

    Args:
        model: the classifier.
        said: what the configuration of its tokenizer says, if it says a number.
    """
    tables = [(name, module) for name, module in model.named_modules() if _is_table(module)]
    sizes = [
        table.num_embeddings - (table.padding_idx + 1 if counts_from_padding(name, table) else 0)
        for name, table in tables
        if name.endswith("position_embeddings")
    ]
    known = getattr(model.config, "max_position_embeddings", None)
    sizes = sizes or ([known] if isinstance(known, int) and known > 0 else [])
    return min([512 if not sizes else min(sizes), *([int(said)] if isinstance(said, int | float) else [])])


def numbers_of(pieces: Sequence[str], known: Mapping[str, int], model: Any, name: str) -> Tensor:
    """The model's number of each piece of a task, of which the first is padding.

    Args:
        pieces: the pieces by the task's numbers.
        known: the model's numbers, as the file of its tokenizer has them.
        model: the classifier.
        name: what messages call it.

    Raises:
        InputError: the model has no number for a piece, or no row for a number.
    """
    lacking = [piece for piece in pieces[1:] if piece not in known]
    if lacking:
        shown = ", ".join(repr(piece) for piece in lacking[:3])
        raise InputError(
            f"teacher.hf: '{name}' does not know {len(lacking):,} of the {len(pieces):,} pieces into which the "
            f"teacher's tokenizer cuts texts, such as {shown}; leave 'tokenizer' out of the teacher's reading, so that "
            "it reads by its own"
        )
    padding = model.config.pad_token_id
    if padding is None:
        padding = known.get(pieces[0])
    if padding is None:
        raise InputError(
            f"teacher.hf: '{name}' has no token for padding, so it cannot read texts of different lengths side by "
            "side; write pad_token_id into its config.json"
        )
    model.config.pad_token_id = int(padding)
    numbers = torch.tensor([int(padding), *(known[piece] for piece in pieces[1:])])
    rows = len(model.get_input_embeddings().weight)
    if int(numbers.max()) >= rows:
        raise InputError(
            f"teacher.hf: the tokenizer of '{name}' has {int(numbers.max()) + 1:,} pieces, and the network has "
            f"embeddings for {rows:,}, so they do not belong together; put the tokenizer "
            "with which it was trained into the folder"
        )
    return numbers


def _is_table(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding)


def counts_from_padding(name: str, table: nn.Embedding) -> bool:
    """Whether a table of positions begins after the number of padding, as that of RoBERTa does."""
    return name.endswith("position_embeddings") and table.padding_idx is not None

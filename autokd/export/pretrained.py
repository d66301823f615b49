"""Writes a student of transformers to a folder from which transformers loads it without AutoKD."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from torch import nn

from autokd.errors import FOREIGN, InputError
from autokd.export.card import Card, reason
from autokd.heads import heads_of
from autokd.readings import Texts
from autokd.types import Task


def write_pretrained(student: nn.Module, path: Path, card: Card) -> str:
    """Has a student that can `save_pretrained` write itself to a folder beside `path`, with the tokenizer of its texts.

    The library transformers saves its models by a method of this name. The folder is left out if the outputs of the
    student are no logits of a single head, because values are standardised, which the folder could not say.

    Returns:
        the name of the folder; "" if there is none.

    Raises:
        InputError: the student cannot write itself.
    """
    save = getattr(student, "save_pretrained", None)
    heads = list(heads_of(cast(Task, card.task)).values())
    if not callable(save) or len(heads) != 1 or not heads[0].compares_logits:
        return ""
    folder = path.with_name(f"{path.stem}.transformers")
    folder.mkdir()
    try:
        save(folder)
    except OSError:
        raise
    except FOREIGN as error:
        raise InputError(f"its save_pretrained raised {type(error).__name__}: {reason(error)}") from error
    if isinstance(card.reading, Texts):
        _write_tokenizer(card.reading, folder)
    return folder.name


def use_of(folder: str, card: Card) -> str:
    """The section of a model card on this folder."""
    texts = isinstance(card.reading, Texts)
    model = "AutoModelForSequenceClassification" if texts else "AutoModelForImageClassification"
    rows = """
tokenizer = AutoTokenizer.from_pretrained(folder)
batch = tokenizer(["a text"], padding=True, truncation=True, return_tensors="pt")
logits = model(**batch).logits"""
    return f"""
## Without AutoKD
```python
from transformers import {model}{", AutoTokenizer" if texts else ""}

folder = "this/folder/{folder}"
model = {model}.from_pretrained(folder)
{rows.lstrip() if texts else "logits = model(pixel_values=inputs).logits  # inputs are normalised as in training"}
```
"""


def _write_tokenizer(reading: Texts, folder: Path) -> None:
    """Writes the tokenizer as transformers reads it; it cuts texts where the student's reading cuts them."""
    tokens = reading.tokens
    before, after = tokens.around
    special = {"pad_token": 0, "unk_token": tokens.unknown, **_ends(before, after)}
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": reading.length,
        "model_input_names": ["input_ids", "attention_mask"],
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
        **{name: tokens.tokenizer.id_to_token(place) for name, place in special.items() if place is not None},
    }
    (folder / "tokenizer.json").write_text(tokens.json, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )


def _ends(before: tuple[int, ...], after: tuple[int, ...]) -> dict[str, int]:
    return {**({"cls_token": before[0]} if before else {}), **({"sep_token": after[-1]} if after else {})}

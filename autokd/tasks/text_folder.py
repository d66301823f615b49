"""The folder of a task of texts: the texts, and what each tokenizer makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autokd.npy import open_npy
from autokd.tasks.folder import in_memory, stored_part, write_description
from autokd.tasks.texts import RawTexts, TextTask
from autokd.tasks.tokenized import file_name, write_tokenized


def write_texts(task: TextTask, folder: Path, origin: Mapping[str, Any] | None) -> None:
    """Writes a task into a folder. `origin` says of which data it was made, if that is known."""
    np.save(folder / "texts.npy", task.texts.data)
    np.save(folder / "text_ends.npy", task.texts.ends)
    np.save(folder / "trained_on.npy", task.trained_on.numpy())
    if task.groups is not None:
        np.save(folder / "groups.npy", task.groups.numpy())
    own = {"texts": {"settings": dict(task.settings), "content": task.content}}
    write_description(task, folder, own, origin, version=4)
    for key, found in task.made.items():
        tokenizer, vocabulary = json.loads(key)
        write_tokenized(found, folder, file_name(tokenizer, vocabulary))


def texts_in(folder: Path, described: Mapping[str, Any]) -> TextTask:
    """The task of texts in a folder whose files are those that were written.

    Raises:
        ValueError: a tokenizer is not the one that the task was written with.
    """
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in described["texts"]["settings"].items()
    }
    task = TextTask(
        **stored_part(folder, described),
        texts=RawTexts(open_npy(folder / "texts.npy"), np.array(open_npy(folder / "text_ends.npy"))),
        settings=settings,
        trained_on=in_memory(folder / "trained_on.npy"),
        content=described["texts"]["content"],
        groups=in_memory(folder / "groups.npy") if "groups.npy" in described["sha256"] else None,
        folder=folder,
    )
    if task.readings:
        return task
    seen = task.seen_through({})
    if seen.digest != task.digest:
        raise ValueError("its tokenizer is not the one that it was written with")
    return seen

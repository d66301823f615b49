"""Checkpoints of transformers: a folder, or a repository of the Hugging Face Hub, from which no code is run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autokd.errors import FOREIGN, InputError, said
from autokd.files import read_json
from autokd.weights import is_complete

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_WANTED = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "model*.safetensors",
    _INDEX,
)
"""The files that are fetched from the hub."""
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


def checkpoint(name: str) -> Path:
    """The folder of a checkpoint. A name that is no folder is looked up in the hub, and its files are fetched once.

    Raises:
        InputError: there is no such checkpoint, or it has no whole weights as safetensors.
    """
    folder = Path(os.path.expanduser(name))
    if not folder.is_dir():
        folder = _fetched(name)
    if not (folder / "config.json").is_file():
        raise InputError(
            f"teacher.hf: the folder {folder} has no config.json, so it is no checkpoint of transformers; name a "
            "folder that save_pretrained wrote"
        )
    for file in _files_of_weights(folder):
        if not is_complete(file):
            raise InputError(
                f"teacher.hf: the weights in {file} are not whole; copy the file again, or save the network again"
            )
    return folder


def config_of(folder: Path) -> Any:
    """The configuration of a checkpoint, as transformers reads it.

    Raises:
        InputError: transformers is not installed, or does not know such a model.
    """
    transformers = _library("transformers")
    try:
        with quiet():
            return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except FOREIGN as error:
        raise InputError(
            f"teacher.hf: transformers cannot read {folder / 'config.json'} ({said(error, first_line=True)}); name a "
            "checkpoint of a model type that transformers itself has"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Hides the progress bars and the notes of transformers; AutoKD says itself which weights are new."""
    logging = _library("transformers").utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _files_of_weights(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        try:
            names = sorted(set(read_json(folder / _INDEX)["weight_map"].values()))
            return [folder / Path(name).name for name in names]
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(f"teacher.hf: {folder / _INDEX} cannot be read ({said(error)}); copy it again") from None
    if any(file for pattern in _PICKLED for file in folder.glob(pattern)):
        raise InputError(
            f"teacher.hf: the weights in {folder} are pickled, and loading a pickle can run code, so they were not "
            "opened; load the model where you trust it, and write it by model.save_pretrained(folder)"
        )
    raise InputError(
        f"teacher.hf: the folder {folder} has no weights ({_WEIGHTS}); name a folder that model.save_pretrained wrote"
    )


def _fetched(name: str) -> Path:
    """The folder in the cache of the hub that holds a repository's files."""
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name):
        raise InputError(
            f"teacher.hf: there is no folder {name}; write the path of a folder that save_pretrained wrote, or a name "
            "in the Hugging Face Hub such as owner/model"
        )
    hub = _library("huggingface_hub")
    try:
        with quiet():
            return Path(hub.snapshot_download(name, allow_patterns=[*_WANTED]))
    except FOREIGN as error:
        raise InputError(
            f"teacher.hf: there is no folder {name}, and the Hugging Face Hub did not give a checkpoint of this name "
            f"({said(error, first_line=True)}); check the name, or run `hf download {name}` where there is a network, "
            "and write the path of that folder"
        ) from None


def _library(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError as error:
        raise InputError(f"teacher.hf: {error}; run: pip install 'autokd[hf]'") from None


def plain_config(config: Any) -> dict[str, Any]:
    """A configuration as plain data, without the place that it was read from."""
    plain: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return {name: value for name, value in plain.items() if name != "_name_or_path"}

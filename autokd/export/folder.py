"""Writes a student to a folder (weights as safetensors, a config and a model card), and loads it from there."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from pathlib import Path
from typing import cast

import pydantic
import safetensors
from torch import Tensor, nn

from autokd import registry
from autokd.errors import InputError
from autokd.export.card import Card, Config, model_card, reason
from autokd.export.pretrained import use_of, write_pretrained
from autokd.files import given_path, open_file, read_bytes
from autokd.networks import example_of, materialised
from autokd.types import SearchSpace, Task
from autokd.urls import files_at, is_url
from autokd.weights import load_weights, save_weights


def safetensors_folder(student: nn.Module, inputs: Tensor, path: Path, card: Card) -> str:
    """Writes weights as safetensors, `config.json` and a model card; `load_predictor` loads the student from these.

    A student of transformers is also written as transformers writes models, to a folder beside these.
    """
    save_weights(student, path, shared_once=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    config = Config(format="autokd-student-2", weights=path.name, weights_sha256=digest, **dict(card))
    path.with_name("config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    also = write_pretrained(student, path, card)
    path.with_name("README.md").write_text(model_card(card) + (use_of(also, card) if also else ""), encoding="utf-8")
    words = f"; transformers loads it from {also} without AutoKD" if also else ""
    size = f"{path.stat().st_size:,} bytes"
    return f"{size}, with config.json and README.md; autokd.load_predictor(folder) loads it{words}"


def load_student(folder: str | Path, *, space: object = None) -> nn.Module:
    """The student that was exported to a folder as safetensors, in eval mode, on the CPU.

    The search space that the folder names is only looked up among installed plug-ins, so a folder from elsewhere cannot
    make AutoKD import code. If the source of the space has changed since the export, the log warns.

    Args:
        folder: the folder with the weights and `config.json`: a path or, as text, an fsspec URL.
        space: the search space or a reference to it, if it is not an installed plug-in; None takes the installed one.

    Raises:
        InputError: the folder is not an exported student, its space is not installed, or the weights do not fit.
    """
    return load_exported(folder, space=space)[0]


def load_exported(folder: str | Path, *, space: object) -> tuple[nn.Module, Config]:
    """The network that `load_student` gives, and what `config.json` says of it."""
    if is_url(folder):
        return _load_from_url(str(folder), space)
    place = given_path("folder", folder)
    config = read_config(place)
    weights = place / config.weights
    found = registry.resolve("search_spaces", _installed(config.space) if space is None else space)
    digest = registry.source_digest(found)
    if config.space_digest and digest and digest != config.space_digest:
        logging.getLogger("autokd").warning(
            "The source of search space '%s' has changed since this student was exported.", config.space
        )
    try:
        student = cast(SearchSpace, found).build(dict(config.arch), cast(Task, config.task))
        materialised(student, example_of(cast(Task, config.task)))
    except Exception as error:
        raise InputError(
            f"'{folder}': search space '{config.space}' cannot build this student: {reason(error)}"
        ) from error
    try:
        with open_file(weights) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != config.weights_sha256:
            raise InputError(f"'{weights}' is not the file that config.json describes; export the student again")
    except OSError as error:
        raise InputError(f"cannot read '{weights}': {reason(error)}; export the student again") from error
    try:
        load_weights(student, weights)
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise InputError(f"'{weights}' does not fit search space '{config.space}': {reason(error)}") from error
    return student.eval(), config


def _load_from_url(url: str, space: object) -> tuple[nn.Module, Config]:
    files, at = files_at(url, what="cannot load:")
    with tempfile.TemporaryDirectory(prefix="autokd-") as copied:
        try:
            files.get_file(f"{at}/config.json", f"{copied}/config.json")
            name = read_config(Path(copied)).weights
            files.get_file(f"{at}/{name}", f"{copied}/{name}")
        except InputError:
            raise
        except Exception as error:  # each file system has errors of its own
            raise InputError(f"'{url}' is no exported student: {reason(error)}; name the folder itself") from error
        return load_exported(copied, space=space)


def read_config(folder: Path) -> Config:
    """The `config.json` of an exported student.

    Raises:
        InputError: the folder is not an exported student, or the file is damaged.
    """
    path = folder / "config.json"
    try:
        return Config.model_validate_json(read_bytes(path))
    except OSError as error:
        raise InputError(f"'{folder}' is no exported student: {reason(error)}; name the folder itself") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise InputError(f"'{path}' does not describe an exported student: {where}: {first['msg'].lower()}") from error


def _installed(space: str) -> str:
    if registry.is_installed("search_spaces", space):
        return space
    known = registry.installed("search_spaces")
    raise InputError(
        f"this student's search space '{space}' is no installed plug-in (known: {', '.join(known) or 'none'}), and "
        f"AutoKD imports no code that only a folder names; pass it yourself: load_student(folder, space='{space}')"
    )

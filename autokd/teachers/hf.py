"""Teachers from transformers, by a folder or by their name in the Hugging Face Hub, trained further where asked."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autokd.errors import FOREIGN, InputError, listed, said
from autokd.files import read_json
from autokd.heads import heads_of
from autokd.readings.tokenizer_files import numbers_in, tokenizer_file
from autokd.study.section import as_data
from autokd.study.teacher import HfSection
from autokd.teachers.columns import columns_of, key_of
from autokd.teachers.hf_network import (
    HfNetwork,
    head_of_columns,
    last_linear,
    longest,
    new_head,
    numbers_of,
    put_head,
)
from autokd.teachers.hub import checkpoint, config_of, quiet
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.own_reading import as_package_says, checkpoint_reading
from autokd.teachers.through import Through, refuse_searched, seen_by
from autokd.teachers.trained import Train, from_training
from autokd.teachers.weights import network_digest
from autokd.types import Task, Teacher

_LOG = logging.getLogger("autokd")


def from_hf(spec: HfSection, task: Task, *, folder: Path, train: Train, seed: int) -> Teacher:
    """The classifier of a checkpoint, which reads rows in its own way, and was trained here if the section says so.

    Args:
        spec: the section.
        task: the task of the students.
        folder: keeps a teacher that is trained here.
        train: trains a network in place.
        seed: the seed of a new head.

    Raises:
        InputError: the checkpoint cannot be used, does not fit the task, or needs training that the section leaves out.
    """
    home = checkpoint(spec.hf)
    name = Path(spec.hf).name or home.resolve().name
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, missing = _loaded(home, task, name)
        new = _put_right_head(model, missing, spec, task, name)
    numbers: Tensor | None = None
    if len(task.input_shape) == 3:
        seen = _seen_photos(spec, task, model, home, name)
    else:
        seen, numbers = _seen_texts(spec, task, model, home, name)
    network = HfNetwork(model, numbers).eval()
    if spec.epochs:
        begun = {"network": network_digest(network)}
        train = partial(train, new=new)
        from_training(spec, network, seen, begun=begun, folder=folder, train=train, seed=seed)
    teacher = NetworkTeacher(name, network_digest(network), network, standardised=spec.epochs > 0)
    return teacher if seen is task else Through(teacher, seen)


def _loaded(home: Path, task: Task, name: str) -> tuple[Any, set[str]]:
    """The classifier of a checkpoint, and the names of the weights that the checkpoint does not have."""
    config = config_of(home)
    kind = "images" if len(task.input_shape) == 3 else "texts"
    import transformers

    known, auto = {
        "images": (
            transformers.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
            transformers.AutoModelForImageClassification,
        ),
        "texts": (
            transformers.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
            transformers.AutoModelForSequenceClassification,
        ),
    }[kind]
    if type(config) not in known:
        raise InputError(
            f"teacher.hf: '{name}' is of the model type '{config.model_type}', of which transformers has no classifier "
            f"of {kind}, and the rows of task '{task.name}' are read as {kind}; name another checkpoint"
        )
    try:
        with quiet():
            model, info = auto.from_pretrained(
                home,
                config=config,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except FOREIGN as error:
        raise InputError(
            f"teacher.hf: the weights in {home} cannot be loaded into the network of its config.json "
            f"({said(error, first_line=True)}); save model and configuration together by save_pretrained"
        ) from None
    for module in model.modules():
        if hasattr(module, "name_or_path"):
            module.name_or_path = ""  # a moved folder holds the same network
    for key, given, own in sorted(info["mismatched_keys"]):
        raise InputError(
            f"teacher.hf: '{key}' has the shape {tuple(given)} in the weights in {home}, and {tuple(own)} in the "
            "network of its config.json; name the folder of a checkpoint whose files belong together"
        )
    missing = set(info["missing_keys"])
    lacking = sorted(key for key in missing if key.startswith(f"{model.base_model_prefix}.") and "pooler" not in key)
    if lacking:
        raise InputError(
            f"teacher.hf: the weights in {home} lack {len(lacking):,} tensors of the network of its config.json, such "
            f"as '{lacking[0]}'; they belong to another network, so name the folder of a whole checkpoint"
        )
    return model, missing


def _put_right_head(model: Any, missing: set[str], spec: HfSection, task: Task, name: str) -> list[nn.Module]:
    """Has the classifier answer in the columns of the task, by the names of its classes or by a new head.

    Returns:
        the new layer, or nothing.
    """
    new: list[nn.Module] = []
    heads = heads_of(task)
    asked = [each for one in heads.values() for each in one.names]
    head_name, head = last_linear(model)
    there = f"{head_name}.weight" not in missing
    labels = [str(model.config.id2label.get(number, number)) for number in range(head.out_features)]
    kinds = {one.kind for one in heads.values()}
    if "positions" in kinds:
        raise InputError(
            f"teacher.hf: '{name}' gives one answer for each row, and task '{task.name}' asks for one at each "
            "position; give another teacher"
        )
    if strange := [each for each in spec.classes if each not in asked or len(heads) > 1]:
        raise InputError(
            f"teacher.classes: '{strange[0]}' is no class of a head that task '{task.name}' has alone; its classes are "
            f"{listed(asked)}"
        )
    columns = _columns(labels, asked, task.num_outputs, spec.classes) if there and len(heads) == 1 else None
    if columns is not None and not (spec.epochs and "values" in kinds):
        if columns != [*range(len(labels))]:
            put_head(model, head_of_columns(head, columns))
            pairs = [f"{labels[column]} for {asked[place]}" for place, column in enumerate(columns)]
            _LOG.info("The teacher, %s, answers for the task's classes by name: %s.", name, listed(pairs))
        elif asked and [*map(key_of, labels)] != [*map(key_of, asked)]:
            _LOG.info(
                "The teacher, %s, has as many classes as the task, and no names for them that could be compared. They "
                "are taken by number: %s.",
                name,
                listed([f"{label} for {each}" for label, each in zip(labels, asked, strict=True)]),
            )
    elif spec.epochs:
        _LOG.info("The teacher, %s, gets a new head for the %d outputs of the task.", name, task.num_outputs)
        made = new_head(head, task.num_outputs, getattr(model.config, "initializer_range", 0.02))
        put_head(model, made)
        new.append(made)
    elif not there:
        raise InputError(
            f"teacher.hf: '{name}' has no head for classes, because it was trained for another purpose; write epochs: "
            "1 (or more), and AutoKD puts a head on and trains the network on the training labels"
        )
    else:
        raise InputError(
            f"teacher.hf: '{name}' answers for {listed(labels)}, and task '{task.name}' asks for "
            f"{listed(asked) if asked else f'{task.num_outputs} outputs'}; write under the "
            f"teacher's key classes which is which, as in classes: {{{asked[0] if asked else 0}: {labels[0]}}}, or "
            "write epochs: 1 to have a new head trained"
        )
    if asked and len(heads) == 1:
        model.config.id2label = dict(enumerate(asked))
        model.config.label2id = {each: number for number, each in enumerate(asked)}
    return new


def _columns(
    labels: Sequence[str], asked: Sequence[str], outputs: int, chosen: Mapping[str, str | int]
) -> list[int] | None:
    """The number of the model's label for each class of the task; None if they do not fit.

    Args:
        labels: the names of the model's labels.
        asked: the names of the task's classes.
        outputs: the number of the task's outputs.
        chosen: the label of a class, by its name or its number, where the user said so.

    Labels are found by name, where case and separators do not count. If one of the two sides has no names, and both
    have the same number of classes, they are taken by number.
    """
    found = columns_of(asked, labels, chosen)
    columns = [each[0] for each in found.values() if len(each) == 1]
    if asked and len(set(columns)) == len(asked):
        return columns
    nameless = any(all(re.fullmatch(r"(label)?\d*", key_of(each)) for each in side) for side in (labels, asked))
    return [*range(len(labels))] if nameless and not chosen and len(labels) == outputs else None


def _seen_photos(spec: HfSection, task: Task, model: Any, home: Path, name: str) -> Task:
    """The task as the teacher sees its photos: as the section says, or else as the checkpoint does.

    Images whose files are not known are seen as students see them.
    """
    if spec.reading is not None:
        return seen_by(task, spec.reading)
    if getattr(task, "photos", None) is None:
        refuse_searched(task)
        return task
    file, channels = home / "preprocessor_config.json", getattr(model.config, "num_channels", 3)
    return as_package_says(name, "its checkpoint", partial(checkpoint_reading, file, channels), task)


def _seen_texts(spec: HfSection, task: Task, model: Any, home: Path, name: str) -> tuple[Task, Tensor]:
    """The task as the teacher reads its texts, and the model's number of each piece of that task."""
    see: Any = getattr(task, "seen_through", None)
    if not getattr(task, "vocabulary", 0) or not callable(see):
        return task, _numbers_as_given(task, model, name)
    most = longest(model, _said_length(home))
    settings = {"tokenizer": str(home), "length": min(most, *task.input_shape)} | as_data(spec.reading or {})
    if (length := settings["length"]) > most:
        raise InputError(
            f"teacher.reading.length: {length} given, and '{name}' reads at most {most} tokens; write less"
        )
    try:
        file = tokenizer_file(home)
    except InputError:
        raise InputError(
            f"teacher.hf: the folder {home} has no tokenizer.json (nor a vocab.txt); let "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder) write it there"
        ) from None
    try:
        seen: Any = see(settings)
    except InputError as error:
        raise InputError(f"teacher.{'reading.' if spec.reading is not None else 'hf: '}{error}") from None
    _LOG.info(
        "The teacher, %s, reads at most %d tokens of each text. Its tokenizer has %s pieces.",
        name,
        length,
        f"{seen.vocabulary:,}",
    )
    return seen, numbers_of(seen.pieces, numbers_in(file), model, name)


def _numbers_as_given(task: Task, model: Any, name: str) -> Tensor:
    """No numbers, which stands for inputs that are the model's own numbers; refuses inputs that are none."""
    first = task.inputs(task.splits["train"][:256])
    rows = len(model.get_input_embeddings().weight)
    if first.ndim != 2 or not bool(((first == first.round()) & (first >= 0) & (first < rows)).all()):
        raise InputError(
            f"teacher.hf: '{name}' reads texts, and the rows of task '{task.name}' are no texts; name the column of "
            "texts under task.text, or give another teacher"
        )
    return torch.empty(0, dtype=torch.int64)


def _said_length(home: Path) -> object:
    """The most tokens of a text, as the configuration of the tokenizer says; None if it does not."""
    file = home / "tokenizer_config.json"
    try:
        return read_json(file).get("model_max_length") if file.is_file() else None
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"teacher.hf: {file} cannot be read ({said(error)}); copy it again") from None

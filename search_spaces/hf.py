"""Encoders of Hugging Face transformers, searched by their configuration: `hf(model="vit", hidden_size=[32, 64])`."""

from __future__ import annotations

import difflib
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from search_spaces.hf_models import config_with, fields_of, is_type, quiet, rows_for, weights_of
from search_spaces.hf_weights import inherited
from search_spaces.picks import is_searched, pick, refuse_strange

if TYPE_CHECKING:
    import optuna

_VIT = {
    "hidden_size": [16, 32, 48, 64, 96, 128],
    "num_hidden_layers": (1, 6),
    "num_attention_heads": [1, 2, 4, 8],
    "intermediate_size": [32, 64, 128, 256],
}
_PATCHES = (2, 8)
_TOKENS = ("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id")


class HFSpace:
    """A space over the fields of a configuration, and over models whose weights a student may begin with.

    Image models get the channels and the side of the task's images. If no patch size is given, it is searched among the
    sizes that divide the side into 2 to 8 patches. Sequence models read texts, whose vocabulary they get, or token ids
    as the features of a task with `normalise: none`. The padding token is masked; for texts it is 0.

    Args:
        model: what has a head for image or sequence classification: the type of a model, such as `vit`, `convnext` or
            `bert`; a folder with the model's config.json; the model's name in the Hugging Face Hub; or a list of these,
            which is searched. All fields that are not given are those of the configuration. A folder also has weights
            with which a student may begin.
        fields: fields of the configuration. Each is a list of choices, a pair (low, high) for a range, or a fixed
            value. Only `vit` has defaults: for width, depth, heads and the width of the hidden layers.

    Raises:
        ValueError: a field does not exist, no field is searched, or two models have the same name. If there is no such
            model, `suggest` raises it, because a student whose folder is gone can still be built.
    """

    def __init__(self, model: str | list[str] = "vit", **fields: Any) -> None:
        self.model = model
        self.fields = fields or (_VIT if model == "vit" else {})
        refuse_strange({"model": model, **self.fields})
        names = [model] if isinstance(model, str) else model
        self._models = {Path(name).name: name for name in names}
        self._fields_of = cache(self._known_fields)
        self._refused: dict[str, ValueError] = {}
        if len(self._models) < len(names):
            raise ValueError(f"model={model!r}: two of these end in the same name; rename a folder")
        for name in filter(is_type, names):
            self._fields_of(name)
        if isinstance(model, str) and not any(map(is_searched, self.fields.values())):
            raise ValueError("no field is searched; give a field choices or a range, such as hidden_size=[32, 64]")

    def suggest(self, trial: optuna.Trial, task: Any) -> dict[str, Any]:
        """Picks the model of a list, the searched fields, and the patch size if several fit the task's images.

        The key `config` has the fields that a model has of its own, so that a student can be built without its folder.

        Raises:
            ValueError: there is no such model, or it has no such field.
        """
        arch: dict[str, Any] = {}
        label = next(iter(self._models))
        if not isinstance(self.model, str):
            arch["model"] = label = trial.suggest_categorical("model", list(self._models))
        name = self._models[label]
        fields = self._fields_of(name)
        if fields != {"model_type": self.model}:
            arch["config"] = {key: value for key, value in fields.items() if key not in self.fields}
        arch |= {key: pick(trial, key, setting) for key, setting in self.fields.items() if is_searched(setting)}
        if is_type(name) and "patch_size" not in self.fields:
            patches = _patch_sizes(task) if isinstance(getattr(config_with(fields), "patch_size", None), int) else []
            if patches:
                arch["patch_size"] = trial.suggest_categorical("patch_size", patches)
        return arch

    def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
        """Makes the classifier.

        Raises:
            ValueError: the model reads images and the task has none, or the other way round, or transformers refuses
                the configuration.
        """
        own = arch.get("config") or {"model_type": self.model}
        default = config_with(own)
        images = len(task.input_shape) == 3
        classifiers = self._classifiers[0 if images else 1]
        if type(default) not in classifiers:
            kind, needed = ("images", "sequences") if images else ("sequences of ids", "images")
            raise ValueError(f"{default.model_type} reads {needed}, and inputs of shape {task.input_shape} are {kind}")
        names = _class_names(task)
        config: dict[str, Any] = {"num_labels": task.num_outputs}
        if names:
            config = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
        if images:
            config |= {"num_channels": task.input_shape[0], "image_size": max(task.input_shape[1:])}
        else:
            config |= {"max_position_embeddings": task.input_shape[0] + 2}  # some models reserve two positions
            if vocabulary := getattr(task, "vocabulary", 0):
                strange = [name for name in _TOKENS if (getattr(default, name, None) or 0) >= vocabulary]
                config |= {"vocab_size": vocabulary, "pad_token_id": 0, **dict.fromkeys(strange)}
        fixed = {name: value for name, value in self.fields.items() if not is_searched(value)}
        known = {name: value for name, value in config.items() if hasattr(default, name)}
        picked = {name: value for name, value in arch.items() if name not in ("model", "config")}
        made = config_with({**own, **known, **fixed, **picked})
        return _Classifier(classifiers[type(default)](made), None if images else made.pad_token_id)

    def inherit(
        self, arch: dict[str, Any], teacher_arch: dict[str, Any], teacher_weights: dict[str, Tensor], task: Any
    ) -> dict[str, Tensor]:
        """The part of a teacher with which a student begins, as `hf_weights.inherited` chooses it.

        Args:
            arch: the student's architecture.
            teacher_arch: the teacher's configuration, or its architecture in this space; empty if it is not known.
            teacher_weights: the teacher's weights, with the embeddings of the student's pieces.
            task: the task of the student.
        """
        padding = teacher_arch.get("pad_token_id") if "model_type" in teacher_arch else None
        return self._inherited(arch, teacher_weights, task, padding=padding)

    def pretrained(self, arch: dict[str, Any], task: Any) -> dict[str, Tensor]:
        """The part of the model's own weights with which a student begins, as `hf_weights.inherited` chooses it.

        The head is left out, unless the model's labels are the classes of the task. Embeddings go by the text of the
        pieces.

        Raises:
            ValueError: the model is a type, which has no weights, or its weights or its tokenizer cannot be read.
        """
        name = self._models[arch["model"]] if "model" in arch else str(self.model)
        if is_type(name):
            raise ValueError(
                f"'{name}' is a type of models, which has no weights; name a folder that has some, or a model of the "
                "Hugging Face Hub, such as hf(model='sentence-transformers/all-MiniLM-L6-v2')"
            )
        model, tensors = weights_of(name, self._classifiers[0 if len(task.input_shape) == 3 else 1])
        head = [each for each in tensors if not each.startswith(f"{model.base_model_prefix}.")]
        order = _order(model.config, _class_names(task))
        if order:
            tensors |= {each: tensors[each][order] for each in head[-2:]}
        else:
            tensors = {each: value for each, value in tensors.items() if each not in head}
        if getattr(task, "vocabulary", 0):
            pieces = getattr(task, "pieces", ())
            if not pieces:
                raise ValueError("the task does not say which pieces of text its ids stand for; give it `pieces`")
            table = next(key for key, value in model.named_parameters() if value is model.get_input_embeddings().weight)
            tensors[table] = rows_for(pieces, tensors[table], name)
        return self._inherited(arch, tensors, task, padding=model.config.pad_token_id)

    def _inherited(
        self, arch: dict[str, Any], trained: dict[str, Tensor], task: Any, *, padding: int | None
    ) -> dict[str, Tensor]:
        with torch.device("meta"):
            student: Any = self.build(arch, task)
        return inherited(student.model, "model.", trained, padding=padding)

    def _known_fields(self, name: str) -> dict[str, Any]:
        """The fields of a model, which has all those that are set here. A model that cannot be had is tried once."""
        if name in self._refused:
            raise self._refused[name]
        try:
            fields = fields_of(name)
        except ValueError as error:  # a hub that does not answer takes most of a minute
            self._refused[name] = error
            raise
        known = config_with(fields)
        for field in self.fields:
            if not hasattr(known, field):
                near = difflib.get_close_matches(field, list(known.to_dict()), n=1)
                raise ValueError(f"{name} has no field '{field}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        return fields

    @cached_property
    def _classifiers(self) -> tuple[Any, Any]:
        """The classifiers of images and those of sequences, each by the class of its configuration."""
        from transformers import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

        return MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING


class _Classifier(nn.Module):
    """Returns only the logits. Its inputs are ids, which may be floats, if there is a padding token, else images."""

    def __init__(self, model: nn.Module, padding: int | None) -> None:
        super().__init__()
        self.model = model
        self.padding = padding

    def forward(self, x: Tensor) -> Any:
        if self.padding is None:
            return self.model(pixel_values=x).logits
        ids = x.round().long() if x.is_floating_point() else x
        mask = ids != self.padding
        if x.is_meta:  # transformers reads the values of a mask unless it has four dimensions, and on meta it has none
            mask = mask[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
        return self.model(input_ids=ids, attention_mask=mask).logits

    def save_pretrained(self, folder: str) -> None:
        """Writes the classifier so that `from_pretrained` of transformers loads it without AutoKD."""
        weights = {name: value.detach().clone().contiguous() for name, value in self.model.state_dict().items()}
        model: Any = self.model
        with quiet():
            model.save_pretrained(folder, state_dict=weights)


def _class_names(task: Any) -> list[str]:
    """The names of the task's classes or labels by number; empty if there are none, or several heads."""
    heads = getattr(task, "heads", None) or {}
    names = getattr(next(iter(heads.values())), "names", ()) if len(heads) == 1 else getattr(task, "class_names", ())
    return list(map(str, names)) if len(names) == task.num_outputs else []


def _order(config: Any, names: list[str]) -> list[int]:
    """The number in a configuration of each class of a task; empty if its labels are not the same names."""
    numbers = {str(label): int(number) for number, label in (config.id2label or {}).items()}
    return [numbers[name] for name in names] if numbers.keys() == set(names) else []


def _patch_sizes(task: Any) -> list[int]:
    """The patch sizes that divide the side of the task's images into 2 to 8; empty if it has no square images."""
    if len(task.input_shape) != 3 or task.input_shape[1] != task.input_shape[2]:
        return []
    side = task.input_shape[1]
    return [size for size in range(1, side + 1) if side % size == 0 and _PATCHES[0] <= side // size <= _PATCHES[1]]

"""Encoders of Hugging Face transformers, searched by their configuration: `hf(model="vit", hidden_size=[32, 64])`."""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

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


class HFSpace:
    """A space over the fields of a configuration. Its networks begin without pretrained weights.

    Image models get the channels and the side of the task's images. If no patch size is given, it is searched among the
    sizes that divide the side into 2 to 8 patches. Sequence models read texts, whose vocabulary they get, or token ids
    as the features of a task with `normalise: none`. The padding token is masked; for texts it is 0.

    Args:
        model: the type of a model with a head for image or sequence classification, such as `vit`, `convnext` or
            `bert`.
        fields: fields of the configuration. Each is a list of choices, a pair (low, high) for a range, or a fixed
            value. Only `vit` has defaults: for width, depth, heads and the width of the hidden layers.

    Raises:
        ValueError: the model or a field does not exist, or no field is searched.
    """

    def __init__(self, model: str = "vit", **fields: Any) -> None:
        self.model = model
        self.fields = fields or (_VIT if model == "vit" else {})
        refuse_strange(self.fields)
        known = self._default
        for name in self.fields:
            if not hasattr(known, name):
                near = difflib.get_close_matches(name, list(known.to_dict()), n=1)
                raise ValueError(f"{model} has no field '{name}'" + (f"; did you mean '{near[0]}'?" if near else ""))
        if not any(map(is_searched, self.fields.values())):
            raise ValueError("no field is searched; give a field choices or a range, such as hidden_size=[32, 64]")

    def suggest(self, trial: optuna.Trial, task: Any) -> dict[str, Any]:
        """Picks the searched fields, and the patch size if several fit the task's images."""
        arch = {name: pick(trial, name, setting) for name, setting in self.fields.items() if is_searched(setting)}
        if "patch_size" not in self.fields and isinstance(getattr(self._default, "patch_size", None), int):
            patches = _patch_sizes(task)
            if patches:
                arch["patch_size"] = trial.suggest_categorical("patch_size", patches)
        return arch

    def build(self, arch: dict[str, Any], task: Any) -> nn.Module:
        """Makes the classifier.

        Raises:
            ValueError: the model reads images and the task has none, or the other way round, or transformers refuses
                the configuration.
        """
        images = len(task.input_shape) == 3
        heads = self._heads[0 if images else 1]
        if type(self._default) not in heads:
            kind, needed = ("images", "sequences") if images else ("sequences of ids", "images")
            raise ValueError(f"{self.model} reads {needed}, and inputs of shape {task.input_shape} are {kind}")
        config: dict[str, Any] = {"num_labels": task.num_outputs}
        if images:
            config |= {"num_channels": task.input_shape[0], "image_size": max(task.input_shape[1:])}
        else:
            config |= {"max_position_embeddings": task.input_shape[0] + 2}  # some models reserve two positions
            if vocabulary := getattr(task, "vocabulary", 0):
                config |= {"vocab_size": vocabulary, "pad_token_id": 0}
        fixed = {name: value for name, value in self.fields.items() if not is_searched(value)}
        known = {name: value for name, value in config.items() if hasattr(self._default, name)}
        made = type(self._default)(**{**known, **fixed, **arch})
        return _Classifier(heads[type(self._default)](made), None if images else made.pad_token_id)

    @cached_property
    def _default(self) -> Any:
        try:
            from transformers import AutoConfig
        except ImportError as error:
            raise ImportError(f"{error}: pip install 'autokd[hf]'") from None
        try:
            return AutoConfig.for_model(self.model)
        except (KeyError, ValueError):
            raise ValueError(
                f"transformers has no model type '{self.model}'; write a type such as vit or bert"
            ) from None

    @cached_property
    def _heads(self) -> tuple[Any, Any]:
        """The classifiers of images and those of sequences, each by the class of its configuration."""
        from transformers import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

        return MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING


class _Classifier(nn.Module):
    """Returns only the logits. Its inputs are floats: token ids if there is a padding token, else images."""

    def __init__(self, model: nn.Module, padding: int | None) -> None:
        super().__init__()
        self.model = model
        self.padding = padding

    def forward(self, x: Tensor) -> Any:
        if self.padding is None:
            return self.model(pixel_values=x).logits
        ids = x.round().long()
        # A mask of four dimensions is used as it is. Of another mask the values are read, and on meta it has none.
        mask = (ids != self.padding)[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
        return self.model(input_ids=ids, attention_mask=mask).logits


def _patch_sizes(task: Any) -> list[int]:
    """The patch sizes that divide the side of the task's images into 2 to 8; empty if it has no square images."""
    if len(task.input_shape) != 3 or task.input_shape[1] != task.input_shape[2]:
        return []
    side = task.input_shape[1]
    return [size for size in range(1, side + 1) if side % size == 0 and _PATCHES[0] <= side // size <= _PATCHES[1]]

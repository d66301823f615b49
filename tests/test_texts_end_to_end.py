"""A search over students of texts, from a teacher that reads the texts, to a student that answers them elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import needs
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from test_task_texts import LABELS, TEXTS, frame

import autokd
from autokd.driver import export_trial, load_front, retrain, search_study
from autokd.errors import InputError
from autokd.export import task_shape
from autokd.record import read_trials
from autokd.study import Study
from autokd.tasks import TextTask, from_texts
from autokd.teachers.sources import load_teacher


def pipeline() -> Any:
    return make_pipeline(CountVectorizer(), LogisticRegression(max_iter=200))


def study_of(folder: Path, **changes: Any) -> Study:
    frame().to_csv(folder / "films.csv", index=False)
    reading = {"length": [4, 8], "vocabulary": [40, 60]}
    study = {
        "name": "films",
        "task": {"data": str(folder / "films.csv"), "text": "text", "target": "label", "reading": reading},
        "teacher": {"sklearn": f"{Path(__file__)}:pipeline"},
        "space": "text(kind='bag')",
        "objectives": {"accuracy": {}, "parameters": {}},
        "budget": {"trials": 3, "rungs": [1, 4], "reseeds": 0},
        "sampler": "random",
        "scheduler": "none",
        "executor": "inline",
    }
    return Study.model_validate({**study, **changes})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    search_study(study_of(folder), run=folder / "run")
    return folder / "run"


def test_students_differ_in_what_they_read(run: Path) -> None:
    trials = read_trials(run)
    assert [trial.state for trial in trials] == ["complete"] * 3
    assert all(trial.reading.keys() == {"length", "vocabulary"} for trial in trials)
    assert len({tuple(trial.reading.items()) for trial in trials}) > 1


def test_an_exported_student_answers_texts(run: Path, tmp_path: Path) -> None:
    number = load_front(run).pick(by="accuracy").trial
    export_trial(run, number, tmp_path / "student.safetensors")
    predictor = autokd.load_predictor(tmp_path)
    texts = ["", "the film is good", "the film is good, and so long that no student reads its end"]
    answers = predictor.outputs(texts)
    assert set(predictor.predict(texts)) <= {"bad", "good"}
    for text, answer in zip(texts, answers, strict=True):
        assert torch.allclose(predictor.outputs([text])[0], answer, atol=1e-5)
    assert predictor.predict([]) is not None
    with pytest.raises(InputError, match="give a list of texts"):
        predictor.predict("the film is good")
    page = (tmp_path / "README.md").read_text()
    assert "Rows are a list of texts." in page
    assert "see config.json" in page
    assert "[UNK]" not in page


def test_a_student_is_exported_with_the_trimmed_tokenizer(tmp_path: Path) -> None:
    words = from_texts([*TEXTS, "quite unusual"], [*LABELS, "good"], reading={"vocabulary": 60}).reading.tokens
    (tmp_path / "tokenizer.json").write_text(words.json)
    reading = {"length": 8, "tokenizer": str(tmp_path / "tokenizer.json"), "vocabulary": ["seen"]}
    task = {"data": str(tmp_path / "films.csv"), "text": "text", "target": "label", "reading": reading}
    budget = {"trials": 1, "rungs": [1], "reseeds": 0}
    search_study(study_of(tmp_path, task=task, budget=budget), run=tmp_path / "run")
    (tmp_path / "tokenizer.json").unlink()
    export_trial(tmp_path / "run", 0, tmp_path / "out" / "student.safetensors")
    predictor = autokd.load_predictor(tmp_path / "out")
    assert predictor.reading is not None
    assert predictor.reading.tokens.vocabulary < words.vocabulary
    assert set(predictor.predict(["the film is good", "quite unusual"])) <= {"bad", "good"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=needs("onnx"))])
def test_a_graph_has_its_tokenizer_beside_it_and_may_be_written_again(run: Path, tmp_path: Path, suffix: str) -> None:
    import tokenizers

    number = load_front(run).pick(by="accuracy").trial
    for _ in range(2):
        said = export_trial(run, number, tmp_path / f"student.{suffix}")
        assert "student.tokenizer.json makes them of texts" in said
    tokens = tokenizers.Tokenizer.from_file(str(tmp_path / "student.tokenizer.json"))
    (trial,) = [trial for trial in read_trials(run) if trial.number == number]
    export_trial(run, number, tmp_path / "folder" / "student.safetensors")
    predictor = autokd.load_predictor(tmp_path / "folder")
    text = "the film is good"
    assert predictor.reading is not None
    assert predictor.reading.batch([text]).tolist() == [tokens.encode(text).ids[: trial.reading["length"]]]
    ids = torch.tensor([tokens.encode(text).ids[: trial.reading["length"]]])
    if suffix == "pt2":
        answer = torch.export.load(tmp_path / "student.pt2").module()(ids)
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(tmp_path / "student.onnx")
        answer = torch.from_numpy(session.run(["output"], {"input": ids.numpy()})[0])
    assert torch.allclose(answer, predictor.outputs([text]), atol=1e-4)


@pytest.mark.slow
@needs("transformers")
def test_transformers_reads_the_tokenizer(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    tokens = from_texts(TEXTS, LABELS, reading={"vocabulary": 60}).reading.tokens
    (tmp_path / "student.tokenizer.json").write_text(tokens.json)
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "student.tokenizer.json"), pad_token="[PAD]")
    assert theirs(TEXTS[:4])["input_ids"] == [each.ids for each in tokens.tokenizer.encode_batch(TEXTS[:4])]
    assert theirs.pad_token_id == 0


@pytest.mark.slow
def test_a_student_is_retrained_on_rows_that_the_search_left_out(tmp_path: Path) -> None:
    study = study_of(tmp_path, budget={"trials": 1, "rungs": [2], "reseeds": 0})
    study = study.model_copy(update={"task": study.task.model_copy(update={"rows": 30})})
    search_study(study, run=tmp_path / "run")
    found = retrain(tmp_path / "run", 0, seeds=1, workers=1, reserve=True, study=study)
    assert found["validation"].keys() == {"accuracy"}


def words_of(task: TextTask) -> Any:
    return load_teacher({"sklearn": f"{Path(__file__)}:pipeline"}, task, folder=Path(), train=lambda *_: None, seed=0)


def test_a_teacher_of_scikit_learn_reads_texts_and_answers_training_rows_out_of_fold() -> None:
    answers = ["good" if row % 3 else "bad" for row in range(len(TEXTS))]
    task = from_texts([f"word{row} {text}" for row, text in enumerate(TEXTS)], answers, reading={"length": [4, 8]})
    teacher = words_of(task)
    rows = task.splits["train"]
    own = make_pipeline(CountVectorizer(), LogisticRegression(max_iter=200)).fit(task.raw(rows), task.targets(rows))
    asked = teacher.answers(task, rows, 0).softmax(1)
    fitted = torch.from_numpy(own.predict_proba(task.raw(rows))).float()
    assert not torch.allclose(asked, fitted, atol=1e-2)
    test = task.splits["test"]
    expected = torch.from_numpy(own.predict_proba(task.raw(test))).float()
    assert torch.allclose(teacher.answers(task, test, 0).softmax(1), expected, atol=1e-4)


def test_a_fitted_model_of_texts_is_asked_with_texts(tmp_path: Path) -> None:
    task = from_texts(TEXTS, LABELS)
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(TEXTS, LABELS)
    teacher: Any = load_teacher(model, task, folder=tmp_path, train=lambda *_: None, seed=0)
    answers = teacher.answers(task, torch.arange(20), 0)
    assert answers.argmax(1).tolist() == [row % 2 for row in range(20)]


def test_what_build_reads_of_texts_is_kept_with_a_student() -> None:
    task = from_texts(TEXTS, LABELS, reading={"length": 6, "vocabulary": 60})
    shape = task_shape(task)
    assert (shape.vocabulary, shape.input_shape) == (task.vocabulary, (6,))

"""The search space for texts, on rows of random ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import optuna
import pytest
import torch
from export_samples import sample_card
from torch import Tensor, nn
from torch.nn import functional

from autokd.errors import InputError
from autokd.export import export_student
from autokd.export.card import Card, TaskShape, model_card, task_shape
from autokd.latency.timing import latency_ms
from autokd.objectives.costs import flops, parameters, peak_memory_mb
from autokd.registry import resolve
from autokd.testing import SearchSpaceContract, TinyTask, check_space
from search_spaces import table, text

TEXTS = TinyTask(input_shape=(12,), num_outputs=3, vocabulary=40)
ARCHS: dict[str, dict[str, Any]] = {
    "bag": {"kind": "bag", "embedding": 5, "dropout": 0.0, "pooling": "mean_and_max", "hidden": [8]},
    "linear bag": {"kind": "bag", "embedding": 2, "dropout": 0.0, "pooling": "mean", "hidden": []},
    "cnn": {"kind": "cnn", "embedding": 4, "dropout": 0.2, "kernels": [1, 2, 5], "channels": 6},
    "transformer": {
        "kind": "transformer",
        "embedding": 3,
        "dropout": 0.2,
        "positions": "learned",
        "heads": 2,
        "head_width": 4,
        "hidden_ratios": [1, 2],
    },
}
ARCHS["rotary"] = {**ARCHS["transformer"], "positions": "rotary"}
EACH = pytest.mark.parametrize("arch", ARCHS.values(), ids=list(ARCHS))


def network_of(arch: dict[str, Any], task: TinyTask | TaskShape = TEXTS) -> nn.Module:
    torch.manual_seed(0)
    return text.build(arch, task).eval()


def ids_of(*lengths: int, seed: int = 0) -> Tensor:
    """Texts of these lengths, padded to the longest."""
    drawn = torch.randint(1, 40, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(seed))
    return drawn * (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


def sample(count: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [text.suggest(study.ask()) for _ in range(count)]


@pytest.mark.slow
class TestText(SearchSpaceContract):
    space = text
    tasks = (TEXTS, TinyTask(input_shape=(1,), num_outputs=2, vocabulary=5))


def test_a_few_architectures_pass_the_check() -> None:
    assert check_space(text, TEXTS, samples=4, seed=1) == []


@EACH
def test_padding_changes_no_answer_at_any_length(arch: dict[str, Any]) -> None:
    network, ids = network_of(arch), ids_of(5, 3, 1)
    for length in range(5, 13):
        padded = functional.pad(ids, (0, length - 5))
        for row, count in enumerate((5, 3, 1)):
            alone = network(ids[row : row + 1, :count])
            torch.testing.assert_close(network(padded)[row : row + 1], alone, rtol=0, atol=1e-5)


@EACH
def test_a_text_without_tokens_has_a_finite_answer_and_gradient(arch: dict[str, Any]) -> None:
    network = network_of(arch).train()

    answers = network(torch.zeros(2, 7, dtype=torch.int64))
    answers.square().sum().backward()

    assert answers.isfinite().all()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in network.parameters())


@EACH
def test_every_weight_counts_but_those_of_padding(arch: dict[str, Any]) -> None:
    network = network_of(arch)
    ids = torch.arange(1, 40).repeat(4)[: 13 * 12].view(13, 12)

    (network(ids) * torch.randn(13, 3)).sum().backward()

    unused = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert unused == []
    gradient = network.get_parameter("embedding.table.weight").grad
    assert gradient is not None
    assert not gradient[0].any()


@EACH
def test_only_a_bag_is_blind_to_the_order_of_words(arch: dict[str, Any]) -> None:
    network, ids = network_of(arch), ids_of(7)

    same = torch.allclose(network(ids), network(ids.flip(1)), atol=1e-6)

    assert same == (arch["kind"] == "bag")


@pytest.mark.parametrize("arch", [ARCHS["transformer"], ARCHS["rotary"]], ids=["learned", "rotary"])
def test_attention_is_counted_as_flops(arch: dict[str, Any]) -> None:
    tokens, width = 12, 8
    project = tokens * 3 * width
    blocks = sum(tokens * (3 + 1 + 2 * ratio) * width * width for ratio in arch["hidden_ratios"])
    attention = 2 * 2 * tokens * tokens * width
    head = width * 3

    counted = flops(network_of(arch), TEXTS.example())

    assert counted == 2 * (project + blocks + attention + head)


def test_convolutions_and_layers_of_a_bag_are_counted_as_flops() -> None:
    convolutions = 12 * 4 * 6 * (1 + 2 + 5)
    assert flops(network_of(ARCHS["cnn"]), TEXTS.example()) == 2 * (convolutions + 3 * 6 * 3)
    assert flops(network_of(ARCHS["bag"]), TEXTS.example()) == 2 * (2 * 5 * 8 + 8 * 3)


@EACH
def test_peak_memory_is_more_than_the_weights(arch: dict[str, Any]) -> None:
    network, ids = network_of(arch), TEXTS.example()
    assert peak_memory_mb(network, ids) > 4e-6 * parameters(network, ids)


@EACH
def test_the_weights_of_most_layers_do_not_depend_on_the_length_of_texts(arch: dict[str, Any]) -> None:
    """Only learned positions do."""
    longer = TinyTask(input_shape=(20,), num_outputs=3, vocabulary=40)

    here, there = (network_of(arch, task).state_dict() for task in (TEXTS, longer))

    assert here.keys() == there.keys()
    changed = [name for name in here if here[name].shape != there[name].shape]
    assert changed == (["positions.weight"] if arch.get("positions") == "learned" else [])


def test_the_same_part_of_two_networks_has_the_same_name() -> None:
    narrow, wide = ({**ARCHS["cnn"], "kernels": kernels} for kernels in ([2], [1, 2, 3]))
    assert set(network_of(narrow).state_dict()) < set(network_of(wide).state_dict())
    shallow = {**ARCHS["transformer"], "hidden_ratios": [1]}
    assert set(network_of(shallow).state_dict()) < set(network_of(ARCHS["transformer"]).state_dict())


def test_a_convolution_agrees_with_the_definition_written_out() -> None:
    convolve = text._Convolution(3, 2, 4)
    embedded = torch.randn(1, 5, 3)
    bare = torch.cat([torch.zeros(1, 3), embedded[0], torch.zeros(2, 3)])

    found = convolve(embedded, torch.ones(1, 5, 1, dtype=torch.bool))

    weight, bias = convolve.convolve.weight, convolve.convolve.bias
    assert bias is not None
    windows = torch.stack([(weight * bare[i : i + 4].T).sum((1, 2)) + bias for i in range(5)])
    torch.testing.assert_close(found[0], windows.relu().amax(0))


def test_rotary_attention_depends_on_the_distance_of_two_tokens_only() -> None:
    turn = text._Rotary(10, 8)
    query, key = torch.randn(8), torch.randn(8)
    turned_query, turned_key = (turn(each.expand(1, 1, 10, 8))[0, 0] for each in (query, key))

    products = turned_query @ turned_key.T

    for distance in range(-9, 10):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5, rtol=0)
    torch.testing.assert_close(products[0, 0], query @ key)


def test_networks_range_from_a_thousand_to_ten_million_parameters() -> None:
    small = TinyTask(input_shape=(64,), num_outputs=2, vocabulary=1000)
    large = TinyTask(input_shape=(64,), num_outputs=2, vocabulary=16_000)
    smallest = {**ARCHS["linear bag"], "embedding": 1}
    largest = {**ARCHS["rotary"], "embedding": 128, "heads": 8, "head_width": 64, "hidden_ratios": [4, 4, 4, 4]}
    with torch.device("meta"):
        assert 1e3 <= parameters(text.build(smallest, small), small.example()) < 1.1e3
        assert 1e7 < parameters(text.build(largest, large), large.example()) < 2e7


def test_all_kinds_are_suggested_and_choices_are_those_of_the_kind() -> None:
    archs = sample(60)
    assert {arch["kind"] for arch in archs} == {"bag", "cnn", "transformer"}
    assert len({frozenset(arch) for arch in archs}) == 3


def test_settings_narrow_what_is_suggested_and_fixed_ones_are_kept_in_the_architecture() -> None:
    space = resolve("search_spaces", "text(kind=['bag', 'cnn'], embedding=(8, 16), dropout=0.1, channels=[6, 7])")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    archs = [space.suggest(study.ask()) for _ in range(40)]

    assert {arch["kind"] for arch in archs} == {"bag", "cnn"}
    assert all(8 <= arch["embedding"] <= 16 and arch["dropout"] == 0.1 for arch in archs)
    assert {arch["channels"] for arch in archs if arch["kind"] == "cnn"} == {6, 7}
    assert {name for trial in study.get_trials() for name in trial.params}.isdisjoint({"dropout", "blocks"})
    assert all(isinstance(space.build(arch, TEXTS), nn.Module) for arch in archs)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("kind='rnn'", "kind='rnn' is not allowed; write one of 'bag', 'cnn', 'transformer', or a list of some"),
        ("positions=['learned', 'sines']", "write one of 'learned', 'rotary', or a list of some"),
        ("embedding=0", "embedding=0 is not allowed; write a whole number of at least 1"),
        ("head_width=5", "head_width=5 is not allowed; write an even number, or a list of such numbers"),
        ("head_width=(4, 16)", "head_width=(4, 16) is not allowed; write an even number, or a list of such numbers"),
        ("dropout=1", "dropout=1 is not allowed; write a number from 0 to below 1, a list of such numbers, or a range"),
        ("kernels=[]", "kernels=[] holds no choice; write [one, another], (low, high) or a value"),
        ("width=8", "there is no setting 'width'"),
    ],
)
def test_settings_that_no_network_has_are_refused_in_one_line(settings: str, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        resolve("search_spaces", f"text({settings})")
    assert "\n" not in str(refused.value)


@EACH
def test_a_network_learns_texts(arch: dict[str, Any]) -> None:
    train, test = TEXTS.splits["train"], TEXTS.splits["test"]
    network = network_of({**arch, "embedding": 16}).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-2)
    for _ in range(40):
        optimizer.zero_grad()
        TEXTS.hard_loss(network(TEXTS.inputs(train)), TEXTS.targets(train)).backward()
        optimizer.step()

    assert TEXTS.score(network.eval()(TEXTS.inputs(test)), TEXTS.targets(test)) > 1.5 * TEXTS.chance


@pytest.mark.parametrize("task", [TinyTask(), TinyTask(input_shape=(5,))], ids=["images", "features"])
def test_what_is_no_text_is_refused_with_the_spaces_that_read_it(task: TinyTask) -> None:
    says = (
        f"text reads the tokens of texts, and inputs of shape {task.input_shape} come without a vocabulary; use mlp "
        "for any numbers, table for tables, or resnet, mobilenet or vit for images"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        text.build(ARCHS["bag"], task)


def test_the_space_for_tables_refuses_texts_and_names_the_space_that_reads_them() -> None:
    with pytest.raises(ValueError, match=r"the inputs are texts; use text$"):
        table.build({}, TEXTS)


@EACH
def test_a_network_is_built_again_from_the_facts_that_an_exported_student_keeps(arch: dict[str, Any]) -> None:
    kept = TaskShape.model_validate_json(task_shape(TEXTS).model_dump_json())

    assert network_of(arch, kept).state_dict().keys() == network_of(arch).state_dict().keys()
    assert kept.example(2).shape == TEXTS.example(2).shape


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_exported_networks_answer_as_they_do_for_any_batch_size_and_length(
    arch: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    card = sample_card("text", arch=arch, task=task_shape(TEXTS).model_dump())
    network, path = network_of(arch), tmp_path / f"student.{suffix}"

    line = export_student(network, ids_of(7, 3, 1), path, card=card)

    assert "takes the ids of tokens (int64, shape (batch, up to 12 tokens))" in line
    answer = torch.export.load(path).module() if suffix == "pt2" else in_onnx(path)
    for ids in (ids_of(12, 3), ids_of(4), ids_of(1, 1, 1)):
        torch.testing.assert_close(answer(ids), network(ids), atol=1e-5, rtol=1e-4)


def in_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda ids: torch.from_numpy(session.run(["output"], {"input": ids.numpy()})[0])


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("runtime", ["eager", "onnx"])
def test_networks_are_timed_on_ids(arch: dict[str, Any], runtime: str) -> None:
    assert latency_ms(network_of(arch), TEXTS.example(), runtime=runtime, batch=3, seconds=0.01) > 0


@pytest.mark.slow
def test_texts_of_one_token_are_exported(tmp_path: Path) -> None:
    task = TinyTask(input_shape=(1,), num_outputs=3, vocabulary=40)
    card = sample_card("text", arch=ARCHS["cnn"], task=task_shape(task).model_dump())

    line = export_student(network_of(ARCHS["cnn"], task), ids_of(1, 1), tmp_path / "student.pt2", card=card)

    assert "up to 1 tokens" in line


def test_the_card_of_a_student_says_what_ids_are() -> None:
    page = model_card(Card.model_validate(sample_card("text", task=task_shape(TEXTS).model_dump())))
    assert "It takes ids, int64, shape\n(batch, at most 12 tokens), with 0 for padding at the end, and returns" in page

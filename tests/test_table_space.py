"""The search space for tables, on tables of random numbers and categories."""

from __future__ import annotations

import math
import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from command_line import refused_search
from export_samples import sample_card
from torch import Tensor, nn

from autokd.export import export_student
from autokd.objectives.costs import flops
from autokd.readings import Column
from autokd.registry import resolve
from autokd.testing import SearchSpaceContract, TinyTask, check_space, describe_space
from search_spaces import table


def rows_of(task: TinyTask, count: int, seed: int = 0) -> Tensor:
    """Random numbers, and one random category in each column of categories."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, *task.input_shape, generator=generator)
    for column in task.columns:
        if column.kind == "category":
            size = column.stop - column.start
            picked = torch.randint(size, (count,), generator=generator)
            x[:, column.start : column.stop] = nn.functional.one_hot(picked, size)
    return x


def table_of(columns: tuple[Column, ...], num_outputs: int = 2) -> TinyTask:
    return TinyTask(input_shape=(columns[-1].stop,), num_outputs=num_outputs, columns=columns)


def columns(*sizes: int) -> tuple[Column, ...]:
    """Columns in this order: a number for each 0, a column of so many categories for each other size."""
    ends = list(accumulate(max(size, 1) for size in sizes))
    return tuple(
        Column(f"column {i}", "category" if size else "number", end - max(size, 1), end)
        for i, (size, end) in enumerate(zip(sizes, ends, strict=True))
    )


MIXED = columns(0, 3, 0, 1, 5, 0)
ADULT = columns(0, 0, 0, 0, 0, 0, 9, 16, 7, 15, 6, 5, 2, 42)


@pytest.mark.slow
class TestTable(SearchSpaceContract):
    space = table
    tasks = (table_of(MIXED, 3), table_of(columns(0, 0)), table_of(columns(4, 2), 4), table_of(columns(0)))


@pytest.mark.parametrize("sizes", [(0, 3, 0, 1, 5, 0), (4, 2), (0,)], ids=str)
def test_a_few_architectures_pass_the_check_on_tables_of_each_kind(sizes: tuple[int, ...]) -> None:
    assert check_space(table, table_of(columns(*sizes), 3), samples=4, seed=1) == []


PERIODIC = {"embedding": "periodic", "frequencies": 4, "scale": 0.5}
ARCHS: dict[str, dict[str, Any]] = {
    "as they are": {
        "body": "mlp",
        "numbers": {"embedding": "as_they_are"},
        "category_width": 0,
        "width": 8,
        "depth": 2,
    },
    "linear": {
        "body": "residual_mlp",
        "numbers": {"embedding": "linear", "width": 4},
        "category_width": 2,
        "width": 8,
        "hidden_ratio": 2,
        "blocks": 2,
    },
    "periodic": {"body": "mlp", "numbers": {**PERIODIC, "width": 4}, "category_width": 0, "width": 8, "depth": 1},
    "transformer": {"body": "transformer", "numbers": PERIODIC, "heads": 2, "head_width": 4, "hidden_ratios": [1, 2]},
    "one block": {
        "body": "transformer",
        "numbers": {"embedding": "linear"},
        "heads": 1,
        "head_width": 4,
        "hidden_ratios": [2],
    },
}
EACH = pytest.mark.parametrize("arch", ARCHS.values(), ids=list(ARCHS))


def network_of(arch: dict[str, Any], task: TinyTask) -> nn.Module:
    torch.manual_seed(0)
    return table.build(arch, task).eval()


@EACH
def test_the_answer_to_a_row_depends_neither_on_its_place_nor_on_other_rows(arch: dict[str, Any]) -> None:
    task = table_of(MIXED)
    network, rows, order = network_of(arch, task), rows_of(task, 7), torch.randperm(7)
    answers = network(rows)

    torch.testing.assert_close(network(rows[order]), answers[order])
    torch.testing.assert_close(network(torch.cat([rows, 9 * torch.ones(5, *task.input_shape)]))[:7], answers)


@EACH
def test_every_weight_and_every_feature_counts(arch: dict[str, Any]) -> None:
    task = table_of(MIXED)
    network = network_of(arch, task).train()
    rows = rows_of(task, 64).requires_grad_()

    network(rows).square().sum().backward()

    assert rows.grad is not None
    assert (rows.grad != 0).any(dim=0).all()
    assert [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@EACH
def test_columns_may_be_in_any_order(arch: dict[str, Any]) -> None:
    """Numbers keep their order among themselves, and so do categories."""
    mixed, start = table_of(MIXED), 0
    moved, features = [], []
    for column in sorted(MIXED, key=lambda column: column.kind):
        size = column.stop - column.start
        moved.append(Column(column.name, column.kind, start, start + size))
        features += range(column.start, column.stop)
        start += size
    rows = rows_of(mixed, 5)

    ours, theirs = network_of(arch, mixed), network_of(arch, table_of(tuple(moved)))

    torch.testing.assert_close(theirs(rows[:, features]), ours(rows))


@EACH
def test_a_category_that_was_not_seen_in_training_has_an_answer(arch: dict[str, Any]) -> None:
    task = table_of(MIXED)
    rows = rows_of(task, 3)
    rows[:, 1:4] = 0

    assert network_of(arch, task)(rows).isfinite().all()


def test_a_column_of_which_every_category_is_rare_has_no_features_and_the_embedding_zero() -> None:
    full, empty = Column("full", "category", 0, 2), Column("empty", "category", 2, 2)

    embedded = table._Categories([full, empty], 4)(torch.eye(2))

    assert embedded.shape == (2, 2, 4)
    assert not embedded[:, 1].any()


def test_the_embedding_of_a_category_is_that_of_an_embedding_layer() -> None:
    task = table_of(columns(3, 0, 5, 1))
    embed = table._Categories([task.columns[0], task.columns[2]], 4)
    rows = rows_of(task, 6)
    first = nn.Embedding.from_pretrained(embed.weight[:3])
    second = nn.Embedding.from_pretrained(embed.weight[3:])

    expected = torch.stack([first(rows[:, :3].argmax(1)), second(rows[:, 4:9].argmax(1))], dim=1)

    torch.testing.assert_close(embed(rows), expected)


def test_periodic_embeddings_agree_with_the_definition_written_out() -> None:
    embed = table._Periodic(3, 4, {"frequencies": 2, "scale": 0.5})
    numbers = torch.randn(5, 3)
    for row in range(5):
        for column in range(3):
            angles = [2 * math.pi * float(c) * float(numbers[row, column]) for c in embed.frequencies.detach()[column]]
            waves = torch.tensor([*map(math.sin, angles), *map(math.cos, angles)])
            expected = (waves @ embed.weight[column] + embed.bias[column]).relu()
            torch.testing.assert_close(embed(numbers)[row, column], expected)


def test_linear_embeddings_agree_with_a_linear_layer_for_each_number() -> None:
    embed = table._Linear(2, 3, {})
    numbers = torch.randn(4, 2)

    for column in range(2):
        layer = nn.functional.linear(numbers[:, column, None], embed.weight[column, :, None], embed.bias[column])
        torch.testing.assert_close(embed(numbers)[:, column], layer.relu())


def test_the_last_block_computes_of_the_class_token_what_a_whole_block_computes() -> None:
    tokens = torch.randn(3, 5, 8)
    whole = table._Block(8, 2, 1, first=False, last=False)
    last = table._Block(8, 2, 1, first=False, last=True)
    last.load_state_dict(whole.state_dict())

    torch.testing.assert_close(last(tokens), whole(tokens)[:, :1])


def test_attention_is_counted_as_flops() -> None:
    task = table_of(columns(0, 0, 0))
    tokens, width = 4, 4
    linear = (1 + 2 * tokens + 1) * width * width  # query and projection of the class token, keys and values of all
    attention = 2 * tokens * width
    mlp = 3 * width * 2 * width
    head = width * 2

    counted = flops(network_of(ARCHS["one block"], task), rows_of(task, 1))

    assert counted == 2 * (linear + attention + mlp + head)


def test_networks_range_from_hundreds_to_about_a_million_parameters_and_most_are_small() -> None:
    summary = describe_space(table, table_of(ADULT), samples=200)

    assert summary.parameters_min < 400
    assert summary.parameters_median < 10_000
    assert 300_000 < summary.parameters_max < 1_300_000


def test_only_kinds_of_columns_that_the_table_has_are_searched() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def names(task: TinyTask) -> set[str]:
        trials = [study.ask() for _ in range(30)]
        for trial in trials:
            table.suggest(trial, task)
        return {name for trial in trials for name in trial.params}

    assert names(table_of(MIXED)) - names(table_of(columns(3, 4))) == {
        "numbers", "number_width", "number_tokens", "frequencies", "frequency_scale"
    }  # fmt: skip
    assert names(table_of(MIXED)) - names(table_of(columns(0, 0))) == {"category_width"}


def test_a_table_of_many_columns_gets_no_transformer() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    wide = table_of(columns(*[0] * (table.MOST_TOKENS + 1)))

    bodies = {table.suggest(study.ask(), wide)["body"] for _ in range(30)}

    assert bodies == {"mlp", "residual_mlp"}


@pytest.mark.parametrize("name", ["linear", "periodic", "transformer"])
def test_a_network_learns_what_needs_a_number_and_a_category_together(name: str) -> None:
    def targets(rows: Tensor) -> Tensor:
        return ((rows[:, 0] > 0) == (rows[:, 1] > 0)).long()

    task = table_of(columns(0, 2))
    rows, others = rows_of(task, 256), rows_of(task, 256, seed=1)
    network = network_of(ARCHS[name], task).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(rows), targets(rows)).backward()
        optimizer.step()

    assert (network.eval()(others).argmax(1) == targets(others)).float().mean() > 0.9


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("suffix", ["pt2", "onnx"])
def test_exported_networks_answer_as_they_do_for_any_batch_size(
    arch: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    task = table_of(MIXED)

    line = export_student(network_of(arch, task), rows_of(task, 5), tmp_path / f"student.{suffix}", card=sample_card())

    assert "on 5 inputs" in line


def test_inputs_without_columns_are_refused_with_the_spaces_that_read_them() -> None:
    says = (
        "table reads the columns of a table, and inputs of shape (1, 8, 8) come without columns; use mlp for any "
        "inputs, or resnet, mobilenet or vit for images"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(says)}$"):
        table.build(ARCHS["linear"], TinyTask())


@pytest.mark.slow
def test_a_search_of_images_in_this_space_is_refused_in_one_line(tmp_path: Path) -> None:
    assert "table reads the columns of a table, and inputs of" in refused_search(
        tmp_path, {"space": "search_spaces.table"}
    )


def test_a_table_space_with_settings_picks_among_them_alone() -> None:
    space = 'table(body="mlp", numbers="periodic", width=(600, 700), depth=5, category_width=3)'
    found, task = resolve("search_spaces", space), table_of(MIXED)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        arch = found.suggest(study.ask(), task)
        assert (arch["body"], arch["numbers"]["embedding"], arch["category_width"], arch["depth"]) == (
            "mlp",
            "periodic",
            3,
            5,
        )
        assert 600 <= arch["width"] <= 700
    assert describe_space(space, task, samples=3).parameters_min > 1_000_000
    assert check_space(space, task, samples=1) == []


def test_a_wide_table_has_no_transformer_unless_that_is_all_that_is_asked_for() -> None:
    wide = table_of(columns(*[0] * (table.MOST_TOKENS + 1)))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for settings, bodies in (("", {"mlp", "residual_mlp"}), ('body=["transformer"]', {"transformer"})):
        space = resolve("search_spaces", f"table({settings})")
        assert {space.suggest(study.ask(), wide)["body"] for _ in range(20)} == bodies
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

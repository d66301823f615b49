"""What a student takes over of other weights, tensor by tensor."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autokd.errors import InfeasibleError
from autokd.first_weights import Origin, put
from autokd.weights import load_tensors


class Tied(nn.Module):
    """A network whose embedding and head are one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.table.weight


def network(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in itertools.pairwise(widths):
        layers += [nn.Linear(before, width), nn.BatchNorm1d(width)]
    return nn.Sequential(*layers)


def weights(*widths: int) -> dict[str, Tensor]:
    return {name: tensor + 1 for name, tensor in network(*widths).state_dict().items()}


def test_a_student_of_the_same_shapes_is_the_other_network_to_the_bit() -> None:
    student, given = network(4, 8, 3), weights(4, 8, 3)
    taken = put(student, given, cut=True)
    assert all(torch.equal(tensor, given[name]) for name, tensor in student.state_dict().items())
    assert (set(taken.whole), taken.cut, taken.new) == (set(given), (), ())


def test_a_smaller_student_gets_the_leading_part_of_each_tensor() -> None:
    student, given = network(4, 6, 3), weights(4, 8, 3)
    taken = put(student, given, cut=True)
    assert torch.equal(student.state_dict()["0.weight"], given["0.weight"][:6])
    assert torch.equal(student.state_dict()["2.weight"], given["2.weight"][:, :6])
    assert "2.bias" in taken.whole
    assert "0.weight" in taken.cut


def test_without_cutting_only_tensors_of_the_same_shape_are_taken() -> None:
    student, given = network(4, 6, 3), weights(4, 8, 3)
    before = student.state_dict()["0.weight"].clone()
    taken = put(student, given, cut=False)
    assert torch.equal(student.state_dict()["0.weight"], before)
    assert "0.weight" in taken.new
    assert taken.cut == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"0.weight": torch.zeros(5, 4)}, r"'0.weight' have torch.float32 of shape \(5, 4\)"),
        ({"0.weight": torch.zeros(6, 4, 1)}, r"shape \(6, 4, 1\), of which the student's .* is no leading part"),
        ({"0.weight": torch.zeros(6, 4, dtype=torch.int8)}, "torch.int8"),
        ({"0.weight": torch.zeros(6, 4, dtype=torch.complex64)}, "torch.complex64"),
        ({"0.weight": torch.full((6, 4), torch.nan)}, "'0.weight' hold NaN or infinity"),
        ({"1.num_batches_tracked": torch.tensor(3)}, "none of the first weights"),
        ({"other": torch.zeros(2)}, r"none of the first weights \('other' \(2,\)\) has the name of one"),
        ({}, r"none of the first weights \(nothing\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_their_names_and_shapes(given: Any, words: str) -> None:
    with pytest.raises(InfeasibleError, match=words):
        put(network(4, 6, 3), given, cut=True)


def test_a_tensor_under_two_names_is_not_called_new_under_the_other() -> None:
    assert put(Tied(), {"table.weight": torch.ones(5, 3)}, cut=False).new == ()


def test_the_report_counts_parameters_by_layer_and_leaves_out_counts() -> None:
    plain = put(network(4, 6, 3), {**weights(4, 8), "2.bias": torch.ones(3)}, cut=True).plain()
    assert plain["tensors"] == {"whole": 1, "cut": 4, "new": 3}
    assert plain["parameters"] == {"whole": 3, "cut": 6 * 4 + 3 * 6, "new": 3 * 6 + 2 * 3}
    assert plain["layers"] == {"whole": ["2"], "cut": ["0", "1"], "new": ["2", "3"]}


def test_layers_are_named_up_to_their_first_number() -> None:
    inner = nn.ModuleDict({"encoder": nn.ModuleDict({"layer": nn.ModuleList([network(2, 2)])}), "conv1": network(2, 2)})
    whole = put(inner, {name: tensor + 1 for name, tensor in inner.state_dict().items()}, cut=False).plain()
    assert whole["layers"]["whole"] == ["encoder.layer.0", "conv1.0", "conv1.1"]


def test_the_digest_is_of_what_was_taken_and_of_nothing_else() -> None:
    given = weights(4, 8, 3)
    one, same = (put(network(4, 6, 3), given, cut=True).digest for _ in range(2))
    assert one == same
    assert one == put(network(4, 6, 3), {**given, "0.weight": given["0.weight"][:6]}, cut=True).digest
    assert one != put(network(4, 6, 3), {**given, "0.weight": given["0.weight"] + 1}, cut=True).digest


def test_an_origin_comes_back_from_its_file_with_its_digest(tmp_path: Path) -> None:
    origin = Origin(weights(4, 8, 3), {"widths": [8], "kind": "a"}, ("[PAD]", "a", "b"))
    digests = set()
    for i in range(8):  # the order of texts in a file differs from one writing to the next
        origin.write(tmp_path / f"{i}.safetensors")
        again = Origin.read(tmp_path / f"{i}.safetensors")
        assert (again.arch, again.pieces) == (origin.arch, origin.pieces)
        digests.add(again.digest)
    assert digests == {origin.digest}
    assert load_tensors(tmp_path / "0.safetensors").keys() == origin.tensors.keys()


@pytest.mark.parametrize("other", [{"arch": {}}, {"pieces": ()}, {"tensors": weights(4, 8)}])
def test_each_part_of_an_origin_is_in_its_digest(other: dict[str, Any]) -> None:
    whole: dict[str, Any] = {"tensors": weights(4, 8, 3), "arch": {"widths": [8]}, "pieces": ("a",)}
    assert Origin(**whole).digest != Origin(**(whole | other)).digest


def test_rows_of_pieces_are_found_by_their_texts_and_an_unknown_piece_gets_the_mean() -> None:
    table = torch.arange(6.0).reshape(3, 2)
    origin = Origin({"table": table, "bias": torch.ones(3), "head": torch.ones(2, 3)}, pieces=("", "dog", "cat"))
    seen = origin.in_pieces(("", "cat", "cow"))
    assert torch.equal(seen.tensors["table"], torch.stack([table[0], table[2], table.mean(dim=0)]))
    assert torch.equal(seen.tensors["head"], torch.ones(2, 3))
    assert origin.in_pieces(origin.pieces) is origin

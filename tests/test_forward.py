from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from autokd.errors import InfeasibleError
from autokd.forward import call, in_eval_mode, logits_in, needs_contiguous

LOGITS, LOSS = torch.ones(2, 3), torch.zeros(())
Named = namedtuple("Named", ["loss", "logits"])


@dataclass
class Output:
    """As the output objects of transformers."""

    logits: Tensor
    hidden_states: tuple[Tensor, ...]


class Flat(nn.Module):
    """Flattens by `view`, which images in the channels_last memory format refuse."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), -1)


@pytest.mark.parametrize(
    "given",
    [
        LOGITS,
        Output(LOGITS, (LOSS, LOSS)),
        {"loss": LOSS, "logits": LOGITS},
        OrderedDict(out=LOGITS),
        Named(LOSS, LOGITS),
        (LOGITS,),
        [LOGITS, None],
    ],
    ids=lambda given: type(given).__name__,
)
def test_the_answer_is_found_in_whatever_a_network_gives(given: Any) -> None:
    assert logits_in(given) is LOGITS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((LOGITS, LOSS), "gives a tuple, not one tensor"),
        ({"a": LOGITS, "b": LOSS}, "gives a dict with a, b, not one tensor"),
        (None, "gives a NoneType, not one tensor; return the logits"),
    ],
)
def test_an_answer_that_could_be_several_things_is_refused_with_what_was_given(given: Any, words: str) -> None:
    with pytest.raises(InfeasibleError, match=words):
        logits_in(given)


def test_a_dict_is_passed_to_a_network_as_keywords() -> None:
    assert torch.equal(call(lambda ids, mask: ids * mask, {"ids": LOGITS, "mask": 2 * LOGITS}), 2 * LOGITS)


def test_each_module_is_left_in_its_own_mode() -> None:
    network = nn.Sequential(nn.Dropout(), nn.Dropout().eval())
    with in_eval_mode(network):
        assert not network[0].training
    assert [network.training, *(module.training for module in network)] == [True, True, False]


def test_a_network_that_flattens_by_view_needs_contiguous_images() -> None:
    images = torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last)
    assert needs_contiguous(Flat(), images)
    assert not needs_contiguous(Flat(), images.contiguous())
    assert not needs_contiguous(nn.Flatten(), images)
    assert not needs_contiguous(nn.Linear(5, 1), images)  # fails on both: its own words will say why

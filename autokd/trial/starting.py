"""Where a student begins: from scratch, or with weights from elsewhere, as its recipe says."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from autokd.errors import InfeasibleError
from autokd.first_weights import Taken, put
from autokd.study import builder_of
from autokd.trial.process import restored
from autokd.types import FROM_TEACHER, PRETRAINED, SCRATCH, Arch

if TYPE_CHECKING:
    from autokd.trial.training import Context


def begin(context: Context, student: nn.Module, arch: Arch, start: str, *, seed: int) -> Taken | None:
    """Puts the first weights of a start into a student, and says which these are; None from scratch.

    The caller's random state is left as it was.

    Args:
        context: what the trials share.
        student: as its space built it; is changed in place.
        arch: its architecture.
        start: where first weights come from, as a recipe says.
        seed: the seed of what a space draws.

    Raises:
        InfeasibleError: no weights fit, or the space has none.
    """
    if start == SCRATCH:
        return None
    with restored(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given, of_space = _given(context, json.loads(json.dumps(arch)), start)
    return put(student, given, cut=of_space)


def _given(context: Context, arch: Arch, start: str) -> tuple[Mapping[str, Tensor], bool]:
    """Tensors by name, and whether the space gave them for this very architecture."""
    space: Any
    space, _, arch = builder_of(context.space, arch)
    if start == PRETRAINED:
        if not callable(getattr(space, "pretrained", None)):
            raise InfeasibleError("the space has no function `pretrained`, so it knows no weights from elsewhere")
        return _checked(space.pretrained(arch, context.task), "pretrained"), True
    origin = context.origin(start).in_pieces(getattr(context.task, "pieces", ()))
    inherit = getattr(space, "inherit", None)
    if start != FROM_TEACHER or not callable(inherit):
        return origin.tensors, False
    own = json.loads(json.dumps(dict(origin.arch)))
    also = {"task": context.task} if "task" in inspect.signature(inherit).parameters else {}
    return _checked(inherit(arch, own, dict(origin.tensors), **also), "inherit"), True


def _checked(given: Any, function: str) -> Mapping[str, Tensor]:
    if not isinstance(given, Mapping) or not all(isinstance(each, Tensor) for each in given.values()):
        raise InfeasibleError(f"`{function}` gave a {type(given).__name__}; it should give tensors by name")
    return given

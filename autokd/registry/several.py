"""Joins several search spaces to one, of which each student is of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autokd.choices import suggest_arch
from autokd.errors import InfeasibleError, InputError

if TYPE_CHECKING:
    import optuna
    from torch import nn

    from autokd.types import Arch, SearchSpace, Task

WHICH = "space"
"""The name of the choice of a space, and the key of an architecture that holds it."""


@dataclass(frozen=True)
class Several:
    """A search space that picks one of several spaces, and in it an architecture.

    The choices of each space have its name before theirs, as `text.embedding`. An architecture is that of its space,
    with the name of the space under `space`.

    Args:
        members: the spaces by name.
        references: what names each of them, or the space itself.
    """

    members: Mapping[str, SearchSpace]
    references: Mapping[str, object]

    def suggest(self, trial: optuna.Trial, task: Task) -> Arch:
        """Picks a space, and what this space picks."""
        from autokd.registry.member_trial import MemberTrial  # Optuna takes long to import

        name = trial.suggest_categorical(WHICH, list(self.members))
        member: Any = MemberTrial(trial, name)
        arch = suggest_arch(self.members[name], member, task)
        if isinstance(arch, dict) and WHICH in arch:
            raise InputError(
                f"the suggest of space '{name}' returned an architecture with the key '{WHICH}', which is the name of "
                "the space where a study has several; give this key another name"
            )
        return {WHICH: name, **arch} if isinstance(arch, dict) else arch

    def build(self, arch: Arch, task: Task) -> nn.Module:
        """The network of the space that the architecture names."""
        name, own = self.told_apart(arch)
        return self.members[name].build(own, task)

    def told_apart(self, arch: Arch) -> tuple[str, Arch]:
        """The name of the space of an architecture, and the architecture as this space gave it.

        Raises:
            InfeasibleError: it names none of the spaces.
        """
        name = str(arch.get(WHICH))
        if name not in self.members:
            raise InfeasibleError(
                f"the architecture {arch} is of none of the spaces; give it a key '{WHICH}' with one of "
                f"{', '.join(self.members)}"
            )
        return name, {key: value for key, value in arch.items() if key != WHICH}

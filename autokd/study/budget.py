"""What a search may spend, as a study says it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from autokd.study.section import Section, as_tuple


class Budget(Section):
    """What a search may spend."""

    trials: int = Field(60, ge=1)
    """Students to train. Those that are stopped early count; infeasible and repeated ones train nothing and do not."""
    rungs: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = (3, 9, 27)
    """Epochs after which it is decided who trains on; the last is the full training."""
    epochs: int | None = Field(None, ge=1)
    """Epochs over all students after which the search stops; null sets no limit."""
    trial_minutes: float = Field(30, gt=0)
    """Minutes after which a stretch of training between two rungs counts as hung, and is stopped."""
    disk_gb: float = Field(5, gt=0)
    """Gigabytes the run folder may take; weights of stopped students go first."""
    reseeds: int = Field(3, ge=0)
    """How many fresh seeds students near the front are trained with; 0 leaves the front as the search found it."""

    @field_validator("rungs")
    @classmethod
    def _rungs_rise(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if not rungs or rungs[0] < 1 or any(a >= b for a, b in pairwise(rungs)):
            raise ValueError(f"{list(rungs)} given; write epochs that rise from 1 or more, as [3, 9, 27]")
        return rungs

    @model_validator(mode="after")
    def _one_student_can_finish(self) -> Self:
        if self.epochs is not None and self.epochs < self.rungs[-1]:
            raise ValueError(f"epochs {self.epochs} do not suffice for one student of {self.rungs[-1]} epochs")
        return self

"""The budget of a search, as a study states it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from autokd.study.section import Section, as_tuple


class Budget(Section):
    """How much a search may spend."""

    trials: int = Field(60, ge=1)
    """How many students are trained, counting those that are stopped early. Students that are never trained, because
    they break a bound or repeat another one, do not count."""
    rungs: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = (3, 9, 27)
    """Epochs after which the scheduler decides which students train on. The last is the full training."""
    epochs: int | None = Field(None, ge=1)
    """The search stops after this many epochs over all students. Write a whole number, or null for no limit."""
    trial_minutes: float = Field(30, gt=0)
    """If training from one rung to the next takes more than this many minutes, AutoKD takes it to hang and stops it."""
    disk_gb: float = Field(5, gt=0)
    """How many gigabytes the run folder may take. Weights of stopped students are deleted first."""
    reseeds: int = Field(3, ge=0)
    """With how many fresh seeds students near the front are trained again. 0 leaves the front as the search found
    it."""

    @field_validator("rungs")
    @classmethod
    def _rungs_rise(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if not rungs or rungs[0] < 1 or any(a >= b for a, b in pairwise(rungs)):
            raise ValueError(f"{list(rungs)} given; write rising epochs of 1 or more, such as [3, 9, 27]")
        return rungs

    @model_validator(mode="after")
    def _one_student_can_finish(self) -> Self:
        if self.epochs is not None and self.epochs < self.rungs[-1]:
            raise ValueError(
                f"epochs: {self.epochs} is too few to train one student, which takes {self.rungs[-1]}; raise "
                "epochs, or shorten rungs"
            )
        return self

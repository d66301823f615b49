"""Contracts that plug-ins must meet, so that the author of one tests it in one line.

`class TestMine(SearchSpaceContract): space = "my_package.my_space"` is a whole test file, but for the import;
pytest collects the contract's tests under that class. `check_space` gives the same findings as sentences.
"""

from autokd.testing.losses import LossContract
from autokd.testing.objectives import ObjectiveContract
from autokd.testing.spaces import SearchSpaceContract, SpaceSummary, check_space, describe_space
from autokd.testing.tasks import TaskContract
from autokd.testing.teachers import TeacherContract
from autokd.testing.tiny_task import TinyTask

__all__ = [
    "LossContract",
    "ObjectiveContract",
    "SearchSpaceContract",
    "SpaceSummary",
    "TaskContract",
    "TeacherContract",
    "TinyTask",
    "check_space",
    "describe_space",
]

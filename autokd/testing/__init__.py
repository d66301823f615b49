"""Contracts that plug-ins must meet. The author of a plug-in tests it with one line.

Together with the import, `class TestMine(SearchSpaceContract): space = "my_package.my_space"` is a complete test file:
pytest collects the tests of the contract under that class. `check_space` returns the same findings as sentences.
"""

from autokd.testing.losses import LossContract
from autokd.testing.objectives import ObjectiveContract
from autokd.testing.readings import ReadingContract
from autokd.testing.spaces import SearchSpaceContract, SpaceSummary, check_space, describe_space
from autokd.testing.tasks import TaskContract
from autokd.testing.teachers import TeacherContract
from autokd.testing.tiny_task import TinyTask

__all__ = [
    "LossContract",
    "ObjectiveContract",
    "ReadingContract",
    "SearchSpaceContract",
    "SpaceSummary",
    "TaskContract",
    "TeacherContract",
    "TinyTask",
    "check_space",
    "describe_space",
]

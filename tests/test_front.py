from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autokd.errors import InputError
from autokd.front import Front, Student, as_objectives, marked

OBJECTIVES = [
    {"name": "accuracy", "direction": "maximize", "unit": ""},
    {"name": "parameters", "direction": "minimize", "unit": ""},
]
POINTS = [(0.95, 2000), (0.94, 500), (0.80, 300), (0.60, 200)]


def front_of(*points: tuple[float, float], **changes: Any) -> Front:
    students = [
        Student(
            trial=number,
            arch={"width": 4 + number},
            recipe={"alpha": 0.5},
            values={"accuracy": accuracy, "parameters": parameters},
            spread={"accuracy": 0.01},
        )
        for number, (accuracy, parameters) in enumerate(points)
    ]
    given: dict[str, Any] = {
        "study": "small",
        "objectives": OBJECTIVES,
        "front": students,
        "trials": {"complete": 4},
        "epochs_spent": 16,
        "teacher": {"name": "t", "values": {"accuracy": 0.97}, "test": {}},
        "baselines": {},
        "hypervolume": 0.5,
        "reference": {"accuracy": 0.0, "parameters": 3000.0},
        "validation_labels": 120,
        "standard_error": 0.02,
        "test_reads": 1,
        "final": True,
    }
    return Front(**(given | changes))


def test_a_front_is_its_students_in_order() -> None:
    front = front_of(*POINTS)
    assert len(front) == 4
    assert [student.trial for student in front] == [0, 1, 2, 3]
    assert list(front) == front.front


def test_a_front_is_a_sequence() -> None:
    front = front_of(*POINTS)
    assert isinstance(front, Sequence)
    assert (front[0], front[-1], front[1:3]) == (front.front[0], front.front[3], front.front[1:3])
    assert front.front[2] in front
    assert front.index(front.front[2]) == 2
    assert [student.trial for student in reversed(front)] == [3, 2, 1, 0]
    with pytest.raises(IndexError):
        front[4]


class Nowhere:
    run = Path("runs/nowhere")

    def load(self, trial: int) -> Any: ...
    def retrain(self, trial: int, *, epochs: int | None, seeds: int, reserve: bool, workers: int) -> Any: ...
    def export(self, trial: int, out: str | Path) -> str:
        return f"trial {trial} to {out}"


def test_what_a_front_can_do_is_no_part_of_its_data() -> None:
    bare, front = front_of(*POINTS), front_of(*POINTS).with_door(Nowhere())
    assert (bare.run, front.run) == (None, Path("runs/nowhere"))
    assert front == bare
    assert front.to_dict() == bare.to_dict()
    assert [*front[0].to_dict()] == ["trial", "arch", "recipe", "values", "spread", "seeds", "test", "within_noise"]
    assert repr(front) == repr(bare)


def test_a_picked_student_can_do_what_its_front_was_given() -> None:
    assert front_of(*POINTS).with_door(Nowhere()).pick().export("student.onnx") == "trial 1 to student.onnx"


def test_a_student_without_a_run_says_where_there_is_one() -> None:
    student = front_of(*POINTS)[0]
    for use in (student.load, student.retrain, lambda: student.export("student.onnx")):
        with pytest.raises(InputError, match=r"^trial 0: .* that autokd.load_front\(run\) returns$"):
            use()


def test_a_front_equals_its_own_json_round_trip() -> None:
    front = front_of(*POINTS, note="60 trials are done")
    assert Front.from_dict(json.loads(json.dumps(front.to_dict()))) == front


def test_the_knee_is_picked_unless_told_otherwise() -> None:
    assert front_of(*POINTS).pick().trial == 1


@pytest.mark.parametrize(("by", "trial"), [("accuracy", 0), ("parameters", 3), ("knee", 1)])
def test_the_best_on_one_objective_is_picked_in_its_own_direction(by: str, trial: int) -> None:
    assert front_of(*POINTS).pick(by=by).trial == trial


def test_bounds_hold_at_their_own_value() -> None:
    front = front_of(*POINTS)
    assert front.pick(by="accuracy", maximum={"parameters": 500}).trial == 1
    assert front.pick(by="accuracy", maximum={"parameters": 499}).trial == 2
    assert front.pick(by="parameters", minimum={"accuracy": 0.8}).trial == 2
    assert front.pick(by="parameters", minimum={"accuracy": 0.9}, maximum={"parameters": 5000}).trial == 1


def test_weights_move_the_pick_along_the_front() -> None:
    front = front_of(*POINTS)
    assert front.pick(weights={"accuracy": 1.0}).trial == 0
    assert front.pick(weights={"parameters": 1.0}).trial == 3
    assert front.pick(weights={"accuracy": 1.0, "parameters": 1.0}).trial == 1


@pytest.mark.parametrize("how", [{}, {"by": "accuracy"}, {"weights": {"accuracy": 1.0, "parameters": 1.0}}])
def test_the_order_of_students_does_not_move_the_pick(how: dict[str, Any]) -> None:
    students = front_of((0.9, 300), (0.8, 200), (0.7, 100), (0.9, 300)).front
    for order in permutations(students):
        assert front_of(front=list(order)).pick(**how) == front_of(front=students).pick(**how)


def test_students_that_tie_on_an_objective_are_told_apart_by_the_others() -> None:
    students = [
        Student(number, {}, {}, {"accuracy": 0.9, "latency_ms": latency, "parameters": parameters})
        for number, (latency, parameters) in enumerate([(1.0, 900.0), (1.2, 300.0), (2.0, 100.0)])
    ]
    front = front_of(
        front=students, objectives=[*OBJECTIVES, {"name": "latency_ms", "direction": "minimize", "unit": "ms"}]
    )
    assert front.pick(by="accuracy").trial == 1


def test_a_front_of_one_is_picked_whatever_is_asked() -> None:
    front = front_of(POINTS[0])
    assert [front.pick(by=by).trial for by in ("knee", "accuracy", "parameters")] == [0, 0, 0]


@pytest.mark.parametrize("how", [{"by": "acuracy"}, {"weights": {"acuracy": 1}}, {"maximum": {"acuracy": 1}}])
def test_an_unknown_objective_is_answered_with_the_known_ones(how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"no objective 'acuracy' .*accuracy, parameters.*mean 'accuracy'"):
        front_of(*POINTS).pick(**how)


def test_bounds_nobody_meets_are_answered_with_what_there_is() -> None:
    with pytest.raises(InputError, match=r"no student .* accuracy 0.6 to 0.95, parameters 200 to 2000"):
        front_of(*POINTS).pick(maximum={"parameters": 100})


def test_nothing_can_be_picked_from_an_empty_front() -> None:
    with pytest.raises(InputError, match="the front is empty"):
        front_of().pick()


@given(
    points=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 10**6)), min_size=1, max_size=8),
    weights=st.tuples(st.floats(0.01, 9), st.floats(0.01, 9)),
)
@settings(deadline=None)
def test_a_pick_is_a_member_and_only_the_ratio_of_weights_matters(
    points: list[tuple[float, int]], weights: tuple[float, float]
) -> None:
    front = front_of(*points)
    picked = front.pick(weights={"accuracy": weights[0], "parameters": weights[1]})
    assert picked in front.front
    assert front.pick() in front.front
    doubled = front.pick(weights={"accuracy": 2 * weights[0], "parameters": 2 * weights[1]})
    assert doubled == picked


THREE = [*OBJECTIVES, {"name": "latency_ms", "direction": "minimize", "unit": "ms"}]


def noisy_front(**changes: Any) -> Front:
    """The first costs a little more than the second and is faster by less than the spread; the third is smaller."""
    students = [
        Student(
            number,
            {},
            {},
            {"accuracy": accuracy, "parameters": parameters, "latency_ms": latency},
            {"accuracy": 0.005, "latency_ms": 0.0017},
        )
        for number, (accuracy, parameters, latency) in enumerate(
            [(0.951, 900, 0.0145), (0.952, 800, 0.0155), (0.80, 100, 0.0150)]
        )
    ]
    return front_of(front=students, objectives=THREE, **changes)


def test_an_advantage_within_the_spread_is_marked_and_a_pick_ignores_it() -> None:
    front = noisy_front()
    students = marked(front.front, as_objectives(THREE))
    assert [student.within_noise for student in students] == [True, False, False]
    assert front.pick(by="latency_ms").trial == 2
    assert front.pick(by="accuracy").trial == 1
    assert front.pick(weights={"latency_ms": 1.0}).trial == 2


def test_an_advantage_within_the_spread_counts_where_the_others_break_a_bound() -> None:
    assert noisy_front().pick(maximum={"latency_ms": 0.0148}).trial == 0


def test_without_spread_every_advantage_counts() -> None:
    exact = [replace(student, spread={}) for student in noisy_front()]
    assert not any(student.within_noise for student in marked(exact, as_objectives(THREE)))
    assert marked([], as_objectives(THREE)) == []


def test_a_front_of_before_there_were_marks_is_marked_when_it_is_read() -> None:
    data = noisy_front().to_dict()
    for student in data["front"]:
        del student["within_noise"]
    assert [student.within_noise for student in Front.from_dict(data)] == [True, False, False]


@pytest.mark.parametrize(
    "how",
    [
        {"maximum": 5},
        {"maximum": {"parameters": "2k"}},
        {"minimum": {"accuracy": float("nan")}},
        {"weights": [1, 2]},
        {"weights": {"accuracy": float("inf")}},
        {"by": None},
        {"by": "accuracy", "weights": {"parameters": 1}},
    ],
    ids=str,
)
def test_what_a_pick_cannot_go_by_is_refused_in_one_line(how: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^(no objective|\w+:? .*(given|give) )"):
        front_of(*POINTS).pick(**how)

"""The results of a small search. They are made up, but have the form of real results."""

from __future__ import annotations

from typing import Any

ACCURACY = {"name": "accuracy", "direction": "maximize", "unit": ""}
LATENCY = {"name": "latency_ms", "direction": "minimize", "unit": "ms"}
PARAMETERS = {"name": "parameters", "direction": "minimize", "unit": ""}


def sample_member(trial: int, accuracy: float, latency: float, parameters: float) -> dict[str, Any]:
    return {
        "trial": trial,
        "arch": {"width": trial + 4, "stages": [{"blocks": 1, "kernel": 3}]},
        "recipe": {"alpha": 0.5 + trial / 100, "temperature": 3.14159, "method": "kd", "lr": 5e-3},
        "values": {"accuracy": accuracy, "latency_ms": latency, "parameters": parameters},
        "spread": {"accuracy": 0.0042},
        "seeds": 3,
        "test": {"accuracy": accuracy - 0.01},
    }


def sample_front() -> dict[str, Any]:
    """As `Front.to_dict` gives it."""
    return {
        "study": "digits",
        "objectives": [ACCURACY, LATENCY, PARAMETERS],
        "front": [
            sample_member(12, 0.964, 0.31, 12_345.0),
            sample_member(40, 0.941, 0.12, 1_210.0),
            sample_member(7, 0.729, 0.05, 310.0),
        ],
        "trials": {"complete": 20, "running": 0, "pruned": 31, "infeasible": 2, "failed": 1, "duplicate": 0},
        "epochs_spent": 871,
        "teacher": {
            "name": "resnet",
            "values": {"accuracy": 0.983, "latency_ms": 1.92, "parameters": 272_474.0},
            "test": {"accuracy": 0.977},
        },
        "baselines": {
            "hard": {
                "overrides": [{"recipe.alpha": 0, "budget.trials": 20}],
                "epochs_spent": 290,
                "hypervolume": 0.701,
                "front": [
                    sample_member(3, 0.960, 0.33, 13_000.0),
                    sample_member(5, 0.876, 0.12, 1_210.0),
                    sample_member(9, 0.500, 0.01, 20.0),
                ],
            }
        },
        "hypervolume": 0.812,
        "reference": {"accuracy": 0.1, "latency_ms": 2.0, "parameters": 50_000.0},
        "validation_labels": 359,
        "standard_error": 0.0098,
        "test_reads": 1,
        "final": True,
        "note": "all 54 trials done",
    }


def sample_trials() -> list[dict[str, Any]]:
    states = ["complete", "pruned", "infeasible", "failed"]
    return [
        {
            "trial": i,
            "state": states[i % 4],
            "reason": "" if i % 4 < 2 else "latency_ms 3.1 breaks its bound 2.0",
            "arch": {"width": i} if i % 4 < 2 else None,
            "recipe": {"alpha": 0.5},
            "values": {"parameters": 100.0 * (i + 1)} | ({"accuracy": 0.9, "latency_ms": 0.2} if i % 4 < 2 else {}),
            "epochs": 27 if i % 4 == 0 else 3,
        }
        for i in range(24)
    ]


def sample_data() -> dict[str, Any]:
    return {
        "front": sample_front(),
        "trials": sample_trials(),
        "importance": {"accuracy": {"width": 0.6, "recipe.alpha": 0.4}, "parameters": {"width": 1.0}},
        "study": {"name": "digits", "space": "mobilenet", "budget": {"trials": 60, "rungs": [3, 9, 27]}},
        "environment": {"torch": "2.13.0", "threads": 1},
    }


def sample_progress(complete: int = 20, **changes: Any) -> dict[str, Any]:
    return {
        "event": "progress",
        "trials": {"complete": complete, "running": 2, "pruned": 30, "infeasible": 1, "failed": 0, "duplicate": 3},
        "budget": {"trials": 60, "epochs": None},
        "epochs_spent": 1234,
        "seconds": 75.2,
        "eta_seconds": 31.0,
        "hypervolume": 0.79,
        "objectives": sample_front()["objectives"],
        "front": [sample_member(i, 0.9 - i / 100, 1.0 / (i + 1), 1000.0 - i) for i in range(15)],
        "message": "Training students.",
        **changes,
    }

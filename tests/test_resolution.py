"""The script that compares a searched resolution with fixed ones states its arms, and its table compares by seed."""

from __future__ import annotations

from typing import Any

from claims import load_claim

claim = load_claim("resolution")


def test_arms_differ_in_the_size_alone() -> None:
    arms = {}
    for arm in claim.ARMS:
        given = {"data": "photos", "weights": "w.npz", "epochs": 36, "workers": 1}
        plain = claim.study(arm, 3, **given).model_dump(mode="json")
        arms[arm] = plain["task"]["reading"].pop("size")
        assert plain == claim.study("searched", 3, **given).model_dump(mode="json") | {
            "task": {**plain["task"]},
        }
    assert arms == {"searched": [16, 24, 32], "fixed at 16": 16, "fixed at 24": 24, "fixed at 32": 32}


def test_the_table_compares_seed_by_seed_and_counts_the_sizes_of_the_fronts() -> None:
    def cell(arm: str, seed: int, volume: float, *sizes: int) -> dict[str, Any]:
        values = [{"accuracy": 0.5 - 0.1 * i, "latency_ms": 0.4 - 0.1 * i} for i in range(len(sizes))]
        front = [{"size": size, "values": v, "test": v} for size, v in zip(sizes, values, strict=True)]
        return {"arm": arm, "seed": seed, "hypervolume": volume, "epochs": 36, "seconds": 60.0, "front": front}

    cells = [
        cell("searched", 0, 0.5, 32, 16),
        cell("searched", 1, 0.6, 32, 24),
        cell("fixed at 16", 0, 0.4, 16),
        cell("fixed at 16", 1, 0.3, 16),
        cell("fixed at 16", 2, 0.9, 16),  # without a searched one of its seed
    ]
    searched, fixed = (" ".join(line.split()) for line in claim.table(cells).splitlines()[1:])
    assert searched == "searched 2 0.5500 +- 0.0707 36 1.0 0.500 0.500 0.400 16: 1, 24: 1, 32: 2"
    assert fixed.startswith("fixed at 16 3 0.4000 +- 0.3215 +0.2000 +- 0.1414 36")

"""What a finished run found, to the bit and as plain data, so that a golden file can hold it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from safetensors.torch import load_file

from autokd.driver import load_front
from autokd.record import read_trials
from autokd.registry import resolve
from autokd.study import Setup, read_setup
from autokd.testing import TinyTask
from autokd.trial import training_seed
from autokd.types import Recipe
from autokd.weights import with_earlier_names


def found_in(run: Path) -> dict[str, Any]:
    """Everything that a finished search must find again: its digests, trials, weights, teacher's answers and front."""
    setup = read_setup(run)
    front = load_front(run).to_dict()
    return as_read(
        {
            "made_with": made_with(),
            "digests": setup.digests.model_dump(),
            "teacher": {
                "name": setup.teacher.get("name", ""),
                "values": setup.teacher.get("values", {}),
                "test": front["teacher"].get("test", {}),
                "answers": digest_of_answers(run, setup),
            },
            "ideal_point": setup.ideal_point,
            "reference_point": setup.reference_point,
            "validation_rows": setup.validation_rows,
            "trials": [trial_of(run, trial, setup.study["seed"]) for trial in read_trials(run)],
            "front": front_of(front),
            "baselines": {name: front_of(rival) for name, rival in front["baselines"].items()},
        }
    )


def front_of(front: Mapping[str, Any]) -> dict[str, Any]:
    """The students of a front, their values on fresh seeds and on the test split, and what the search cost."""
    keys = ("trial", "arch", "recipe", "values", "spread", "seeds", "test", "within_noise")
    return {
        "students": [{key: student[key] for key in keys} for student in front["front"]],
        **{key: front[key] for key in ("trials", "epochs_spent", "hypervolume") if key in front},
    }


def trial_of(run: Path, trial: Any, seed: int) -> dict[str, Any]:
    """One trial: what was proposed, its seed, the values at each rung, and digests of the weights that are kept."""
    kept = sorted((run / "trials" / f"{trial.number:05d}").glob("**/weights.safetensors"))
    names = earlier_names(read_setup(run).study.get("space"), trial.arch)
    return {
        "arch": trial.arch,
        "recipe": trial.recipe,
        "seed": training_seed(trial.arch, Recipe(**trial.recipe), seed) if trial.recipe else None,
        "costs": trial.costs,
        "rungs": {str(epoch): values for epoch, values in trial.rungs.items()},
        "spread": trial.spread,
        "state": trial.state,
        "weights": {
            path.parent.relative_to(run / "trials").as_posix(): digest_of_weights(path, names) for path in kept
        },
    }


def earlier_names(space: Any, arch: Any) -> dict[str, str]:
    """The names of a student's weights when the golden files were written, by their names now, where these differ.

    The names do not depend on the size of the inputs.
    """
    if space not in ("mlp", "resnet", "mobilenet", "vit") or arch is None:
        return {}
    network = resolve("search_spaces", space).build(arch, TinyTask())
    return dict(zip(network.state_dict(), with_earlier_names(network).state_dict(), strict=True))


def digest_of_weights(path: Path, names: Mapping[str, str]) -> str:
    """The digest of the names and the bytes of all tensors in a file; `names` has other names for some of them."""
    digest = hashlib.sha256()
    for name, tensor in sorted((names.get(name, name), tensor) for name, tensor in load_file(path).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def digest_of_answers(run: Path, setup: Setup) -> str:
    """The digest of the teacher's answers to all rows and views, those to test rows included; "" without a teacher."""
    if not setup.outputs:
        return ""
    answers = np.load(run / setup.outputs)
    digest = hashlib.sha256(f"{answers.dtype} {answers.shape}".encode() + answers.tobytes())
    return digest.hexdigest()[:16]


def made_with() -> dict[str, str]:
    """That on which the last bits of a training depend: the processor, and the builds of the numerical libraries."""
    processors = Path("/proc/cpuinfo")
    lines = processors.read_text(encoding="utf-8").splitlines() if processors.is_file() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "processor": f"{model}, {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "numpy": np.__version__,
        "sklearn": sklearn.__version__,
    }


def compare(found: Mapping[str, Any], golden: Path, *, update: bool) -> None:
    """Asserts that a run found what a golden file holds; under `update`, writes the file first.

    The last bits of a training depend on the processor and on the builds of the libraries. If these are not the ones
    with which the file was written, only that is compared which no arithmetic of networks decides. To compare every
    bit there, rewrite the golden files with `--update-golden` at the commit before your change.
    """
    if update:
        golden.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(golden.read_text(), parse_constant=str)
    if expected["made_with"] != found["made_with"]:
        found, expected = _decided_beforehand(found), _decided_beforehand(expected)
    for key in expected:
        assert found[key] == expected[key], key


def _decided_beforehand(found: Mapping[str, Any]) -> dict[str, Any]:
    first = found["trials"][0]
    return {
        "digests": {part: found["digests"][part] for part in ("task", "space")},
        "validation_rows": found["validation_rows"],
        "trials": len(found["trials"]),
        "first": {key: first[key] for key in ("arch", "recipe", "seed", "costs")},
    }


def as_read(found: Any) -> Any:
    """What JSON makes of plain data, so that it can be compared with a file; floats keep every bit."""
    return json.loads(json.dumps(found), parse_constant=str)  # NaN differs from itself, so the word NaN is compared

"""Do small students train better from other random first weights than PyTorch's own? Six settings, five ways to draw.

    python studies/claims/first_draws.py --fashion fashion_mnist.npz --adult adult.csv.gz --trec6 trec6.csv.gz

A cell is one training: a setting (a task, its teacher and a search space), an architecture, a seed, a way to draw the
first weights, and a learning rate. All ways share architectures, seeds, batches and recipe (method `kd`, nine epochs,
T 4 and alpha .9 unless the setting says otherwise). The ways, besides PyTorch's own:

- `kaiming`: normal weights whose variance is 2 over the number of inputs of a unit, and 1 over it in the last layer;
  biases are 0 (He et al., 2015, https://arxiv.org/abs/1502.01852, equation 10).
- `lsuv`: orthogonal matrices, each scaled so that its answers to one batch of training rows have variance 1 (Mishkin,
  Matas, 2016, https://arxiv.org/abs/1511.06422, algorithm 1).
- `slices`: the leading slices of PyTorch's own draw for the same architecture with much larger widths. A layer then has
  smaller weights than PyTorch would give it, because PyTorch divides by the root of the larger number of inputs.
- `zero head`: PyTorch's own, but the last layer begins at 0, so that a student begins with the same answer to all rows.

A larger scale of the weights acts like another learning rate, so each way is compared at its best of three rates. That
rate is chosen for each setting by the mean accuracy on validation, and the accuracies that are compared are those on
test. A difference is paired: the standard error is that of the mean over architectures, of which each counts as the
mean over its seeds. Finished cells are appended to --out and are not run again; missing cells are printed. Settings
whose data are not given are left out.

Of 60 students of 300 to 1,500 parameters, twelve in each setting but `trec6, text`, with one seed (1 December 2026, two
loaded cores of an AMD EPYC, torch 2.13), the mean differences from PyTorch's own on test are: `kaiming` -.015 +- .011,
`lsuv` -.006 +- .008, `slices` -.036 +- .012, `zero head` -.024 +- .010. In no setting is a way better by two standard
errors. So AutoKD leaves first weights as the search space draws them.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor, nn

from autokd import Recipe, Study
from autokd.distill import Training
from autokd.driver.costs import random_study
from autokd.driver.preparation import prepare
from autokd.executors import one_thread
from autokd.networks import example_of
from autokd.objectives.costs import parameters
from autokd.trial import Context, build_student, context_of, evaluate, resolve_loss, training_seed
from autokd.types import Arch

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that it finds its neighbours when it is run as a script
from studies.claims.cells import Cell, read_cells, run_missing

LRS = (0.01, 0.03, 0.1)
EPOCHS = 9
RECIPE = Recipe(method="kd", batch_size=64, epochs=EPOCHS)
BINS = ((300, 1500), (1500, 5000))
"""The parameters of the architectures, which are sampled within each of these ranges."""
LARGE = {"widths": 128, "width": 64, "embedding": 64, "channels": 128, "hidden": 128}
"""The widths of the networks from which slices are cut, by the name of the width in an architecture."""

_MOST_DRAWN = 2000
_KEY = ("setting", "arch", "seed", "draw", "lr")
Key = tuple[str, str, int, str, float]
"""A setting, an architecture, a seed, a way to draw, and a learning rate."""
Draw = Callable[[Context, Arch, int], nn.Module]


@dataclass(frozen=True)
class Setting:
    """A task with its teacher, the space of the students, and how much and how softly they learn from the teacher."""

    task: Mapping[str, Any]
    teacher: Mapping[str, Any]
    space: str
    alpha: float = 0.9
    temperature: float = 4.0

    def study(self) -> Study:
        """A study from which the script takes the task, the teacher's answers and the space."""
        return Study.model_validate(
            {
                "name": "first_draws",
                "task": self.task,
                "teacher": self.teacher,
                "space": self.space,
                "objectives": {"accuracy": {}, "parameters": {}},
                "budget": {"trials": 1, "rungs": [EPOCHS]},
                "executor": "inline",
                "workers": 1,
            }
        )


def settings(*, fashion: Path | None, adult: Path | None, trec6: Path | None) -> dict[str, Setting]:
    """The settings by name; those without data are left out."""

    def residual(width: int, epochs: int) -> dict[str, Any]:
        stages = [{"blocks": 1, "kernel": 3, "widen": widen} for widen in (1, 2)]
        return {"space": "resnet", "arch": {"width": width, "stages": stages}, "epochs": epochs}

    digits = {"data": "digits", "labels": 100}
    found = {
        "digits, mlp": Setting(digits, residual(16, 15), "mlp"),
        "digits, mlp, T 1": Setting(digits, residual(16, 15), "mlp", alpha=1.0, temperature=1.0),
        "digits, resnet": Setting(digits | {"rows": 700}, residual(16, 15), "resnet(width=(3, 8))"),
    }
    if fashion is not None:
        images = {"data": str(fashion), "rows": 400, "labels": 200, "validation": 1000}
        found["fashion, mobilenet"] = Setting(images, residual(8, 1) | {"batch_size": 128}, "mobilenet(width=(3, 8))")
    if adult is not None:
        table = {"data": str(adult), "target": "income-per-year", "split": "split", "rows": 1500}
        boosting = "sklearn.ensemble:HistGradientBoostingClassifier"
        teacher = {"sklearn": boosting, "args": {"categorical_features": "from_dtype", "random_state": 0}}
        found["adult, table"] = Setting(table, teacher, "table(body=['mlp', 'residual_mlp'], width=(4, 32))")
    if trec6 is not None:
        texts = {
            "data": str(trec6),
            "text": "text",
            "target": "coarse",
            "split": "split",
            "validation": 0.1,
            "rows": 2000,
        }
        teacher = {"sklearn": str(Path(__file__).parents[1] / "texts.py:two_models")}
        task = texts | {"reading": {"length": 16, "vocabulary": 500}}
        found["trec6, text"] = Setting(task, teacher, "text(kind=['bag', 'cnn'], embedding=(1, 8), channels=(4, 32))")
    return found


def architectures(context: Context, count: int) -> dict[str, int]:
    """The parameters of so many architectures in each range, by the architecture as JSON; the same for a space."""
    study = random_study(0)
    found: dict[tuple[int, int], dict[str, int]] = {each: {} for each in BINS}
    for _ in range(_MOST_DRAWN):
        _, arch = context.suggest_student(study.ask())
        size = int(parameters(build_student(context, arch, seed=0), example_of(context.task)))
        for (low, high), chosen in found.items():
            if low <= size <= high and len(chosen) < count:
                chosen[json.dumps(arch)] = size
        if all(len(chosen) == count for chosen in found.values()):
            break
    return {arch: size for chosen in found.values() for arch, size in chosen.items()}


def own(context: Context, arch: Arch, seed: int) -> nn.Module:
    """PyTorch's own first weights."""
    return build_student(context, arch, seed=seed)


def kaiming(context: Context, arch: Arch, seed: int) -> nn.Module:
    """Normal weights whose variance is two over the inputs of a unit, one over them in the last layer; no biases."""
    student = own(context, arch, seed)
    layers = layers_of(student)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if layer is layers[-1] else "relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return student


def lsuv(context: Context, arch: Arch, seed: int) -> nn.Module:
    """Orthogonal weights, scaled layer by layer so that the answers to one batch have variance 1; no biases."""
    student = own(context, arch, seed)
    task: Any = context.task
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        rows = torch.cat([task.splits["train"], task.splits["transfer"]])
        batch = task.inputs(rows[torch.randperm(len(rows))[:128]])
        state = {name: value.clone() for name, value in student.named_buffers()}
        for layer in layers_of(student):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            spread = spread_of(student, layer, batch)
            if spread > 0:
                layer.weight /= spread
        for name, value in student.named_buffers():  # the batch is not counted in the statistics of a batch norm
            value.copy_(state[name])
    return student


def slices(context: Context, arch: Arch, seed: int) -> nn.Module:
    """The leading slices of PyTorch's own draw for the same architecture with much larger widths."""
    student = own(context, arch, seed)
    large = own(context, larger(arch), seed).state_dict()
    with torch.no_grad():
        for name, tensor in student.state_dict().items():
            tensor.copy_(large[name][tuple(slice(size) for size in tensor.shape)])
    return student


def zero_head(context: Context, arch: Arch, seed: int) -> nn.Module:
    """PyTorch's own draw with a last layer of zeros."""
    student = own(context, arch, seed)
    for parameter in layers_of(student)[-1].parameters():
        nn.init.zeros_(parameter)
    return student


DRAWS: Mapping[str, Draw] = {"own": own, "kaiming": kaiming, "lsuv": lsuv, "slices": slices, "zero head": zero_head}


def layers_of(student: nn.Module) -> list[Any]:
    """The linear layers and convolutions of a network, in the order of their names; the last one gives the answers."""
    return [module for module in student.modules() if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)]


def spread_of(student: nn.Module, layer: nn.Module, batch: Tensor) -> float:
    """The standard deviation of what a layer gives while the network reads a batch."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _given, answer: seen.append(answer))
    student(batch)
    hook.remove()
    return float(seen[0].detach().std())


def larger(arch: Any, width: int = 0) -> Any:
    """An architecture, or a part of it, with the widths of `LARGE`; `width` is that of a number which is given."""
    if isinstance(arch, list):
        return [larger(each, width) for each in arch]
    if isinstance(arch, dict):
        return {name: larger(value, LARGE.get(name, 0)) for name, value in arch.items()}
    return max(arch, width) if isinstance(arch, int) else arch


def train(context: Context, arch: Arch, recipe: Recipe, draw: str, seed: int) -> dict[str, float]:
    """The accuracy on validation and test after training from weights that are drawn in this way."""
    of = training_seed(arch, Recipe(), seed)  # not of this recipe, so that all rates share weights and batches
    student, loss = DRAWS[draw](context, arch, of), resolve_loss(recipe.method)
    training = Training(student, context.data, context.answers_on_device, recipe, loss=loss, seed=of)
    try:
        training.run(0, EPOCHS)
        return {split: evaluate(context, training.student, split)["accuracy"] for split in ("validation", "test")}
    except FloatingPointError:
        blind = context.task.chance
        return {"validation": blind, "test": blind}


def gains(cells: Sequence[Cell], rates: Mapping[str, float], draw: str) -> list[float]:
    """What a way to draw gains over PyTorch's own on test, for each architecture as the mean over its seeds.

    Args:
        cells: the cells of one setting.
        rates: the learning rate at which each way is compared.
        draw: the way to draw.
    """
    tests = {
        way: {(cell["arch"], cell["seed"]): cell["test"] for cell in cells if cell["draw"] == way and cell["lr"] == lr}
        for way, lr in rates.items()
    }
    by_arch: dict[str, list[float]] = {}
    for arch, seed in tests[draw].keys() & tests["own"].keys():
        by_arch.setdefault(arch, []).append(tests[draw][arch, seed] - tests["own"][arch, seed])
    return [mean(by_arch[arch]) for arch in sorted(by_arch)]


def table(cells: Sequence[Cell]) -> str:
    """For each setting and size: accuracy on test from PyTorch's own weights, and what each other way gains."""
    others = [draw for draw in DRAWS if draw != "own"]
    lines = [f"{'setting':20}{'parameters':>12}{'students':>9}{'own':>14}" + "".join(f"{draw:>27}" for draw in others)]
    pooled: dict[tuple[tuple[int, int], str], list[float]] = {}
    for setting in dict.fromkeys(cell["setting"] for cell in cells):
        of = [cell for cell in cells if cell["setting"] == setting]
        rates = best_rates(of)
        for low, high in BINS:
            sized = [cell for cell in of if low <= cell["parameters"] <= high]
            tests = [cell["test"] for cell in sized if cell["draw"] == "own" and cell["lr"] == rates["own"]]
            if not tests:
                continue
            entries = []
            for draw in others:
                found = gains(sized, rates, draw) if draw in rates else []
                pooled.setdefault(((low, high), draw), []).extend(found)
                entries.append(f"{_entry(found)} at {rates.get(draw, math.nan):g}")
            students = len({cell["arch"] for cell in sized})
            own_entry = f"{mean(tests):.3f} at {rates['own']:g}"
            lines.append(
                f"{setting:20}{low:>6}-{high:<5}{students:9}{own_entry:>14}"
                + "".join(f"{entry:>27}" for entry in entries)
            )
    for low, high in BINS:
        entries = [_entry(pooled.get(((low, high), draw), [])) for draw in others]
        students = max((len(pooled.get(((low, high), draw), [])) for draw in others), default=0)
        lines.append(f"{'all':20}{low:>6}-{high:<5}{students:9}{'':14}" + "".join(f"{entry:>27}" for entry in entries))
    return "\n".join(lines)


def best_rates(cells: Sequence[Cell]) -> dict[str, float]:
    """The learning rate with the best mean accuracy on validation, by way to draw; the smallest of equal ones."""
    seen: dict[str, dict[float, list[float]]] = {}
    for cell in cells:
        seen.setdefault(cell["draw"], {}).setdefault(cell["lr"], []).append(cell["validation"])
    return {draw: min(by_lr, key=lambda lr: (-mean(by_lr[lr]), lr)) for draw, by_lr in seen.items()}


def _entry(found: Sequence[float]) -> str:
    if len(found) < 2:
        return "-"
    return f"{mean(found):+.4f} +- {stdev(found) / math.sqrt(len(found)):.4f}"


def main() -> None:
    """Runs the missing cells as long as time allows, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fashion", type=Path, help="Fashion-MNIST as an .npz file or a folder of idx files")
    parser.add_argument("--adult", type=Path, help="the UCI Adult data with a column `split`")
    parser.add_argument("--trec6", type=Path, help="the questions of TREC with columns `split`, `coarse` and `text`")
    parser.add_argument("--out", type=Path, default=Path("first_draws.jsonl"), help="the file of finished cells")
    parser.add_argument("--minutes", type=float, default=30, help="no cell begins after this many minutes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--architectures", type=int, default=12, help="so many of each range of parameters")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    one_thread()
    cells = read_cells(options.out)
    found = settings(fashion=options.fashion, adult=options.adult, trec6=options.trec6)
    with tempfile.TemporaryDirectory(prefix="autokd-claim-") as folder:
        contexts = {name: context_in(Path(folder), name, setting) for name, setting in found.items()}
        sizes = {name: architectures(context, options.architectures) for name, context in contexts.items()}
        wanted = [
            (name, arch, seed, draw, lr)
            for low, high in BINS
            for seed in range(options.seeds)
            for name in found
            for arch, size in sizes[name].items()
            if low <= size <= high
            for draw in DRAWS
            for lr in LRS
        ]

        def run(key: Key) -> Cell:
            name, arch, seed, draw, lr = key
            recipe = replace(RECIPE, alpha=found[name].alpha, temperature=found[name].temperature, lr=lr)
            accuracy = train(contexts[name], json.loads(arch), recipe, draw, seed)
            return dict(zip(_KEY, key, strict=True)) | {"parameters": sizes[name][arch], **accuracy}

        left = run_missing(wanted, cells, options.out, key=itemgetter(*_KEY), run=run, end=end)
    print(f"machine: {os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}; {EPOCHS} epochs\n")
    if cells:
        print(table(cells))
    print(f"missing cells: {dict(Counter((name, seed) for name, _, seed, _, _ in left)) or 'none'}")


def context_in(folder: Path, name: str, setting: Setting) -> Context:
    """The task and the teacher's answers of a setting, kept in a folder."""
    run = prepare(setting.study(), folder / name)
    return context_of(run.folder, run.setup)


if __name__ == "__main__":
    main()

"""The rival in `race.py`: a search as a user would write it without AutoKD, with plain Optuna and PyTorch.

    python studies/claims/plain_optuna.py DATA RUN --sampler tpe --seed 0 --seconds 180

DATA is a folder that `race.py` wrote: `data.npz` (inputs normalised, rows split), `teacher.safetensors`, and the ranges
in `study.json`. The script is what someone would write who knows the tools. It runs two processes of one thread on one
SQLite storage, keeps the data in memory without a DataLoader, and refuses students that are too large before it trains
them. But it asks the teacher about every batch again, and it trains every student to the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import sqlalchemy
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

BATCH = 64
STUDY = "plain"


class Distillation:
    """The objective: it trains the student of a trial and returns its validation accuracy and its parameters."""

    def __init__(self, folder: Path, run: Path, seed: int) -> None:
        self.run, self.seed = run, seed
        self.data = {name: torch.from_numpy(array) for name, array in np.load(folder / "data.npz").items()}
        given = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        self.ranges, self.epochs = given["recipe"], given["budget"]["rungs"][-1]
        self.bound = given["objectives"]["parameters"]["bound"]
        self.task = SimpleNamespace(
            input_shape=tuple(self.data["x_train"].shape[1:]), num_outputs=int(self.data["y_train"].max()) + 1
        )
        self.space = import_module(f"search_spaces.{given['space']}")
        teacher = import_module(f"search_spaces.{given['teacher']['space']}")
        self.teacher: nn.Module = teacher.build(given["teacher"]["arch"], self.task)
        self.teacher.load_state_dict(load_file(folder / "teacher.safetensors"))
        self.teacher.eval()

    def __call__(self, trial: optuna.Trial) -> tuple[float, int]:
        """Accuracy and parameters of one trial. The weights are saved."""
        arch = self.space.suggest(trial)
        alpha, temperature, lr = (
            trial.suggest_float(name, **self.ranges[name]) for name in ("alpha", "temperature", "lr")
        )
        torch.manual_seed(1000 * self.seed + trial.number)
        student: nn.Module = self.space.build(arch, self.task)
        parameters = sum(parameter.numel() for parameter in student.parameters())
        trial.set_constraint("parameters", parameters - self.bound)
        if parameters > self.bound:
            raise optuna.TrialPruned("too large")

        self.train(student, alpha, temperature, lr)
        student.eval()
        with torch.no_grad():
            answers = student(self.data["x_validation"]).argmax(dim=1)
        save_file(student.state_dict(), self.run / f"{trial.number}.safetensors")
        return (answers == self.data["y_validation"]).float().mean().item(), parameters

    def train(self, student: nn.Module, alpha: float, temperature: float, lr: float) -> None:
        """Trains on labelled and unlabelled rows together: the hard loss on labelled rows, the soft loss on all."""
        x, y, unlabelled = self.data["x_train"], self.data["y_train"], self.data["x_transfer"]
        steps = -(-(len(x) + len(unlabelled)) // BATCH)
        optimizer = torch.optim.AdamW(student.parameters(), lr=lr, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * self.epochs)
        for _ in range(self.epochs):
            for rows, others in zip(batches(len(x), steps), batches(len(unlabelled), steps), strict=True):
                inputs, labels = torch.cat([x[rows], unlabelled[others]]), y[rows]
                with torch.no_grad():
                    taught = self.teacher(inputs)
                outputs = student(inputs)
                soft = F.kl_div(
                    F.log_softmax(outputs / temperature, dim=1),
                    F.softmax(taught / temperature, dim=1),
                    reduction="batchmean",
                )
                hard = F.cross_entropy(outputs[: len(labels)], labels)
                loss = alpha * temperature**2 * soft + (1 - alpha) * hard
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()


def batches(rows: int, steps: int) -> list[Tensor]:
    """`steps` full batches of row numbers, from as many shuffles as needed."""
    shuffles = [torch.randperm(rows) for _ in range(-(-steps * BATCH // rows))]
    return list(torch.cat(shuffles)[: steps * BATCH].split(BATCH))


def make_sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    """TPE, which takes parallel workers into account by default, or NSGA-II."""
    if name == "tpe":
        return optuna.samplers.TPESampler(multivariate=True, seed=seed)
    return optuna.samplers.NSGAIISampler(seed=seed)


def work(options: argparse.Namespace, worker: int) -> None:
    """Runs trials in one of the two processes."""
    torch.set_num_threads(1)
    study = optuna.load_study(
        study_name=STUDY, storage=storage(options.run), sampler=make_sampler(options.sampler, 2 * options.seed + worker)
    )
    study.optimize(Distillation(options.data, options.run, options.seed), timeout=options.seconds)


def storage(run: Path) -> str:
    """The URL of the storage."""
    return sqlalchemy.URL.create("sqlite", database=str(run / "study.db")).render_as_string()


def main() -> None:
    """Searches for `--seconds` seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sampler", choices=("tpe", "nsga2"), default="tpe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=180)
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    optuna.create_study(study_name=STUDY, storage=storage(options.run), directions=["maximize", "minimize"])
    workers: list[Any] = [multiprocessing.Process(target=work, args=(options, worker)) for worker in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()

"""One run of another optimiser on a table. The request is read as JSON from stdin, and the result is written to stdout.

`search_efficiency.py` starts this script for each optimiser, in the environment that the optimiser needs; AutoKD is not
installed there. All optimisers are told the same: how many choices each parameter has and, for each proposal, losses on
the scale of the hypervolume, which no search knows beforehand. (These do not help every optimiser: on NAS-Bench-Macro
after 100 evaluations, Optuna's TPE reached .931 with them and .949 with the plain values, median of 8 seeds.) A
proposal that is not in the table does not count. The optimiser is told that it failed or, where an optimiser knows no
failures, that it has a loss of 2 in every objective.

The settings are those that each project documents for such a search. Any other setting is explained where it is made.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Losses = list[float]
_OUTSIDE = 2.0
_PATIENCE = 20
"""A run ends early after this many proposals per wanted evaluation: a peer may repeat a row that does not exist."""


class Evaluations:
    """The table as a peer sees it: it gives the losses of a proposal and keeps the rows that were tried.

    Args:
        asked: the request, with `choices` (their number, for each parameter), `codes` (rows x parameters), `losses`
            (rows x objectives), `evaluations` (the number that is wanted) and `rungs` (losses by epoch; the last of
            these are `losses`).
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.choices: list[int] = asked["choices"]
        self.objectives = len(asked["losses"][0])
        self.wanted: int = asked["evaluations"]
        self.rungs = {int(epoch): losses for epoch, losses in asked["rungs"].items()}
        self._losses: list[Losses] = asked["losses"]
        self._row: dict[tuple[int, ...], int] = {}
        for row, codes in enumerate(asked["codes"]):
            self._row.setdefault(tuple(codes), row)
        self.rows: list[int] = []
        self.spent: list[float] = []
        self.seconds, self.proposals = 0.0, 0

    def __call__(self, codes: Sequence[int]) -> Losses | None:
        """The losses of a proposal, which counts as an evaluation; None if it is not in the table."""
        row = self.row(codes)
        if row is None:
            return None
        if not self.done:
            self.rows.append(row)
            self.spent.append(len(self.rows))
        return self._losses[row]

    def row(self, codes: Sequence[int]) -> int | None:
        """The number of the row of a proposal; None if it is not in the table."""
        self.proposals += 1
        return self._row.get(tuple(int(code) for code in codes))

    @property
    def done(self) -> bool:
        """Whether the run is over."""
        spent = self.spent[-1] if self.spent else 0
        return spent >= self.wanted or self.proposals >= _PATIENCE * self.wanted

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        """Adds the time of the block to the seconds of proposing."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started


def optuna_sampler(name: str, settings: Mapping[str, Any]) -> Callable[[Evaluations, int], None]:
    """A plain Optuna study in memory with a sampler of `optuna.samplers`."""

    def run(evaluate: Evaluations, seed: int) -> None:
        import optuna

        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = getattr(optuna.samplers, name)(seed=seed, **settings)
        study = optuna.create_study(sampler=sampler, directions=["minimize"] * evaluate.objectives)
        while not evaluate.done:
            with evaluate.timed():
                trial = study.ask()
                codes = [trial.suggest_categorical(str(i), range(n)) for i, n in enumerate(evaluate.choices)]
            losses = evaluate(codes)
            with evaluate.timed():
                if losses is None:
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                else:
                    study.tell(trial, losses)

    return run


def pymoo_nsga3(evaluate: Evaluations, seed: int) -> None:
    """NSGA-III of pymoo on choices, with about 50 directions, so that 500 evaluations make ten generations."""
    import numpy as np
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination
    from pymoo.core.variable import Choice
    from pymoo.util.ref_dirs import get_reference_directions

    partitions = {2: 49, 3: 8, 4: 5}[evaluate.objectives]
    algorithm = NSGA3(
        get_reference_directions("das-dennis", evaluate.objectives, n_partitions=partitions),
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
        eliminate_duplicates=MixedVariableDuplicateElimination(),
    )
    variables = {str(i): Choice(options=list(range(n))) for i, n in enumerate(evaluate.choices)}
    algorithm.setup(
        Problem(vars=variables, n_obj=evaluate.objectives), termination=NoTermination(), seed=seed, verbose=False
    )
    while not evaluate.done:
        with evaluate.timed():
            proposed = algorithm.ask()
        if proposed is None or len(proposed) == 0:
            return
        losses = [evaluate(list(each.X.values())) or [_OUTSIDE] * evaluate.objectives for each in proposed]
        proposed.set("F", np.array(losses))
        for each in proposed:
            each.evaluated.update(("F", "G", "H"))
        with evaluate.timed():
            algorithm.tell(infills=proposed)


def syne_tune_morea(evaluate: Evaluations, seed: int) -> None:
    """Syne Tune's multi-objective regularised evolution."""
    from syne_tune.config_space import choice
    from syne_tune.optimizer.schedulers.multiobjective import MultiObjectiveRegularizedEvolution

    space = {str(i): choice(list(range(n))) for i, n in enumerate(evaluate.choices)}
    searcher = MultiObjectiveRegularizedEvolution(space, random_seed=seed)
    while not evaluate.done:
        with evaluate.timed():
            config = searcher.suggest()
        losses = evaluate([config[name] for name in space]) or [_OUTSIDE] * evaluate.objectives
        with evaluate.timed():
            searcher.on_trial_complete(evaluate.proposals, config, losses)


def syne_tune_moasha(evaluate: Evaluations, seed: int) -> None:
    """Syne Tune's MOASHA. It spends epochs, as shares of a full training; rows trained to the end count as tried."""
    import datetime

    import numpy as np
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice
    from syne_tune.optimizer.scheduler import SchedulerDecision
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    np.random.seed(seed)  # MOASHA draws from this generator
    epochs = sorted(evaluate.rungs)
    names = [str(i) for i in range(evaluate.objectives)]
    space = {str(i): choice(list(range(n))) for i, n in enumerate(evaluate.choices)}
    scheduler = MOASHA(
        space,
        names,
        time_attr="epoch",
        max_t=epochs[-1],
        grace_period=epochs[0],
        reduction_factor=epochs[1] / epochs[0],
        random_seed=seed,
    )
    spent = 0.0
    while not evaluate.done and spent < evaluate.wanted:
        with evaluate.timed():
            config = scheduler.suggest().config
        row = evaluate.row([config[name] for name in space])
        if row is None:
            continue
        trial = Trial(evaluate.proposals, config, datetime.datetime.now())
        scheduler.on_trial_add(trial)
        for start, stop in zip([0, *epochs], epochs, strict=False):
            spent += (stop - start) / epochs[-1]
            result = dict(zip(names, evaluate.rungs[stop][row], strict=True)) | {"epoch": stop}
            with evaluate.timed():
                decision = scheduler.on_trial_result(trial, result)
            if stop == epochs[-1] and spent <= evaluate.wanted:
                evaluate.rows.append(row)
                evaluate.spent.append(spent)
            elif decision == SchedulerDecision.STOP:
                break
        scheduler.on_trial_remove(trial)


def neps_bayesian(evaluate: Evaluations, seed: int) -> None:
    """NePS's Bayesian optimisation, which uses noisy expected hypervolume improvement for several objectives.

    NePS is told negated losses and a reference point of -1. NePS 0.17 documents that it minimises losses. For one
    objective it turns the sign before its acquisition, which maximises; for several it does not. With losses as
    documented, it proposed the costliest networks again and again and stayed below random search.
    """
    import random

    import neps
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    names = [f"p{i}" for i in range(len(evaluate.choices))]
    parameters = {
        name: neps.HPOCategorical([str(choice) for choice in range(n)])
        for name, n in zip(names, evaluate.choices, strict=True)
    }
    reference = (-1.0,) * evaluate.objectives
    optimizer = neps.AskAndTell(
        neps.algorithms.bayesian_optimization(neps.SearchSpace(parameters), reference_point=reference)
    )
    while not evaluate.done:
        with evaluate.timed():
            trial = optimizer.ask()
        losses = evaluate([int(trial.config[name]) for name in names]) or [_OUTSIDE] * evaluate.objectives
        with evaluate.timed():
            optimizer.tell(trial, [-loss for loss in losses])


PEERS: Mapping[str, Callable[[Evaluations, int], None]] = {
    "random": optuna_sampler("RandomSampler", {}),
    "tpe": optuna_sampler("TPESampler", {"multivariate": True}),
    "nsga2": optuna_sampler("NSGAIISampler", {}),
    "nsga3": optuna_sampler("NSGAIIISampler", {}),
    "gp": optuna_sampler("GPSampler", {}),
    "pymoo-nsga3": pymoo_nsga3,
    "morea": syne_tune_morea,
    "moasha": syne_tune_moasha,
    "neps": neps_bayesian,
}


def main() -> None:
    """Reads the request from stdin, runs it, and writes the result to stdout."""
    asked = json.load(sys.stdin)
    evaluate = Evaluations(asked)
    with contextlib.redirect_stdout(sys.stderr):
        PEERS[asked["sampler"]](evaluate, asked["seed"])
    found = {"rows": evaluate.rows, "spent": evaluate.spent}
    print(json.dumps(found | {"seconds": evaluate.seconds, "proposals": evaluate.proposals}))


if __name__ == "__main__":
    main()

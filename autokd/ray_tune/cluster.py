"""A Ray cluster as a place to train: connecting, training through Ray Tune, and disconnecting."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError, WorkerCrashedError
from ray.tune import ResultGrid

from autokd.checkpoints import drop
from autokd.driver.core import Driver
from autokd.driver.events import Notify, fresh_seeds
from autokd.driver.loop import finished
from autokd.driver.run import Run
from autokd.errors import InputError, said
from autokd.latency.meter import Meter
from autokd.latency.node import meter_of_cluster
from autokd.ray_tune.doors import AdvanceScheduler, ProposeSearcher, Search, ShowValues
from autokd.ray_tune.shipment import sender, ship
from autokd.ray_tune.storage import Storage
from autokd.ray_tune.worker import StretchTrainable, Work, train, with_absolute_paths
from autokd.study import RayExecutor, Study
from autokd.teachers.files import digest_of
from autokd.trial import Stretch

_TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",  # else Tune prints a table at any verbosity
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # else it writes three files for each trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # else Tune swallows Ctrl-C
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the record has the errors
}
"""Settings that Tune reads from the environment only."""
_CONNECT_SECONDS = 10


@contextmanager
def connected(study: Study) -> Iterator[Cluster]:
    """The cluster that a study names, connected while the block runs. An earlier connection is kept open afterwards.

    Raises:
        InputError: there is no cluster at that address, or a cluster of this machine alone has no room for one student.
    """
    settings = study.executor
    assert isinstance(settings, RayExecutor)
    mine = not ray.is_initialized()
    if mine:
        _connect(settings.address)
    try:
        _look_for_room(settings, study.workers)
        yield Cluster(settings, study.workers, meter_of_cluster(retries=settings.max_failures, send=sender()))
    finally:
        if mine:
            ray.shutdown()


@dataclass(frozen=True)
class Cluster:
    """A connected cluster.

    Args:
        settings: the settings of the study's executor.
        workers: how many students train at once.
        meter: measures latencies.
    """

    settings: RayExecutor
    workers: int
    meter: Meter

    def start(self) -> None:
        """Does nothing, because Tune starts a process with its first student."""

    def run_trials(self, run: Run, driver: Driver, *, seconds: float | None, notify: Notify) -> str:
        """Trains until the search ends, like `driver.loop.run_trials`."""
        return self.tune(run, driver, seconds=seconds, notify=notify)[0]

    def tune(self, run: Run, driver: Driver, *, seconds: float | None, notify: Notify) -> tuple[str, ResultGrid]:
        """The same as `run_trials`, and Tune's results: a row for each trial that was trained in this call."""
        settings = self.settings
        work = self._work(run)
        search = Search(driver, workers=self.workers, storage=_storage(work), seconds=seconds, notify=notify)
        with (
            _environment({**_TUNE, "TUNE_MAX_PENDING_TRIALS_PG": str(self.workers + 1)}),
            TemporaryDirectory(prefix="autokd-tune-") as folder,
        ):
            tuner = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(StretchTrainable, work=work),
                    {"cpu": settings.cpus_per_trial, "gpu": settings.gpus_per_trial},
                ),
                tune_config=tune.TuneConfig(
                    search_alg=ProposeSearcher(search),
                    scheduler=AdvanceScheduler(search),
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=_name,
                    trial_dirname_creator=_name,
                ),
                run_config=tune.RunConfig(
                    name=run.context.study.name,
                    storage_path=folder,  # Tune needs a folder, but AutoKD never restores from it
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # stretches write their own
                    failure_config=tune.FailureConfig(max_failures=settings.max_failures),
                    callbacks=[ShowValues(search)],
                    verbose=0,
                ),
            )
            found = tuner.fit()
        return search.ended, found

    def train_all(self, run: Run, stretches: Sequence[Stretch], *, notify: Notify) -> dict[str, dict[str, Any]]:
        """Trains all stretches, like `driver.loop.train_all`."""
        task = ray.remote(
            num_cpus=self.settings.cpus_per_trial,
            num_gpus=self.settings.gpus_per_trial,
            max_retries=self.settings.max_failures,
        )(train)
        work, results = self._work(run), finished(stretches)
        storage = _storage(work)
        waiting = deque(stretch for stretch in stretches if stretch.folder not in results)
        for stretch in waiting:  # a stretch that failed before is tried again
            drop(Path(stretch.folder))
            if storage is not None:
                storage.drop(stretch.folder)
        under_way: dict[Any, Stretch] = {}
        while waiting or under_way:
            while waiting and len(under_way) < self.workers:
                stretch = waiting.popleft()
                under_way[task.remote(work, with_absolute_paths(stretch))] = stretch
            notify(fresh_seeds(len(results), len(stretches)))
            done, _ = ray.wait(list(under_way), timeout=0.5)
            for reference in done:
                folder = under_way.pop(reference).folder
                results[folder] = _outcome(reference)
                if storage is not None and storage.result(folder) is not None:
                    storage.fetch(folder, Path(folder))
        return results

    def _work(self, run: Run) -> Work:
        shipment, storage = ship(run, elsewhere=self.settings.address != "local"), ""
        if self.settings.storage:
            own = f"{run.context.study.name}-{digest_of(shipment.run)[:8]}"  # runs may share the storage
            storage = f"{self.settings.storage.rstrip('/')}/{own}"
        return Work(shipment, storage, minutes=run.context.study.budget.trial_minutes)


def _outcome(reference: Any) -> dict[str, Any]:
    try:
        outcome: dict[str, Any] = ray.get(reference)
    except WorkerCrashedError:
        return {"error": "the worker process died"}
    return outcome


def _storage(work: Work) -> Storage | None:
    if not work.storage:
        return None
    storage = Storage(work.storage, work.shipment.run)
    storage.make()
    return storage


def _name(trial: Any) -> str:
    return f"trial-{trial.config['trial']:05d}"


def _look_for_room(settings: RayExecutor, workers: int) -> None:
    """Warns if fewer students than asked for can train at once. Ray itself would wait silently.

    Raises:
        InputError: the cluster is this machine alone, and it has no room for one student.
    """
    asked = {"CPU": settings.cpus_per_trial, "GPU": settings.gpus_per_trial}
    asked = {name: amount for name, amount in asked.items() if amount}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(min(int(node.get(name, 0) / amount + 1e-9) for name, amount in asked.items()) for node in nodes)
    wanted = " and ".join(f"{amount:g} {name}" for name, amount in asked.items())
    if not room and settings.address == "local":
        there = " and ".join(f"{nodes[0].get(name, 0):g} {name}" for name in asked)
        raise InputError(
            f"executor: each student needs {wanted}, but Ray on this machine has {there}; ask for less with "
            "executor.cpus_per_trial and executor.gpus_per_trial, or name a cluster with executor.address"
        )
    if room < workers:
        logging.getLogger("autokd").warning(
            "Ray's nodes have room for %d of %d students at once (%s each). The others wait.", room, workers, wanted
        )


def _connect(address: str) -> None:
    named = (os.environ.get("RAY_ADDRESS") or address) if address == "auto" else address
    try:
        if address.startswith("ray://"):
            raise ValueError("a search does not run through Ray's client; run it on the cluster with `ray job submit`")
        if named.startswith("http"):
            raise ValueError("`ray job` submits to this address; a search connects to the head node, like host:6379")
        host, _, port = named.rpartition(":")
        if host:  # Ray itself tries for two minutes
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        dashboard = False if address == "local" else None
        ray.init(address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        reason = said(error).rstrip(".")
        where = f"'{address}'" if named == address else f"'{named}', as RAY_ADDRESS says,"
        raise InputError(
            f"executor.address: no Ray cluster at {where} ({reason}); start one with `ray start --head` and write "
            "auto, or write local to let AutoKD start Ray on this machine"
        ) from error


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

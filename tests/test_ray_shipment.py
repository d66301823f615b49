"""Driver and nodes share no disk: the data of a run travel once, and checkpoints travel both ways."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import needs
from small import small_run, small_study

from autokd.checkpoints import write_result
from autokd.driver import search_study
from autokd.record import read_trials
from autokd.teachers.cache import open_outputs
from autokd.trial import load_context

pytestmark = needs("ray")


@pytest.mark.usefixtures("ray_here")
def test_a_node_that_does_not_see_the_run_folder_is_sent_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autokd.ray_tune import shipment

    monkeypatch.setattr(shipment.tempfile, "gettempdir", lambda: str(tmp_path / "node"))
    (tmp_path / "node").mkdir()
    run = small_run(tmp_path)
    sent = replace(shipment.ship(run, elsewhere=True), run="/no/such/folder")
    home = shipment.unpack(sent)
    assert torch.equal(load_context(str(home)).answers.nan_to_num(), run.context.answers.nan_to_num())
    assert load_context(str(home)).task.digest == run.context.task.digest
    assert open_outputs(home / run.setup.outputs).shape == run.context.answers.shape
    monkeypatch.setattr("ray.get", lambda reference: pytest.fail("sent twice"))
    assert shipment.unpack(sent) == home


@pytest.mark.usefixtures("ray_here")
def test_a_node_that_sees_the_run_folder_is_sent_nothing(tmp_path: Path) -> None:
    from autokd.ray_tune.shipment import ship, unpack

    run = small_run(tmp_path)
    assert ship(run, elsewhere=False).files == {}
    assert unpack(ship(run, elsewhere=False)) == run.folder


def test_checkpoints_go_to_a_url_and_back(tmp_path: Path) -> None:
    from autokd.ray_tune.storage import Storage

    storage = Storage(f"memory://{uuid.uuid4().hex}/search", str(tmp_path / "run"))
    result = {"epoch": 9, "values": {"accuracy": 0.5}}
    stretch = tmp_path / "run" / "trials" / "00003" / "attempt-0" / "epoch-0009"
    stretch.mkdir(parents=True)
    (stretch / "weights.safetensors").write_bytes(b"weights")
    write_result(stretch, result)
    assert storage.result(stretch) is None
    storage.drop(stretch)
    storage.put(stretch, stretch)
    assert storage.result(stretch) == result
    assert storage.finished(stretch.parent.parent) == [stretch]
    storage.fetch(stretch, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "weights.safetensors").read_bytes() == b"weights"
    storage.drop(stretch)
    assert storage.result(stretch) is None


def test_a_url_that_nothing_understands_is_refused(tmp_path: Path) -> None:
    from autokd.errors import InputError
    from autokd.ray_tune.storage import Storage

    with pytest.raises(InputError, match=r"executor.storage: 'nothing://x' cannot be used"):
        Storage("nothing://x", str(tmp_path))


def test_a_place_where_nothing_can_be_written_is_refused(tmp_path: Path) -> None:
    from autokd.errors import InputError
    from autokd.ray_tune.storage import Storage

    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"executor.storage: '.*file/below' cannot be written \(NotADirectoryError: "):
        Storage(str(tmp_path / "file" / "below"), str(tmp_path)).make()


@pytest.mark.usefixtures("ray_here")
def test_with_a_storage_the_numbers_are_the_same_and_the_run_folder_has_all_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"sampler": "random", "scheduler": "none", "budget.trials": 3}
    here = search_study(small_study(**options), run=tmp_path / "here")
    executor = {"name": "ray", "storage": f"file://{tmp_path}/storage"}
    there = search_study(small_study(executor=executor, workers=2, **options), run=tmp_path / "there")
    assert list(there) == list(here)
    assert [t.rungs for t in read_trials(tmp_path / "there")] == [t.rungs for t in read_trials(tmp_path / "here")]
    weights = {path.relative_to(tmp_path / "there") for path in (tmp_path / "there").rglob("weights.safetensors")}
    assert {path.relative_to(tmp_path / "here") for path in (tmp_path / "here").rglob("weights.safetensors")} == weights
    kept = {path.parts[-3:] for path in (tmp_path / "storage").rglob("attempt-*/*/weights.safetensors")}
    assert {epoch for _, epoch, _ in kept} == {"epoch-0004"}  # of earlier rungs none is kept there, either

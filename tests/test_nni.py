from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from command_line import autokd, refused_search, write_study
from conftest import needs

import autokd as package
from autokd.errors import InputError
from autokd.registry import reference_of, resolve, source_digest
from autokd.testing import TinyTask, check_space

pytestmark = [needs("nni"), pytest.mark.slow]  # NNI takes seconds to import

HERE = Path(__file__).parent / "nni_spaces.py"
HUB = "nni:nni.nas.hub.pytorch"
DIGITS = TinyTask()
COLOUR = TinyTask(input_shape=(3, 16, 16), num_outputs=3)
SPACES = [
    f"nni:{HERE}:Handwritten",
    f"nni:{HERE}:Handwritten(widths=[6, 10])",
    f"nni:{HERE}:Registered",
    f"{HUB}:NasBench201(stem_out_channels=4, num_modules_per_stack=1)",
    f"{HUB}:ProxylessNAS(base_widths=[8, 8, 8, 8, 8, 8, 8, 8, 16])",
    f"{HUB}:MobileNetV3Space(base_widths=[8, 8, 8, 8, 8, 8, 8, 8, 16])",
    f"{HUB}:DARTS(width=4, num_cells=3)",
    f"{HUB}:NasBench101(stem_out_channels=4, num_modules_per_stack=1)",
]


def draws(space: Any, number: int) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    while len(found) < number:
        try:
            found.append(space.suggest(study.ask()))
        except ValueError:  # outside the space
            continue
    return found


@pytest.mark.parametrize("reference", SPACES)
def test_spaces_of_nni_are_suggested_and_frozen(reference: str) -> None:
    space = resolve("search_spaces", reference)
    for arch in draws(space, 4):
        assert json.loads(json.dumps(arch)) == arch
        student = space.build(arch, DIGITS)
        again = space.build(arch, DIGITS)
        again.load_state_dict(student.state_dict())
        inputs = DIGITS.inputs(torch.arange(4))
        outputs = student.eval()(inputs)
        assert outputs.shape == (4, 10)
        assert torch.equal(outputs, again.eval()(inputs))


def test_weights_are_new_in_each_network() -> None:
    space = resolve("search_spaces", SPACES[0])
    (arch,) = draws(space, 1)
    first, second = space.build(arch, DIGITS), space.build(arch, DIGITS)
    assert not any(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_classes_and_channels_are_the_tasks_unless_given() -> None:
    space = resolve("search_spaces", SPACES[0])
    (arch,) = draws(space, 1)
    student = space.build(arch, COLOUR)
    assert student.stem.in_channels == 3
    assert student(COLOUR.inputs(torch.arange(2))).shape == (2, 3)
    given = resolve("search_spaces", f"nni:{HERE}:Handwritten(num_labels=7)")
    assert given.build(arch, COLOUR)(COLOUR.inputs(torch.arange(2))).shape == (2, 7)


def test_what_is_no_plain_data_is_told_by_its_place() -> None:
    space = resolve("search_spaces", SPACES[0])
    archs = draws(space, 20)
    assert {arch["kernel"] for arch in archs} == {0, 1}
    for arch in archs:
        assert space.build(arch, DIGITS).stem.kernel_size == [(3, 3), (5, 5)][arch["kernel"]]
    assert {tuple(arch["which"]) for arch in archs} == {(0, 1), (0, 2), (1, 2)}


@pytest.mark.parametrize("reference", [SPACES[2], SPACES[3]])
def test_the_contract_holds(reference: str) -> None:
    assert check_space(reference, DIGITS, samples=4) == []


def test_settings_are_part_of_what_a_space_is() -> None:
    plain, wide = (resolve("search_spaces", reference) for reference in SPACES[:2])
    assert reference_of(wide) == SPACES[1]
    assert source_digest(plain) not in ("", source_digest(wide))


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("Handwritten(width=3)", "Handwritten takes no argument 'width'; it takes num_labels, in_channels, widths"),
        ("Handwritten(3)", "(3) are not settings; write (key=value, ...)"),
        ("NOT_A_CLASS", "3 is no subclass of nni.nas.nn.pytorch.ModelSpace; name the class itself"),
        ("Handwriten", "did you mean 'Handwritten'?"),
        (
            "Unlabelled",
            "Unlabelled has choices without a label; give each choice a label, or write class Unlabelled(Mode",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(reference: str, says: str, tmp_path: Path) -> None:
    assert says in refused_search(tmp_path, {"space": f"nni:{HERE}:{reference}"})


@pytest.mark.filterwarnings("ignore")  # NNI's own, of modules of torch that it does not know
def test_a_model_space_without_the_adapter_is_told_of_it(tmp_path: Path) -> None:
    line = refused_search(tmp_path, {"space": f"{HERE}:Handwritten"})
    assert line.endswith("a model space of NNI is written with 'nni:' before it")


def test_where_nni_breaks_the_error_says_how_to_go_on() -> None:
    space = resolve("search_spaces", f"nni:{HERE}:Unfreezable")
    reason = re.escape("NNI cannot freeze Unfreezable (KeyError: 'lost'); try Unfreezable(...).freeze({'width': 4})")
    with pytest.raises(RuntimeError, match=reason):
        space.build({"width": 4}, DIGITS)
    with pytest.raises(ValueError, match="is not in Unfreezable"):
        space.build({"width": 5}, DIGITS)


def test_a_space_of_nni_is_searched_retrained_exported_and_loaded(tmp_path: Path) -> None:
    reference = f"nni:{HERE}:Handwritten"
    run, out = tmp_path / "run", tmp_path / "out"
    study = write_study(tmp_path, {"space": reference, "budget.trials": 3, "budget.rungs": [1]})
    assert autokd("search", study, "--run", run).code == 0
    trial = str(json.loads(autokd("pick", run, "--json").out)["trial"])
    assert autokd("retrain", study, "--run", run, "--trial", trial, "--seeds", "1", "--workers", "1").code == 0
    assert autokd("export", study, out / "student.safetensors", "--run", run, "--trial", trial).code == 0
    with pytest.raises(InputError, match="pass it yourself"):
        package.load_student(out)
    assert package.load_student(out, space=reference)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)

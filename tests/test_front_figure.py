from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from command_line import autokd
from conftest import ROOT
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image
from test_front import THREE, front_of, noisy_front

from autokd.errors import InputError
from autokd.front import Student
from autokd.front.figure import write_figure

matplotlib.use("agg")
POINTS = [(0.95, 9000), (0.94, 500), (0.80, 300), (0.60, 200)]
RIVAL = [{"trial": 7, "values": {"accuracy": 0.7, "parameters": 400}, "spread": {}}]
BASELINES = {"hard": {"overrides": [], "epochs_spent": 9, "hypervolume": 0.4, "front": RIVAL}}


def plain_front(**changes: Any) -> dict[str, Any]:
    return front_of(*POINTS, **{"baselines": BASELINES, **changes}).to_dict()


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_front_is_drawn_as_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    for out in (first, second):
        write_figure(plain_front(), out)
    assert first.read_bytes() == second.read_bytes()


def test_an_svg_loads_nothing_and_holds_its_type_as_outlines(tmp_path: Path) -> None:
    write_figure(plain_front(), tmp_path / "front.svg")
    text = (tmp_path / "front.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    links = [value for each in root.iter() for name, value in each.attrib.items() if name.endswith(("href", "src"))]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not {each.tag.rpartition("}")[2] for each in root.iter()} & {"text", "image", "script"}
    assert "url(http" not in text
    assert "@import" not in text


def test_a_figure_has_a_panel_for_each_objective_but_the_main_one_unless_one_is_named(tmp_path: Path) -> None:
    front = noisy_front().to_dict()
    sizes = []
    for name, chosen in (("both", None), ("one", "latency_ms")):
        write_figure(front, tmp_path / f"{name}.svg", x=chosen)
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        sizes.append(len(re.findall(r'id="axes_\d+"', text)))
    assert sizes == [2, 1]


def test_a_dark_figure_has_no_background(tmp_path: Path) -> None:
    for dark in (False, True):
        write_figure(plain_front(), tmp_path / "front.png", dark=dark)
        with Image.open(tmp_path / "front.png") as image:
            assert image.convert("RGBA").getpixel((0, 0))[3] == (0 if dark else 255)  # type: ignore[index]


def test_students_teacher_and_baselines_are_drawn_with_what_is_known_of_them() -> None:
    ax = front_of(*POINTS, baselines=BASELINES).plot()
    assert ax.get_legend_handles_labels()[1] == ["teacher", "baseline hard", "front"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("parameters", "accuracy")
    assert ax.get_xscale() == "log"
    assert {text.get_text() for text in ax.texts} == {"0", "1", "3"}
    pyplot.close("all")


def test_students_within_noise_are_marked_and_never_named() -> None:
    first, *others = noisy_front().front
    front = replace(noisy_front(), front=[replace(first, within_noise=True), *others])
    ax = front.plot(x="latency_ms")
    assert "within noise" in ax.get_legend_handles_labels()[1]
    assert "0" not in {text.get_text() for text in ax.texts}
    assert ax.get_xscale() == "linear"
    pyplot.close("all")


def test_a_front_is_drawn_into_the_axes_that_are_given() -> None:
    given = Figure().subplots()
    assert front_of(*POINTS).plot(ax=given, dark=True) is given
    assert given.get_legend() is not None


def test_odd_names_and_spreads_are_drawn_as_they_are(tmp_path: Path) -> None:
    odd = {"name": "$\\frac{1$", "direction": "minimize", "unit": "木"}
    student = {"accuracy": 0.9, odd["name"]: 3.0}
    spread = {"accuracy": -1.0, odd["name"]: float("inf")}
    members = [Student(trial, {}, {}, student, spread) for trial in range(2)]
    teacher = {"name": "t", "values": {"accuracy": float("nan"), odd["name"]: 2.0}, "test": {}}
    front = front_of(front=members, objectives=[THREE[0], odd], teacher=teacher, baselines={"$x_": BASELINES["hard"]})
    write_figure(front.to_dict(), tmp_path / "front.svg")
    assert front.plot().get_xlabel() == "$\\frac{1$ (木)"
    pyplot.close("all")


@pytest.mark.parametrize("count", [1, 2])
def test_a_front_of_few_students_is_drawn(tmp_path: Path, count: int) -> None:
    write_figure(front_of(*POINTS[:count], teacher={}).to_dict(), tmp_path / "front.svg")
    assert (tmp_path / "front.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("out", "how", "said"),
    [
        ("front.gif", {}, r"cannot draw '.*front\.gif': give a name that ends in \.svg or \.png"),
        ("front", {}, r"ends in \.svg or \.png"),
        ("missing/front.svg", {}, r"cannot write '.*': no such file or directory; name a file"),
        ("front.svg", {"x": "acuracy"}, r"no objective 'acuracy' .* did you mean 'accuracy'\?"),
        ("front.svg", {"x": "accuracy", "y": "accuracy"}, "'accuracy' was given for both axes"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_nothing_is_left(
    tmp_path: Path, out: str, how: dict[str, str], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        write_figure(plain_front(), tmp_path / out, **how)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_front_and_a_single_objective_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the front is empty"):
        write_figure(front_of().to_dict(), tmp_path / "front.svg")
    with pytest.raises(InputError, match="one objective, accuracy"):
        front_of(*POINTS, objectives=THREE[:1]).plot()


def test_without_matplotlib_a_figure_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"needs matplotlib; run: pip install 'autokd\[plot\]'"):
        write_figure(plain_front(), tmp_path / "front.svg")
    with pytest.raises(InputError, match="needs matplotlib"):
        front_of(*POINTS).plot()


def test_plot_draws_the_front_of_a_run(tmp_path: Path) -> None:
    run = shutil.copytree(ROOT / "tests" / "data" / "run_v0", tmp_path / "run")
    answer = autokd("plot", run, tmp_path / "front.svg", "--dark")
    assert (answer.code, answer.out, answer.err) == (0, f"wrote {tmp_path / 'front.svg'}\n", "")
    assert (tmp_path / "front.svg").read_bytes().startswith(b"<?xml")


def test_plot_refuses_a_name_of_another_kind_with_one_line_and_2(tmp_path: Path) -> None:
    answer = autokd("plot", ROOT / "tests" / "data" / "run_v0", tmp_path / "front.gif")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []

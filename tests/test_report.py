from __future__ import annotations

import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import needs
from report_samples import PARAMETERS, sample_data, sample_front, sample_member, sample_trials

from autokd.errors import InputError
from autokd.front.axes import main_objective
from autokd.report.comparison import gains
from autokd.report.figures import charts
from autokd.report.html import render, write_report


@pytest.fixture
def page(tmp_path: Path) -> str:
    write_report(sample_data(), tmp_path / "report.html")
    return (tmp_path / "report.html").read_text()


class Outline(HTMLParser):
    """Tags with their attributes, text outside scripts, and the contents of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self._inside = "", [], ""
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += " "
        self._inside = tag
        if tag not in ("meta", "link", "br", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text += data


def _policy(outline: Outline) -> str:
    return next(a["content"] or "" for _, a in outline.tags if a.get("http-equiv") == "Content-Security-Policy")


def _charts_of(page: str) -> list[dict[str, Any]]:
    return json.loads(Outline(page).scripts[0])


def test_a_gain_is_the_best_at_no_greater_cost() -> None:
    found = gains(sample_front(), sample_front()["baselines"]["hard"]["front"], noise=0.0098)
    assert [gain.verdict for gain in found] == ["within noise", "better", "nothing as cheap"]
    assert found[1].gain == pytest.approx(0.065)
    assert found[1].own is not None
    assert found[1].own["trial"] == 40
    assert found[2].gain is None


def test_a_smaller_error_is_a_gain_and_a_larger_one_a_loss() -> None:
    error = {"name": "error", "direction": "minimize", "unit": ""}
    front = {"objectives": [error, PARAMETERS], "front": [{"trial": 0, "values": {"error": 0.2, "parameters": 10.0}}]}
    rivals = [{"trial": i, "values": {"error": value, "parameters": 10.0}} for i, value in enumerate((0.3, 0.1))]
    assert main_objective(front["objectives"])["name"] == "error"
    assert [gain.verdict for gain in gains(front, rivals, noise=0.0)] == ["better", "worse"]


# the charts


def test_there_is_a_chart_of_the_main_objective_against_each_other_one() -> None:
    found = charts(sample_front(), sample_trials())
    assert [chart["title"] for chart in found] == ["accuracy against latency_ms", "accuracy against parameters"]
    names = [trace["name"] for trace in found[0]["data"]]
    assert names == ["other trials", "baseline hard", "baseline hard", "teacher", "front", "front"]
    assert found[1]["layout"]["xaxis"]["type"] == "log"
    assert found[0]["data"][-1]["error_y"]["array"] == [0.0042] * 3


@needs("plotly")
def test_plotly_knows_every_property_of_the_charts() -> None:
    import plotly.graph_objects

    for chart in charts(sample_front(), sample_trials()):
        plotly.graph_objects.Figure(data=chart["data"], layout=chart["layout"])


def test_stairs_hold_the_best_at_each_cost() -> None:
    front = sample_front()
    front["front"].append(sample_member(99, 0.8, 0.2, 5_000.0))  # worse than trial 40 here, on the front by some third
    stairs = charts(front, [])[1]["data"][-2]
    assert list(zip(stairs["x"], stairs["y"], strict=True)) == [(310.0, 0.729), (1_210.0, 0.941), (12_345.0, 0.964)]


def test_what_has_no_value_is_not_drawn() -> None:
    front = sample_front() | {"teacher": {"name": "outputs", "values": {"accuracy": 0.98}, "test": {}}, "baselines": {}}
    assert [trace["name"] for trace in charts(front, [])[0]["data"]] == ["front", "front"]


# the page


@needs("plotly")
def test_a_student_within_noise_is_marked_and_is_not_the_one_to_look_at_first() -> None:
    front = sample_front()
    front["front"][0]["within_noise"] = True
    text = " ".join(Outline(render({"front": front})).text.split())
    assert "12 ~" in text
    assert "best accuracy trial 40" in text


@needs("plotly")
def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    for tag, attributes in outline.tags:
        assert tag not in ("link", "iframe", "img", "object", "embed")
        assert not {"src", "srcset", "data", "action"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    policy = _policy(outline)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert "url(" not in page[: page.index("</style>")]


@needs("plotly")
def test_the_policy_allows_the_scripts_as_they_stand(page: str) -> None:
    import base64
    import hashlib

    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert len(digests) == 2
    assert f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}';" in _policy(Outline(page))


@needs("plotly")
def test_the_page_says_what_the_front_rests_on(page: str) -> None:
    text = " ".join(Outline(page).text.split())
    for words in (
        "3 students are on the front; all 54 trials done.",
        "validation labels 359",
        "standard error of accuracy 0.00980",
        "test split read 1×",
        "teacher resnet accuracy 0.983 test 0.977",
        "best accuracy trial 12 accuracy 0.964 test 0.954",
        "knee trial 40 accuracy 0.941",
        "20 complete, 0 running, 31 pruned",
        "accuracy 0.100, latency_ms 2, parameters 50,000) that the front dominates",
        "is better for 1, within noise for 1, and worse for 0; for 1 the search has no student as cheap.",
        "0.964 ±0.0042",
        "latency_ms 3.1 breaks its bound 2.0",
        "+0.065",
        "recipe.alpha=0 budget.trials=20",
        "recipe.alpha",
        "2.13.0",
    ):
        assert words in text, words


@needs("plotly")
def test_hostile_names_and_settings_are_shown_and_not_run(tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>'\"{{ 7 * 7 }}<b>"
    data = sample_data()
    data["front"] |= {"study": hostile, "note": hostile, "trials": {hostile: 1}}
    data["front"]["baselines"] = {hostile: data["front"]["baselines"]["hard"]}
    data["front"]["teacher"]["name"] = hostile
    data["front"]["objectives"][1] = {"name": hostile, "direction": "minimize", "unit": hostile}
    for member in [*data["front"]["front"], *data["front"]["baselines"][hostile]["front"], data["front"]["teacher"]]:
        member["values"][hostile] = 1.0
        member["arch"] = member["recipe"] = {hostile: hostile}
    data["trials"][0] |= {"reason": hostile, "state": hostile, "arch": {hostile: [hostile]}}
    data["importance"] = {hostile: {hostile: 0.5}}
    data["study"] = data["environment"] = {hostile: {hostile: hostile}}
    write_report(data, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    outline = Outline(page)
    assert "img" not in {tag for tag, _ in outline.tags}
    assert not [name for _, attributes in outline.tags for name in attributes if name.startswith("on")]
    assert len(outline.scripts) == 3
    assert hostile in outline.text
    for chart in _charts_of(page):
        for trace in chart["data"]:
            assert "<b>'" not in trace["name"]
            for words in [trace["name"], *trace.get("text", [])]:
                assert set(re.findall(r"<[^>]*>", words)) <= {"<b>", "</b>", "<br>"}
                assert "<img" not in words


@needs("plotly")
def test_numbers_that_are_not_known_leave_the_page_whole(tmp_path: Path) -> None:
    data = sample_data()
    data["trials"][0]["values"] = {"accuracy": math.inf, "latency_ms": math.nan}
    data["front"]["teacher"] = {"name": "outputs", "values": {"accuracy": 0.98}, "test": {}}
    write_report(data, tmp_path / "report.html")
    assert len(_charts_of((tmp_path / "report.html").read_text())) == 2


@needs("plotly")
def test_the_front_alone_makes_a_page(tmp_path: Path) -> None:
    write_report({"front": sample_front() | {"baselines": {}, "front": [], "final": False}}, tmp_path / "report.html")
    text = Outline((tmp_path / "report.html").read_text()).text
    assert "No student is on the front." in text
    assert "The search has not ended" in text
    assert "Baselines" not in text


def test_without_plotly_the_report_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(InputError, match=r"needs plotly; run: pip install 'autokd\[report\]'"):
        write_report(sample_data(), tmp_path / "report.html")


@needs("plotly")
def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match=r"cannot write the report .*: is a directory"):
        write_report(sample_data(), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match=r"cannot write the report .*: no such file"):
        write_report(sample_data(), tmp_path / "nowhere" / "report.html")


def test_the_page_says_why_students_failed() -> None:
    data = sample_data()
    data["front"]["reasons"] = ["2 students failed: 2 × raised ValueError: <b>odd</b>"]
    assert "2 students failed: 2 × raised ValueError: &lt;b&gt;odd&lt;/b&gt;" in render(data)

from __future__ import annotations

import io
import logging
import os
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from command_line import refused, write_study
from report_samples import sample_front, sample_progress
from rich.console import Console

from autokd.report.encoding import PLAINLY, writable
from autokd.report.live import LiveView
from autokd.report.table import front_csv, front_text, print_front


def stream(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)


def written(out: io.TextIOWrapper) -> str:
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue().decode(out.encoding)


def test_what_an_encoding_lacks_is_said_in_what_it_has() -> None:
    assert writable("0.98 ±0.002 – 1…", "ascii") == "0.98 +-0.002 - 1..."
    assert writable("0.98 ±0.002 – 1…", "latin-1") == "0.98 ±0.002 - 1..."
    assert writable("0.98 ±0.002 – 1…", "utf-8") == "0.98 ±0.002 – 1…"
    assert writable("caf\u00e9 \u732b", "ascii") == "caf? ?"


def test_a_file_name_that_is_no_text_is_written_as_its_bytes() -> None:
    name = os.fsdecode(b"run-\xe9")
    for encoding in ("ascii", "latin-1", "utf-8"):
        assert name.encode(encoding, PLAINLY) == b"run-\xe9"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_front_is_printed_in_every_encoding_with_its_columns_in_line(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = sample_front()
    front["note"] = "caf\u00e9 \u732b – all done"
    monkeypatch.setattr(sys, "stdout", stream(encoding))
    print_front(front)
    lines = written(sys.stdout).splitlines()  # type: ignore[arg-type]
    plus_minus = "+-" if encoding == "ascii" else "±"
    heading = next(line for line in lines if "latency_ms" in line)
    assert [line for line in lines if f"0.964 {plus_minus}0.0042" in line]
    for line in lines[lines.index(heading) + 2 :][:3]:
        assert line[: heading.index("latency_ms") + len("latency_ms")].rstrip()[-1].isdigit()


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_search_is_shown_in_every_encoding(encoding: str, terminal: bool) -> None:
    out = stream(encoding)
    console = Console(file=out, force_terminal=terminal, width=100)
    with LiveView(console, environment={"TERM": "xterm"}, every=0.0) as view:
        view.update(sample_progress() | {"message": "caf\u00e9 – \u732b", "hypervolume": None})
    assert "complete" in written(out)


@pytest.mark.slow
@pytest.mark.parametrize("given", ["PYTHONIOENCODING=ascii", "PYTHONIOENCODING=latin-1", "LC_ALL=C"])
def test_a_search_in_a_terminal_without_utf_8_ends_as_in_any_other(tmp_path: Path, given: str) -> None:
    name, value = given.split("=")
    home = tmp_path / "caf\u00e9"
    home.mkdir()
    bare = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "xterm", name: value}
    said = in_a_terminal(["search", str(write_study(home)), "--run", str(home / "run")], os.environ | bare)
    assert "Traceback" not in said
    assert "report.html" in said
    assert "<meta charset" in (home / "run" / "report.html").read_text(encoding="utf-8")


def in_a_terminal(words: list[str], environment: dict[str, str]) -> str:
    """What `autokd` says to a terminal of 100 columns, which must be its way to end with 0."""
    import fcntl
    import pty
    import struct
    import subprocess
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    script = Path(sys.executable).with_name("autokd")
    process = subprocess.Popen(
        [script, *words], env=environment, stdout=writer, stderr=writer, stdin=subprocess.DEVNULL
    )
    os.close(writer)
    said = b""
    try:
        while part := os.read(reader, 65536):
            said += part
    except OSError:  # how Linux says that a terminal is gone
        pass
    os.close(reader)
    assert process.wait() == 0, said
    return said.decode("latin-1")


HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\x08\u202egnp.exe"


def hostile_front() -> dict[str, Any]:
    """A front in which every name and text is hostile."""
    front = sample_front()
    front |= {"study": f"s{HOSTILE}", "note": f"n{HOSTILE}", "reasons": [f"r{HOSTILE}"]}
    front["objectives"] = [each | {"unit": f"u{HOSTILE}"} for each in front["objectives"]]
    front["objectives"][0] = {"name": f"accuracy{HOSTILE}", "direction": "maximize", "unit": ""}
    for i, member in enumerate(front["front"]):
        member["values"][f"accuracy{HOSTILE}"] = 0.9
        member["recipe"] |= {"method": f"m{i}{HOSTILE}", f"k{HOSTILE}": f"{i}{HOSTILE}"}
        member["arch"] |= {f"a{HOSTILE}": f"{i}{HOSTILE}"}
    front["teacher"] |= {"name": f"t{HOSTILE}", "note": f"n{HOSTILE}"}
    front["baselines"] = {f"b{HOSTILE}": front["baselines"]["hard"]}
    return front


def commands_in(text: str) -> str:
    """The characters of a text that would command a terminal, other than line breaks and rich's own colours."""
    plain = re.sub(r"\x1b\[(\?25[lh]|\d*[AJK]|[\d;]*m)", "", text)
    return "".join(letter for letter in plain if letter != "\n" and unicodedata.category(letter) in ("Cc", "Cf"))


def test_names_cannot_command_the_terminal_that_a_front_is_printed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", stream("utf-8"))
    print_front(hostile_front())
    assert commands_in(written(sys.stdout)) == ""  # type: ignore[arg-type]
    assert "\\x1b[2J" in written(sys.stdout)  # type: ignore[arg-type]
    assert commands_in(front_text(hostile_front(), width=60)) == ""
    assert commands_in(front_csv(hostile_front())) == ""


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_names_and_log_lines_cannot_command_the_terminal_that_a_search_is_shown_on(terminal: bool) -> None:
    out = stream("utf-8")
    console = Console(file=out, force_terminal=terminal, color_system="standard" if terminal else None, width=400)
    front = hostile_front()
    progress = sample_progress() | {"message": HOSTILE, "front": front["front"], "objectives": front["objectives"]}
    with LiveView(console, environment={"TERM": "xterm"}, every=0.0) as view:
        view.log_handler().emit(logging.makeLogRecord({"msg": f"log {HOSTILE}"}))
        view.update(progress)
    assert "log \\x1b[2J\\x1b]0;owned\\x07\\x9b31m\\r\\x08\\u202egnp.exe" in written(out)
    assert commands_in(written(out).replace("\r", "")) == ""  # with which rich goes back to draw anew


def test_a_complaint_cannot_command_the_terminal(tmp_path: Path) -> None:
    said = refused("front", tmp_path / f"run{HOSTILE}")
    assert commands_in(said) == ""
    assert "\\x1b[2J" in said
    assert commands_in(refused("search", "study.yaml", f"--{HOSTILE}")) == ""

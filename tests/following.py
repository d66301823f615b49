"""A page of the documentation, followed as a reader would: files written, commands and Python run, in order."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from command_line import autokd

SMALL = {
    "search": ("executor=inline", "budget.trials=3", "budget.rungs=[1]", "budget.reseeds=1"),
    "latency-table": ("--number", "12"),
    "retrain": ("--seeds", "1", "--epochs", "1"),
}
"""Added to such commands of a page, which show what a reader wants and not what a test can wait for."""

_FENCE = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$', re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Args:
        language: `python`, `yaml`, `sh`, `text` or `diff`.
        title: the file that the reader is told to write; "" where there is none.
        text: what stands in it.
    """

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = _FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["language"], match["title"] or "", match["text"]) for match in found]


def commands(block: Block) -> list[list[str]]:
    """The words of each `autokd` command in a block for a shell, without `autokd` itself."""
    lines = block.text.replace("\\\n", " ").splitlines() if block.language == "sh" and not block.title else []
    words = [shlex.split(line, comments=True) for line in lines]
    return [each[1:] for each in words if each and each[0] == "autokd"]


def follow(page: Path) -> str:
    """Does in the current folder what a page says, and gives all that its commands printed.

    What a block of Python names is known in those that follow, as in a notebook.
    """
    said = []
    names = {"__name__": "__main__"}
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)
        for words in commands(block):
            command, first, *rest = _of_this_run(words)
            own = {word.partition("=")[0] for word in rest}  # what the page itself overrides stays
            small = [word for word in SMALL.get(command, ()) if "=" not in word or word.partition("=")[0] not in own]
            if command == "latency-table" or any(key.startswith("objectives.latency_ms") for key in own):
                small.append("objectives.latency_ms.runtime=eager")  # an ONNX export takes a second each
            answer = autokd(command, first, *rest, *small)
            assert answer.code == 0, (words, answer)
            said.append(answer.out)
    return "".join(said)


def _of_this_run(words: list[str]) -> list[str]:
    """The words with the first trial of the front here in place of the number after `--trial`, which is the page's."""
    if "--trial" not in words:
        return words
    at = words.index("--trial")
    run = words[words.index("--run") :][:2] if "--run" in words else []
    front = json.loads(autokd("front", words[1], *run, "--json").out)["front"]
    return [*words[: at + 1], str(front[0]["trial"]), *words[at + 2 :]]

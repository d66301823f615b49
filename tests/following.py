"""A page of the documentation, followed as a reader would: files written, commands and Python run, in order."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from command_line import autokd, write_study
from PIL import Image
from sklearn.datasets import load_digits

from autokd.registry import resolve

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


def follow_in(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Follows a page in an empty folder, which gets the Python files beside the page and what its reader has."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for beside in page.parent.glob("*.py"):
        shutil.copy(beside, folder)
    known = set(sys.modules)
    if page.stem in _NEEDED:
        _NEEDED[page.stem](page, folder)
    follow(page)
    for module in set(sys.modules) - known:  # a page's file may be called as another page's is
        if str(folder) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


def _zeros_and_ones(page: Path, folder: Path) -> None:
    """120 images of digits by class under photos/, the same as arrays, and weights for the page's own teacher."""
    images, labels = load_digits(n_class=2, return_X_y=True)
    images = (images[:120].reshape(-1, 8, 8) * 15).astype(np.uint8)
    for i, (image, label) in enumerate(zip(images, labels, strict=False)):
        at = folder / "photos" / ("cat", "dog")[label]
        at.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(at / f"{i:03d}.png")
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels[:120])
    (folder / "teacher_of_the_page.py").write_text(
        next(block.text for block in blocks(page) if block.title == "my_teacher.py")
    )
    network = resolve("teachers", f"{folder / 'teacher_of_the_page.py'}:network")()
    inputs, targets = torch.tensor(images / 127.5 - 1).float().unsqueeze(1), torch.tensor(labels[:120])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
    safetensors.torch.save_file(network.state_dict(), folder / "my_teacher.safetensors")


def _a_run(page: Path, folder: Path) -> None:
    """`runs/digits`: a run in which students were seen to be better than chance."""
    objectives = {"accuracy": {}, "latency_ms": {}, "parameters": {"bound": 2000}}
    study = write_study(folder, {"name": "digits", "objectives": objectives})
    assert autokd("search", study).code == 0


_NEEDED: dict[str, Callable[[Path, Path], None]] = {"own_images": _zeros_and_ones, "choosing": _a_run}
"""What a reader has already, where a page begins with that."""

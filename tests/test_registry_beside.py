from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from small import small_study

from autokd.driver import load_front, search_study
from autokd.errors import InputError
from autokd.registry import modules_beside, reference_of, resolve
from autokd.registry.lookup import find

SPACE = """
import layers
from torch import nn


def suggest(trial):
    return {"width": trial.suggest_int("width", 4, 8)}


def build(arch, task):
    import heads  # as late as this

    return nn.Sequential(nn.Flatten(), layers.hidden(64, arch["width"]), heads.head(arch["width"], task.num_outputs))
"""
LAYERS = """
from torch import nn

NAME = "{name}"


def hidden(inputs, width):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU())
"""
HEADS = "from layers import NAME, nn\n\n\ndef head(width, outputs):\n    return nn.Linear(width, outputs)\n"


def folder(path: Path, **files: str) -> Path:
    for name, text in files.items():
        file = path / (name.replace("__of__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def value(path: Path, attribute: str = "VALUE") -> Any:
    return getattr(resolve("losses", str(path)), attribute)


def names(module: ModuleType) -> list[str]:
    return [Path(str(each.__file__)).name for each in modules_beside(module)]


def test_two_spaces_in_two_folders_get_each_their_own_modules(tmp_path: Path) -> None:
    spaces = []
    for name in ("one", "two"):
        own = folder(tmp_path / name, space=SPACE, layers=LAYERS.format(name=name), heads=HEADS)
        spaces.append(resolve("search_spaces", str(own / "space.py")))
    assert [space.layers.NAME for space in spaces] == ["one", "two"]
    assert names(spaces[0]) == ["layers.py"]


def test_neither_the_path_nor_what_others_import_changes(tmp_path: Path) -> None:
    before, path, finders = set(sys.modules), list(sys.path), list(sys.meta_path)
    own = folder(tmp_path, space="import layers\nimport yaml\nVALUE = yaml.MINE", layers="", yaml="MINE = 1")
    assert value(own / "space.py") == 1
    assert (sys.path, sys.meta_path) == (path, finders)
    assert all(name.startswith("autokd_plugin_space_") for name in set(sys.modules) - before)
    import yaml

    assert hasattr(yaml, "safe_load")
    with pytest.raises(ModuleNotFoundError):
        __import__("layers")


def test_a_folder_hides_nothing_of_the_standard_library_or_of_autokd(tmp_path: Path) -> None:
    own = folder(tmp_path, space="import random, autokd\nVALUE = (random.random, autokd.search)", random="", autokd="")
    assert len(value(own / "space.py")) == 2


PACKAGE = {
    "blocks__of____init__": "from . import deep\nimport shared\nVALUE = [shared.VALUE, deep.VALUE]",
    "blocks__of__deep__of____init__": "from ..leaf import VALUE\n__all__ = ['sizes']",
    "blocks__of__deep__of__sizes": "VALUE = 'size'",
    "blocks__of__leaf": "VALUE = 'leaf'",
    "shared": "VALUE = 'shared'",
    "loose__of__part": "VALUE = 'part'",
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import blocks\nVALUE = blocks.VALUE", ["shared", "leaf"]),
        ("import blocks.leaf\nVALUE = blocks.leaf.VALUE", "leaf"),
        ("import blocks.leaf as last\nVALUE = last.VALUE", "leaf"),
        ("from blocks import leaf as last\nVALUE = last.VALUE", "leaf"),
        ("from blocks.deep import *\nVALUE = sizes.VALUE", "size"),
        ("from blocks.deep.sizes import VALUE", "size"),
        ("from loose.part import VALUE", "part"),
        ("import torch.nn.functional\nVALUE = torch.nn.functional.relu.__name__", "relu"),
        ("try:\n    import absent\nexcept ImportError as error:\n    VALUE = error.name", "absent"),
        ("try:\n    import blocks.absent\nexcept ImportError as error:\n    VALUE = error.name", "blocks.absent"),
        ("try:\n    from blocks import absent\nexcept ImportError:\n    VALUE = 'none'", "none"),
    ],
)  # fmt: skip
def test_every_form_of_import_finds_what_lies_in_the_folder(tmp_path: Path, source: str, expected: object) -> None:
    assert value(folder(tmp_path, plug_in=source, **PACKAGE) / "plug_in.py") == expected


def test_what_import_finds_anyway_is_not_loaded_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    own = folder(tmp_path, plug_in="import known_already\nVALUE = known_already", known_already="")
    import known_already  # type: ignore[import-not-found]

    assert value(own / "plug_in.py") is known_already
    del sys.modules["known_already"]


def test_a_module_that_was_edited_is_loaded_anew_with_the_file_that_imports_it(tmp_path: Path) -> None:
    own = folder(tmp_path, plug_in="from layers import VALUE", layers="VALUE = 1")
    first = find("losses", str(own / "plug_in.py"))
    assert find("losses", str(own / "plug_in.py")) is first
    folder(tmp_path, layers="VALUE = 2")
    assert value(own / "plug_in.py") == 2


def test_a_mistake_in_a_module_of_the_folder_is_told_with_its_line(tmp_path: Path) -> None:
    own = folder(tmp_path, plug_in="import layers", layers="\n\n1 / 0")
    for _ in range(2):
        with pytest.raises(InputError, match=r"layers.py:3: ZeroDivisionError"):
            resolve("losses", str(own / "plug_in.py"))
    folder(tmp_path, layers="VALUE = 1")
    assert value(own / "plug_in.py", "layers").VALUE == 1


def test_what_a_module_of_the_folder_defines_has_a_reference(tmp_path: Path) -> None:
    own = folder(tmp_path, plug_in="from layers import loss", layers="def loss(): pass")
    assert reference_of(value(own / "plug_in.py", "loss")) == f"{own / 'layers.py'}:loss"


def test_threads_load_a_module_once(tmp_path: Path) -> None:
    own = folder(tmp_path, plug_in="def late():\n    import layers\n    return layers", layers="VALUE = object()")
    late = value(own / "plug_in.py", "late")
    with ThreadPoolExecutor(4) as pool:
        found = [each.result().VALUE for each in [pool.submit(late) for _ in range(8)]]
    assert len(set(found)) == 1


def test_networks_of_such_modules_are_compiled(tmp_path: Path) -> None:
    own = folder(tmp_path, plug_in="import layers\n\n\ndef f(x):\n    return layers.g(x) + len([1, 2])",
                 layers="def g(x):\n    return max(1, 2) * x")  # fmt: skip
    compiled = torch.compile(value(own / "plug_in.py", "f"), backend="eager", fullgraph=True)
    assert float(compiled(torch.tensor(3.0))) == 8


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_a_search_uses_modules_beside_its_space_in_workers_too(tmp_path: Path, executor: str) -> None:
    own = folder(tmp_path / "my", space=SPACE, layers=LAYERS.format(name="mine"), heads=HEADS)
    study = small_study(space=str(own / "space.py"), executor=executor, **{"budget.trials": 3})
    front = search_study(study, run=tmp_path / "run")
    assert front.trials["failed"] == 0
    assert len(load_front(tmp_path / "run").front) == len(front.front)

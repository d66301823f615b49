from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from autokd import registry
from autokd.errors import InputError
from autokd.registry import installed, reference_of, resolve, source_digest

SPACE = "def suggest(trial):\n    return {}\n\ndef build(arch, task):\n    return 1\n"


class Space:
    """A space as an object."""

    def suggest(self, trial: object) -> dict[str, int]:
        return {}

    def build(self, arch: object, task: object) -> int:
        return 1


HERE = Space()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on sys.path; modules of this test alone."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def plug_in(package: Path) -> Path:
    """An installed distribution that offers the search space `wide` and the loss `broken`."""
    info = package / "wide_spaces-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wide-spaces\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[autokd.search_spaces]\nwide = wide_spaces.one\n")
    (package / "wide_spaces").mkdir()
    (package / "wide_spaces" / "__init__.py").write_text("")
    (package / "wide_spaces" / "one.py").write_text(SPACE)
    return package


def _message(group: str, reference: object, **settings: object) -> str:
    with pytest.raises(InputError) as caught:
        resolve(group, reference, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plug_in_is_found_by_name(plug_in: Path) -> None:
    assert installed("search_spaces")["wide"] == "wide_spaces.one"
    assert resolve("search_spaces", "wide").__name__ == "wide_spaces.one"


def test_two_plug_ins_of_one_name_are_refused(plug_in: Path) -> None:
    other = plug_in / "other-1.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (other / "entry_points.txt").write_text("[autokd.search_spaces]\nwide = other.space\n")
    assert _message("search_spaces", "wide") == (
        "search space 'wide' is more than one plug-in; write one of other.space, wide_spaces.one"
    )


def test_modules_attributes_and_files_are_found(package: Path) -> None:
    (package / "some_space.py").write_text(SPACE + "class Wide:\n    class Inner:\n        pass\n")
    assert resolve("search_spaces", "some_space") is sys.modules["some_space"]
    assert resolve("losses", "some_space:Wide.Inner").__name__ == "Inner"
    assert resolve("losses", f"{package}/some_space.py:build")(None, None) == 1


def test_an_object_is_itself() -> None:
    assert resolve("search_spaces", HERE) is HERE


def test_a_file_is_loaded_once_for_each_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my-space.py"
    file.write_text(SPACE)
    first = resolve("search_spaces", "my-space.py")
    assert resolve("search_spaces", str(file)) is first
    file.write_text(SPACE.replace("1", "2"))  # same size, maybe the same second: Python's own cache would miss it
    assert resolve("search_spaces", "my-space.py").build({}, None) == 2
    assert first.build({}, None) == 1


def test_a_file_may_define_dataclasses(tmp_path: Path) -> None:
    file = tmp_path / "data.py"
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n@dataclass\nclass A:\n    b: int\n"
    )
    assert resolve("losses", f"{file}:A")(3).b == 3


def test_references_lead_back_to_the_object(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text(SPACE)
    module = resolve("search_spaces", str(file))
    for found in (module, module.build, HERE, Space, registry, resolve, Space.build):
        reference = reference_of(found)
        assert reference is not None
        assert resolve("losses", reference) is found
    assert reference_of(module) == str(file)
    assert reference_of(module.build) == f"{file}:build"
    assert reference_of(HERE) == f"{__name__}:HERE"


def test_another_process_imports_by_reference(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text(SPACE)
    reference = reference_of(resolve("search_spaces", str(file)).build)
    code = f"from autokd.registry import resolve; print(resolve('losses', {reference!r})({{}}, None))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_what_lives_in_main_or_in_a_function_has_no_reference() -> None:
    main = ModuleType("__main__")

    def local() -> None: ...

    for found in (lambda: 0, local, Space(), main, ModuleType("never_imported"), sys.modules["__main__"]):
        assert reference_of(found) is None


def test_the_digest_is_of_the_source_file(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text(SPACE)
    module = resolve("search_spaces", str(file))
    before = source_digest(module)
    assert before == source_digest(module.build)
    assert source_digest(HERE) == source_digest(Space) == source_digest(sys.modules[__name__])
    file.write_text(SPACE + "# changed\n")
    assert source_digest(resolve("search_spaces", str(file))) != before


def test_builtins_have_no_source() -> None:
    assert source_digest(len) == source_digest(3) == source_digest(sys) == ""


def test_a_name_that_is_nothing_is_answered_with_the_nearest(plug_in: Path) -> None:
    message = _message("search_spaces", "wied")
    assert message.startswith("no search space is named 'wied': it is not a plug-in (known: ")
    assert message.endswith(
        "), and no module 'wied' can be imported. Write 'package.module', 'package.module:attr', "
        "'path/to/file.py', or a plug-in's name; did you mean 'wide'?"
    )


def test_a_dot_for_a_colon_is_pointed_out() -> None:
    assert _message("losses", "autokd.registry.resolve").endswith("; did you mean 'autokd.registry:resolve'?")


def test_what_is_no_module_name_is_not_imported() -> None:
    assert "'a-b' is not the name of a module" in _message("losses", "a-b")
    assert "'' is not the name of a module" in _message("losses", "")
    assert "'.relative' is not the name of a module" in _message("losses", ".relative")


def test_a_missing_attribute_is_answered_with_the_nearest() -> None:
    message = _message("losses", "autokd.registry:resolv")
    assert message == f"loss 'autokd.registry:resolv': {registry.__file__} has no 'resolv'; did you mean 'resolve'?"


def test_a_search_space_has_suggest_and_build(tmp_path: Path) -> None:
    file = tmp_path / "half.py"
    file.write_text("def suggest(trial):\n    return {}\nbuild = 3\n")
    assert _message("search_spaces", str(file)) == (
        f"search space '{file}' has no function 'build'; give it 'suggest' and 'build'"
    )
    assert _message("search_spaces", 3) == (
        "search space of type int has no function 'suggest'; give it 'suggest' and 'build'"
    )


def test_attributes_asked_for_must_exist() -> None:
    assert _message("objectives", HERE, attributes=["suggets"]) == (
        "objective of type Space has no 'suggets'; did you mean 'suggest'?"
    )


def test_a_missing_file_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _message("search_spaces", "no/space.py") == (
        f"search space 'no/space.py': AutoKD cannot read {tmp_path}/no/space.py: no such file or directory"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def suggest(trial:\n", "space.py:1: SyntaxError: '(' was never closed"),
        ("x = 1\nraise KeyError('no\\nway')\n", "space.py:2: KeyError: 'no\\nway'"),
        ("import sys\n\nsys.exit(3)\n", "space.py:3: SystemExit: 3"),
        ("import no_such_package\n", "space.py:1: ModuleNotFoundError: No module named 'no_such_package'"),
        ("\n\nimport json\njson.loads('{')\n", "space.py:4: JSONDecodeError: Expecting property name"),
    ],
)
def test_a_file_that_fails_says_file_line_and_reason(tmp_path: Path, source: str, reason: str) -> None:
    file = tmp_path / "space.py"
    file.write_text(source)
    before = set(sys.modules)
    message = _message("search_spaces", str(file))
    assert message.startswith(f"search space '{file}' cannot be imported: {tmp_path}/{reason}")
    assert not any(name.startswith("autokd_plugin_space") for name in set(sys.modules) - before)


def test_a_module_that_fails_says_file_line_and_reason(package: Path) -> None:
    (package / "failing.py").write_text(
        textwrap.dedent("""
        def check():
            raise RuntimeError("two\\nlines")
        check()
    """)
    )
    assert _message("losses", "failing") == (
        f"loss 'failing' cannot be imported: {package}/failing.py:3: RuntimeError: two lines"
    )


def test_a_module_whose_own_import_is_missing_is_not_called_missing(package: Path) -> None:
    (package / "needy.py").write_text("import absent_extra\n")
    assert _message("losses", "needy") == (
        f"loss 'needy' cannot be imported: {package}/needy.py:1: ModuleNotFoundError: No module named 'absent_extra'"
    )


def test_sys_path_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(SPACE)
    before = list(sys.path)
    resolve("search_spaces", str(tmp_path / "space.py"))
    assert sys.path == before

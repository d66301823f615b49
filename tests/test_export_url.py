from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from export_samples import sample_card, sample_student
from torch import Tensor

from autokd.errors import InputError
from autokd.export import export_student, load_student

HOME = "memory://bucket/students/seven"


@pytest.fixture
def bucket() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(16, 1, 8, 8)


@pytest.mark.usefixtures("bucket")
def test_a_student_goes_to_a_url_and_comes_back(inputs: Tensor) -> None:
    student = sample_student()
    said = export_student(student, inputs, f"{HOME}/student.safetensors", card=sample_card())
    assert said.startswith(f"wrote {HOME}/student.safetensors: ")
    torch.testing.assert_close(load_student(HOME)(inputs), student.eval()(inputs), rtol=0, atol=0)


def test_an_earlier_export_is_replaced_and_others_files_are_not(bucket: Any, inputs: Tensor) -> None:
    for seed in (0, 1):
        torch.manual_seed(seed)
        export_student(sample_student(), inputs, f"{HOME}/student.safetensors", card=sample_card())
    bucket.pipe_file("/bucket/mine/README.md", b"mine")
    with pytest.raises(InputError, match=r"'memory://bucket/mine' has a README.md that is not from an export; name"):
        export_student(sample_student(), inputs, "memory://bucket/mine/student.safetensors", card=sample_card())
    assert bucket.find("/bucket/mine") == ["/bucket/mine/README.md"]
    assert bucket.cat_file("/bucket/mine/README.md") == b"mine"


def test_a_url_without_a_folder_is_no_path_of_this_machine(
    bucket: Any, inputs: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export_student(sample_student(), inputs, "memory://student.pt2", card=sample_card())
    assert bucket.find("/") == ["/student.pt2"]
    export_student(sample_student(), inputs, "file://student.pt2", card=sample_card())
    assert [path.name for path in tmp_path.iterdir()] == ["student.pt2"]


def test_whatever_a_file_system_raises_is_a_refusal(inputs: Tensor) -> None:
    with pytest.raises(InputError, match=r"cannot write 'data://x/student.pt2': Read only filesystem"):
        export_student(sample_student(), inputs, "data://x/student.pt2", card=sample_card())
    for call in (
        lambda url: export_student(sample_student(), inputs, f"{url}/student.pt2", card=sample_card()),
        load_student,
    ):
        with pytest.raises(InputError, match=r"'reference://x.*' cannot be used \(.*missing 1 required"):
            call("reference://x")


def test_urls_that_cannot_be_used_are_refused(inputs: Tensor) -> None:
    with pytest.raises(InputError, match=r"cannot export: 'nothing://x/student.pt2' cannot be used \(Protocol"):
        export_student(sample_student(), inputs, "nothing://x/student.pt2", card=sample_card())
    with pytest.raises(InputError, match=r"'memory://nowhere' is no exported student: .*name the folder itself"):
        load_student("memory://nowhere")

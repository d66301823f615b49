"""What `autokd spaces` says of each installed space."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from torch import nn

from autokd.report.spaces import installed_spaces, spaces_lines


def test_a_space_that_answers_each_pixel_of_an_image_is_not_said_to_answer_with_classes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = SimpleNamespace(suggest=lambda trial: {}, build=lambda arch, task: nn.Conv2d(task.input_shape[0], 2, 1))
    monkeypatch.setattr("autokd.report.spaces.registry.installed", lambda group: {"dense": "dense"})
    monkeypatch.setattr("autokd.report.spaces.find", lambda group, name: space)
    (dense,) = installed_spaces()
    assert (list(dense.rows), list(dense.heads), dense.problem) == (["images"], ["positions"], "")
    assert "reads images; answers positions" in spaces_lines([dense])[1]

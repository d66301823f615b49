"""Keeps in the run folder the weights from which students begin, so that every worker has the same ones."""

from __future__ import annotations

import os
from pathlib import Path

from autokd.errors import InputError, said
from autokd.first_weights import Origin
from autokd.study import FileStart, Study
from autokd.study.teacher import OutputsSection
from autokd.teachers.files import file_digest
from autokd.teachers.origins import origin_of
from autokd.teachers.weights import read_weights
from autokd.types import FROM_TEACHER, Task, Teacher

_FOLDER = "starts"


def keep_origins(study: Study, teacher: Teacher, task: Task, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Writes the files from which the students of a study begin.

    Args:
        study: names the starts and the teacher.
        teacher: the study's teacher, loaded.
        task: the task of the students.
        folder: the run folder.

    Returns:
        the files, relative to the run folder, and their digests; both by the name of the start.

    Raises:
        InputError: the teacher has no layers, or a file cannot be read or written.
    """
    files: dict[str, str] = {}
    for start in study.recipe.starts:
        if isinstance(start, FileStart):
            origin = Origin(read_weights(Path(start.file)))
            files[start.name] = _written(origin, folder, start.name)
        elif start == FROM_TEACHER:
            given = study.teacher.origin if isinstance(study.teacher, OutputsSection) else None
            origin = origin_of(study.teacher, teacher, task) if given is None else Origin.read(Path(given))
            files[start] = _written(origin, folder, start)
    return files, {name: file_digest(folder / file) for name, file in files.items()}


def _written(origin: Origin, folder: Path, name: str) -> str:
    home = folder / _FOLDER
    part = home / f"{name}.safetensors.part"
    try:
        home.mkdir(parents=True, exist_ok=True)
        origin.write(part)
        os.replace(part, home / f"{name}.safetensors")
    except OSError as error:
        raise InputError(f"first weights cannot be written to {home}: {error.strerror or said(error)}") from error
    return f"{_FOLDER}/{name}.safetensors"

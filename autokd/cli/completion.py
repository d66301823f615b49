"""What a shell may complete beside commands and options: run folders, search spaces, and keys of a study."""

from __future__ import annotations

from pathlib import Path


def complete_runs(incomplete: str) -> list[str]:
    """Folders that begin so, and those of `runs/` where nothing was typed yet; study files, too."""
    from autokd.report.runs import is_run

    found = [*Path("runs").glob("*")] if incomplete == "" else []
    typed = Path(incomplete)
    above, begun = (typed, "") if incomplete.endswith("/") else (typed.parent, typed.name)
    found += [path for path in above.glob("*") if path.name.startswith(begun) and not path.name.startswith(".")]
    folders = [str(path) if is_run(path) else f"{path}/" for path in sorted(found) if path.is_dir()]
    return folders + [str(path) for path in sorted(found) if path.suffix in (".yaml", ".yml")]


def complete_spaces(incomplete: str) -> list[str]:
    """Installed search spaces that begin so, and Python files."""
    from autokd.registry import installed

    typed = Path(incomplete)
    above, begun = (typed, "") if incomplete.endswith("/") else (typed.parent, typed.name)
    files = [str(path) for path in sorted(above.glob("*.py")) if path.name.startswith(begun)]
    return [name for name in installed("search_spaces") if name.startswith(incomplete)] + files


def complete_keys(incomplete: str) -> list[str]:
    """Keys of a study that begin so, with dots between a section and its keys, and an equals sign behind."""
    from autokd.study import Budget, RecipeSpace, Study

    keys = [key for key in Study.model_fields if key not in ("budget", "recipe")]
    keys += [f"budget.{key}" for key in Budget.model_fields] + [f"recipe.{key}" for key in RecipeSpace.model_fields]
    return [f"{key}=" for key in keys if key.startswith(incomplete)]


def complete_executors(incomplete: str) -> list[str]:
    """Executors that begin so."""
    return [name for name in ("inline", "processes", "ray") if name.startswith(incomplete)]

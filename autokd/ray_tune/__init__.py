"""Searches on a Ray cluster. Ray Tune places and retries trials and reports them; the driver's record is what counts.

Read the modules in this order: `cluster` (the cluster as the driver sees it), `doors` (Tune's searcher and scheduler),
`worker` (what runs on a node), `shipment` (what is sent there). Importing this package does not import Ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from autokd.errors import InputError
from autokd.study import Study

if TYPE_CHECKING:
    from autokd.driver.workplaces import Place


@contextmanager
def open_cluster(study: Study) -> Iterator[Place]:
    """The cluster that a study names, as a place where students train.

    Raises:
        InputError: Ray is not installed, or the cluster cannot be found.
    """
    try:
        import ray.tune  # noqa: F401
    except ImportError as missing:
        raise InputError(
            f"executor: ray needs {missing.name}, which is not installed; run: pip install 'autokd[ray]', or write "
            "executor: processes"
        ) from missing
    from autokd.ray_tune.cluster import connected

    with connected(study) as cluster:
        yield cluster

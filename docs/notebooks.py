"""Takes out of the page of a notebook the script that would load a library for drawing charts from elsewhere."""

from __future__ import annotations

import re
from typing import Any

_SCRIPT = re.compile(r"<script[^>]*>(?:(?!</script>).)*https://cdnjs(?:(?!</script>).)*</script>", re.DOTALL)


def on_post_page(output: str, **_: Any) -> str:
    """The hook of MkDocs: a page without that script."""
    return _SCRIPT.sub("", output)

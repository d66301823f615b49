"""Makes the page of a notebook one of the site: no script loaded from elsewhere, and links that lead to pages."""

from __future__ import annotations

import re
from typing import Any

_SCRIPT = re.compile(r"<script[^>]*>(?:(?!</script>).)*https://cdnjs(?:(?!</script>).)*</script>", re.DOTALL)
_LINK = re.compile(r'href="(?!\w+:|/|\.\./)([^"#]+)\.md(#[^"]*)?"')


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """The hook of MkDocs: the page without a script that would load a library for drawing charts.

    Links of a notebook to files beside it, `howto/space.md`, become links to their pages, `../howto/space/`.
    """
    output = _SCRIPT.sub("", output)
    return _LINK.sub(r'href="../\1/\2"', output) if page.file.src_uri.endswith(".ipynb") else output

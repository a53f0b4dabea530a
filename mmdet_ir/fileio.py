"""Output files that are never seen half-written."""

import os
from pathlib import Path


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes ``text`` under a temporary name beside ``path``, then renames; makes missing folders."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    temporary.write_text(text, encoding='utf-8')
    os.replace(temporary, path)

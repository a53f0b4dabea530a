"""Exported programs are no data: what docs/maintainers/untrusted_files.md says about them is true.

If one of these fails, a new PyTorch may have become safer; then the document has to say so.
"""

import io
import re
from pathlib import Path

import mmdet_ir  # noqa: F401  (first, as everywhere)

import pytest
import torch
from payloads import as_zip, rewrite_zip, touch


class Writer(torch.nn.Module):
    """Writes a file while it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[bool, str]:
        return self.training, self.path

    @torch.jit.export
    def __setstate__(self, state: tuple[bool, str]) -> None:
        self.training = state[0]
        self.path = state[1]
        torch.save(torch.ones(1), self.path)


def test_torchscript_writes_files_while_it_is_loaded(tmp_path: Path) -> None:
    marker = tmp_path / 'owned'
    torch.jit.save(torch.jit.script(Writer(str(marker))), tmp_path / 'm.pt')
    assert not marker.exists()
    torch.jit.load(tmp_path / 'm.pt')
    assert marker.exists()


class Double(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


@pytest.mark.parametrize('way', ['pickle', 'expression'])
def test_torch_export_runs_code_while_it_is_loaded(tmp_path: Path, way: str) -> None:
    marker = tmp_path / 'owned'
    batch = torch.export.Dim('batch', min=2, max=9)
    program = torch.export.export(Double(), (torch.ones(4, 3),), dynamic_shapes={'x': {0: batch}})
    buffer = io.BytesIO()
    torch.export.save(program, buffer)

    def poison(name: str, content: bytes) -> bytes:
        if way == 'pickle':
            return as_zip(touch(marker)) if re.search('(sample|example)_inputs', name) else content
        code = f"__import__('os').system('touch {marker}')"
        return re.sub(rb'"expr_str": ?"[^"]*"', f'"expr_str": "{code}"'.encode(), content)

    (tmp_path / 'm.pt2').write_bytes(rewrite_zip(buffer.getvalue(), poison))
    with pytest.raises((AssertionError, AttributeError, TypeError)):  # after the command has run
        torch.export.load(tmp_path / 'm.pt2')
    assert marker.exists()

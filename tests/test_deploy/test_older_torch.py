"""What an older torch cannot export is said, not left to a TypeError within it."""

from pathlib import Path

from mmdet_ir.deploy import export

import pytest
import torch


def test_any_size_needs_a_newer_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []

    def older(mod: object, args: tuple, *, dynamic_shapes: object = None, strict: bool = True) -> str:
        calls.append((args[0].shape, dynamic_shapes, strict))
        return 'program'

    monkeypatch.setattr(torch.export, 'export', older)
    monkeypatch.setattr(torch.export, 'save', lambda program, path, extra_files: Path(path).write_text(program))
    write, image = export._write_program, torch.zeros(2, 1, 6, 8)
    with pytest.raises(ValueError, match=r'expected a newer torch, got .* fix both with --size and --batch'):
        write(None, image, [0, 2, 3], tmp_path / 'any.pt2', '{}')
    assert calls == []
    write(None, image, [], tmp_path / 'fixed.pt2', '{}')
    assert calls == [((2, 1, 6, 8), ({},), False)]
    assert [path.name for path in tmp_path.iterdir()] == ['fixed.pt2']

"""The loading benchmark reads the same scene in all its rows, and divides by the first one."""

from pathlib import Path

from mmdet_ir.benchmark import loading as loading_benchmark
from mmdet_ir.datasets.synthetic import generate_scene

import numpy as np
import pytest


def test_rows_read_the_same_scenes(tmp_path: Path) -> None:
    files = loading_benchmark.write_scenes(tmp_path, 1, (96, 64))
    picture = np.stack([generate_scene(0, (96, 64)).image8] * 3, axis=-1)
    rows = loading_benchmark.pipelines()
    assert len(rows) == 10
    for name, (kind, transform) in rows.items():
        image = transform({'img_path': files[kind][0]})['img']
        assert image.shape == (64, 96, 3) and image.dtype == np.uint8
        if 'percentile' in name or '8-bit' in name:
            np.testing.assert_array_equal(image, picture)


def test_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round by round, rows take 1, 2, 3, ... and one round takes ten times as long: the median does not move."""
    durations = [row * factor for factor in (50, 1, 10, 1) for row in range(1, 11)]
    ticks = iter([t for duration in durations for t in (0.0, duration)])
    monkeypatch.setattr(loading_benchmark.time, 'process_time', lambda: next(ticks))
    rows = loading_benchmark.benchmark_loading((64, 64), images=1, repeats=3)
    for place, row in enumerate(rows.values(), start=1):
        assert row == {
            'images_per_second': pytest.approx(1 / place),
            'milliseconds': pytest.approx(1000 * place),
            'ratio': pytest.approx(1 / place),
        }
    line = loading_benchmark.as_table(rows).splitlines()[3]
    assert line == '| LoadIRImageFromFile, 8-bit PNG | 0 | 2000.00 | 0.50 |'

import json

from mmdet_ir.analysis.training_curves import draw_training_curves, moving_average, read_scalars

import cv2
import numpy as np
import pytest


def session(folder, time, train, val=(), resume=False, by_epoch=True):
    """What mmengine leaves of a session: ``train`` {iteration: loss}, ``val`` {step: mAP}."""
    logs = folder / time / 'vis_data'
    logs.mkdir(parents=True)
    (logs / 'config.py').write_text(f'resume = {resume}\n')
    (folder / time / f'{time}.log').write_text('2025/01/01 00:00:00 - mmengine - INFO - Epoch(train) [1][1/2]\n')
    epoch = {'epoch': 1} if by_epoch else {}
    lines = [{'loss': loss, 'time': 1.0, **epoch, 'iter': step, 'step': step} for step, loss in train.items()]
    lines += [{'coco/segm_mAP': value, 'time': 9.0, 'step': step} for step, value in dict(val).items()]
    (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n')


def test_a_resumed_session_replaces_what_it_repeats(tmp_path):
    session(tmp_path, '20250101_000000', {10: 9.0, 20: 8.0}, {1: 0.9})  # an earlier run in the same folder
    session(tmp_path, '20250102_000000', {10: 5.0, 20: 4.0, 30: 3.5, 45: 9.0}, {1: 0.1, 2: 0.2})
    session(tmp_path, '20250103_000000', {30: 3.0, 40: 2.0}, {2: 0.25, 3: 0.3}, resume=True)
    scalars = read_scalars(tmp_path)
    assert scalars['loss'].values == {10: 5.0, 20: 4.0, 30: 3.0, 40: 2.0} and scalars['loss'].unit == 'iteration'
    assert scalars['coco/segm_mAP'].values == {1: 0.1, 2: 0.25, 3: 0.3} and scalars['coco/segm_mAP'].unit == 'epoch'
    assert scalars['time'].values[10] == 1 and scalars['val/time'].values[1] == 9


def test_a_resumed_session_that_begins_with_the_validation_it_was_stopped_in(tmp_path):
    session(tmp_path, '20250102_000000', {10: 5.0}, {1: 0.1})
    session(tmp_path, '20250103_000000', {20: 3.0}, {2: 0.2}, resume=True)
    scalars = tmp_path / '20250103_000000' / 'vis_data' / 'scalars.json'
    train, val = scalars.read_text().splitlines()
    scalars.write_text(f'{val}\n{train}\n')
    series = read_scalars(tmp_path)['coco/segm_mAP']
    assert series.unit == 'epoch' and series.values == {1: 0.1, 2: 0.2}


def test_steps_of_a_run_by_iterations_are_iterations(tmp_path):
    session(tmp_path, '20250101_000000', {10: 1.0}, {10: 0.5}, by_epoch=False)
    assert read_scalars(tmp_path)['coco/segm_mAP'].unit == 'iteration'


def test_moving_average_is_shorter_at_the_ends():
    values = np.array([[1.0, 2, 6, 4, 12]])
    np.testing.assert_allclose(moving_average(values, 3), [[1.5, 3, 4, 22 / 3, 8]])
    np.testing.assert_allclose(moving_average(values, 1), values)
    np.testing.assert_allclose(moving_average(values, 2), [[1, 1.5, 4, 5, 8]])


def test_seeds_become_a_mean_and_a_band(tmp_path, monkeypatch):
    for name, losses in (('a0', [4.0, 2.0, 1.0]), ('a1', [6.0, 4.0]), ('b', [3.0, 3.0])):
        train = {10 * (i + 1): loss for i, loss in enumerate(losses)}
        session(tmp_path / name, '20250101_000000', train, {1: losses[0] / 10})
    drawn = {}
    module = 'mmdet_ir.analysis.training_curves'
    with monkeypatch.context() as patch:
        patch.setattr(f'{module}.plot_training_curves', lambda curves, path: drawn.update(curves))
        folders = [f'{tmp_path}/a0=A', f'{tmp_path}/a1=A', f'{tmp_path}/b']
        assert draw_training_curves(folders, ['loss', 'coco/segm_mAP'], 'x.png', smooth=1) == {'A': 2, 'b': 1}
    first, second = drawn['loss']
    assert (first.title, second.title) == ('A', 'b')
    assert first.steps.tolist() == [10, 20]  # as far as both seeds go
    np.testing.assert_allclose(first.smoothed, [[4, 2], [6, 4]])
    out = tmp_path / 'out' / 'curves.png'
    draw_training_curves(folders, ['loss', 'coco/segm_mAP'], out)
    assert cv2.imread(str(out)).std() > 5 and [file.name for file in out.parent.iterdir()] == ['curves.png']


def test_mistakes_of_the_user(tmp_path):
    session(tmp_path / 'a', '20250101_000000', {10: 1.0})
    session(tmp_path / 'b', '20250101_000000', {15: 1.0})
    out = tmp_path / 'x.png'
    with pytest.raises(ValueError, match=r"a: expected a key that the run logged, such as \['loss'\], got 'lose'"):
        draw_training_curves([f'{tmp_path}/a'], ['lose'], out)
    with pytest.raises(ValueError, match="T: expected runs that logged 'loss' at the same steps, got none in common"):
        draw_training_curves([f'{tmp_path}/a=T', f'{tmp_path}/b=T'], ['loss'], out)
    with pytest.raises(ValueError, match='smooth: expected at least 1, got 0'):
        draw_training_curves([f'{tmp_path}/a'], ['loss'], out, smooth=0)
    with pytest.raises(FileNotFoundError, match='none'):
        draw_training_curves([f'{tmp_path}/none'], ['loss'], out)
    path = tmp_path / 'a' / '20250101_000000' / 'vis_data' / 'scalars.json'
    path.write_text('{"loss": 1\n')
    with pytest.raises(ValueError, match=r'scalars\.json: line 1: expected a JSON object'):
        read_scalars(tmp_path / 'a')

"""The campaign tells what is documented from what is not, and survives what it finds."""

import os
import signal
import time
from pathlib import Path

import mmdet_ir  # noqa: F401  (first: mmdet cannot be imported without it)
from mmdet_ir.stress import fuzz as module
from mmdet_ir.stress.fuzz import UndocumentedError, fuzz, run_case
from mmdet_ir.stress.mutations import Case, make_case
from mmdet_ir.stress.sound_set import ANNOTATIONS, sound_set

import pytest


def test_a_sound_set_goes_through(tmp_path: Path) -> None:
    sound = sound_set(tmp_path / 'set')
    expected = ['data set: loaded', 'validator: no errors', 'masks: decoded']
    assert run_case(tmp_path / 'set', sound, Case()) == expected


def test_cases_follow_from_seed_and_number(tmp_path: Path) -> None:
    sound = sound_set(tmp_path / 'set')
    cases = [make_case(sound, 5, number) for number in range(40)]
    assert cases == [make_case(sound, 5, number) for number in range(40)]
    changed = [name for case in cases for name in case.files]
    assert changed.count(ANNOTATIONS) in range(10, 31) and len(set(changed)) > 5
    assert sum(content != sound[name] for case in cases for name, content in case.files.items()) > 35


def test_annotation_files_stay_small_enough_to_be_read(tmp_path: Path) -> None:
    """Found by fuzzing: in this case a thousand copies of the annotations got into each of a thousand more."""
    sound = sound_set(tmp_path / 'set')
    case = make_case(sound, 9, 6330)
    assert case.what[-1] == 'too large, left as it was'
    assert case.files == {ANNOTATIONS: sound[ANNOTATIONS]}


def test_a_message_without_a_file_is_no_documented_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = sound_set(tmp_path / 'set')

    def target(root: Path) -> str:
        raise ValueError('something is wrong')

    monkeypatch.setattr(module, 'TARGETS', {'data set': target})
    with pytest.raises(UndocumentedError, match='names no file: something is wrong'):
        run_case(tmp_path / 'set', sound, Case())


def crash(root: Path) -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return ''


def hang(root: Path) -> str:
    time.sleep(60)
    return ''


def swallow(root: Path) -> str:
    return str(len(bytearray(1 << 40)))


def stumble(root: Path) -> str:
    return {}[str(root)]


@pytest.mark.parametrize(
    ('target', 'outcome'),
    [(crash, 'signal 11'), (hang, 'no end after'), (swallow, 'MemoryError'), (stumble, 'KeyError')],
)
def test_findings_are_saved_and_the_campaign_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, outcome: str
) -> None:
    monkeypatch.setattr(module, 'TARGETS', {'data set': target})
    campaign = fuzz(tmp_path / 'out', seed=3, seconds=60, first=7, cases=2, timeout=1)
    assert campaign.cases == 2
    assert [finding.number for finding in campaign.findings] == [7, 8]
    for finding in campaign.findings:
        assert finding.outcome.startswith(outcome)
        case = make_case(sound_set(tmp_path / f'again{finding.number}'), 3, finding.number)
        assert all((finding.folder / name).read_bytes() == content for name, content in case.files.items())
        assert f'seed 3, case {finding.number}' in (finding.folder / 'log.txt').read_text()


def test_a_short_campaign_finds_nothing(tmp_path: Path) -> None:
    campaign = fuzz(tmp_path / 'out', seed=0, seconds=60, cases=40)
    assert not campaign.findings, str(campaign)
    assert campaign.cases == 40 and sum(campaign.outcomes.values()) == 3 * 40

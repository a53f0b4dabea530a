"""Damaged data sets through loading, validation and decoding: each is taken, or refused by a documented error.

Documented are ``ValueError`` and ``FileNotFoundError`` that name a file. The work is done in a child process with
limited memory, so that a crash, a hang or a memory blow-up in it is caught together with what caused it. POSIX only.
"""

import contextlib
import faulthandler
import gc
import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import torch
from mmdet.registry import DATASETS
from mmengine.registry import DefaultScope
from pycocotools import mask as mask_utils

from ..datasets.coco_files import CLASSES, read_coco
from ..datasets.validation.data_sets import from_file
from ..datasets.validation.repairs.repair import NestedTooDeeplyError, repair
from ..datasets.validation.report import as_json, as_text, check_between, check_data_set
from ..evaluation.mask_agreement import to_rle
from ..fileio import read_json
from .mutations import Case, make_case
from .sound_set import ANNOTATIONS, sound_set

PIPELINE = (
    {'type': 'LoadIRImageFromFile', 'channels': 1, 'raw': True, 'disguised': 'allow'},
    {'type': 'ToneMapping', 'method': 'percentile', 'low': 0.5, 'high': 99.7},
    {'type': 'LoadAnnotations', 'with_bbox': True, 'with_mask': True},
    {'type': 'Resize', 'scale': (48, 40), 'keep_ratio': True},
    {'type': 'RandomCrop', 'crop_size': (32, 32), 'allow_negative_crop': True},
    {'type': 'RandomFlip', 'prob': 0.5},
    {'type': 'PackDetInputs'},
)
SECONDS = 60  # that one case may take
MEMORY = 4 << 30  # bytes that the child may ask for on top of what it has at its start


class UndocumentedError(Exception):
    """What came out is neither a loaded data set nor a documented error."""


@dataclass
class Finding:
    """A case that ended in another way than documented.

    Attributes:
        number: Of the case.
        outcome: Such as ``TypeError`` or ``SIGSEGV``.
        folder: Where the data set and the log were saved.
    """

    number: int
    outcome: str
    folder: Path


@dataclass
class Campaign:
    """What a run found.

    Attributes:
        cases: Number of cases.
        outcomes: Cases by what came of them in data set loading and in the validator.
        findings: Those that should not have been.
    """

    cases: int = 0
    outcomes: Counter = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f'{self.cases} cases, {len(self.findings)} findings']
        lines += [f'{count:8d}  {outcome}' for outcome, count in self.outcomes.most_common()]
        lines += [f'finding: case {f.number}: {f.outcome}, saved in {f.folder}' for f in self.findings]
        return '\n'.join(lines)


def load_data_set(root: Path) -> str:
    """Builds the data set and loads every image with the training pipeline.

    Raises:
        ValueError: If the files are unsound. FileNotFoundError: If one is missing.
        UndocumentedError: If what was loaded is not sound.
    """
    with DefaultScope.overwrite_default_scope('mmdet'):
        data_set = DATASETS.build(
            {
                'type': 'IRDataset',
                'data_root': str(root),
                'ann_file': ANNOTATIONS,
                'data_prefix': {'img': 'images/'},
                'pipeline': [dict(step) for step in PIPELINE],
            }
        )
        for index in range(len(data_set)):
            _check_item(data_set[index])
    return 'loaded'


def _check_item(item: dict) -> None:
    image, targets = item['inputs'].numpy(), item['data_samples'].gt_instances
    boxes, masks = targets.bboxes.tensor.numpy(), targets.masks.masks
    if not np.isfinite(image).all() or not np.isfinite(boxes).all():
        raise UndocumentedError('loaded values that are not finite')
    if len(boxes) != len(masks) or len(boxes) != len(targets.labels):
        raise UndocumentedError(f'loaded {len(boxes)} boxes and {len(masks)} masks')
    if not ((targets.labels >= 0) & (targets.labels < len(CLASSES))).all():
        raise UndocumentedError(f'loaded labels {targets.labels.tolist()}')


def validate(root: Path) -> str:
    """Runs the validator with its report and repair; faults of the files are in its result, so it raises nothing."""
    data_set = from_file(root / ANNOTATIONS, CLASSES)
    checked = check_data_set(data_set)
    between = check_between([checked])
    json.loads(as_json([checked], between))
    codes = {problem.code for problem in checked.problems if problem.severity == 'error'}
    if not as_text([checked], between) or codes & {'file-missing', 'file-unreadable'}:
        return 'reported'
    with contextlib.suppress(NestedTooDeeplyError):
        json.dumps(repair(read_json(data_set.path), CLASSES)[0])
    return 'errors reported' if codes else 'no errors'


def decode_masks(root: Path) -> str:
    """Reads the annotation file as evaluation and drawing do, and decodes all masks.

    Raises:
        ValueError: If the file is unsound.
    """
    coco = read_coco(root / ANNOTATIONS, masks=True)
    sizes = {image['id']: (image['height'], image['width']) for image in coco['images']}
    for annotation in coco['annotations']:
        size = sizes[annotation['image_id']]
        if annotation.get('segmentation') and mask_utils.decode(to_rle(annotation, size)).shape != size:
            raise UndocumentedError(f'a mask of another size than {size}')
    return 'decoded'


TARGETS: dict[str, Callable[[Path], str]] = {
    'data set': load_data_set,
    'validator': validate,
    'masks': decode_masks,
}


def run_case(root: Path, sound: dict[str, bytes], case: Case) -> list[str]:
    """What comes of a case, in each of ``TARGETS``.

    Raises:
        UndocumentedError: For a documented error without the name of a file. Any other error passes through.
    """
    for name, content in case.files.items():
        (root / name).write_bytes(content)
    outcomes = []
    np.random.seed(0)  # noqa: NPY002  (mmcv's random transforms use it)
    try:
        for name, target in TARGETS.items():
            try:
                outcomes.append(f'{name}: {target(root)}')
            except (ValueError, FileNotFoundError) as error:
                if name == 'validator':
                    raise
                outcomes.append(f'{name}: {type(error).__name__}: {_label(str(error), root)}')
    finally:
        for name in case.files:
            (root / name).write_bytes(sound[name])
    return outcomes


def _label(message: str, root: Path) -> str:
    """A message without its details. Raises ``UndocumentedError`` if it names no file."""
    if str(root) not in message:
        raise UndocumentedError(f'the message names no file: {message}')
    first = message.replace(str(root), '').partition('. Remedy')[0].splitlines()[0]
    first = first.partition(' (a small file')[0]
    kind = re.sub(r"'[^']*'|\"[^\"]*\"", '..', first)
    kind = re.sub(r'/[\w./]+', 'FILE', kind)
    return re.sub(r'-?\d[\d.e+]*', 'N', kind)[:70]


def fuzz(
    out: str | os.PathLike,
    seed: int,
    seconds: float,
    *,
    first: int = 0,
    cases: int | None = None,
    memory: int = MEMORY,
    timeout: float = SECONDS,
    progress: Callable[[Campaign], object] = lambda campaign: None,
) -> Campaign:
    """Runs cases one after the other until the time is over.

    Args:
        out: Folder; each finding is saved in it as a data set of its own with ``log.txt``.
        seed: Of all cases.
        seconds: Time to run.
        first: Number of the first case.
        cases: How many at most.
        memory: Bytes that the child may ask for on top of what it has at its start.
        timeout: Seconds that one case may take.
        progress: Called about every ten seconds.

    Returns:
        The counts.
    """
    campaign, number, start = Campaign(), first, time.monotonic()
    last, end = start, start + seconds
    cv2.setNumThreads(0)  # threads do not survive the fork
    with tempfile.TemporaryDirectory(prefix='mmdet_ir_fuzz_') as folder:
        log = Path(folder, 'log.txt')
        while time.monotonic() < end and (cases is None or campaign.cases < cases):
            root = Path(folder, 'set')
            shutil.rmtree(root, ignore_errors=True)
            sound = sound_set(root)
            receiver, sender = multiprocessing.Pipe(duplex=False)
            child = multiprocessing.get_context('fork').Process(
                target=_work, args=(root, sound, seed, number, memory, sender, log), daemon=True
            )
            child.start()
            sender.close()
            alive = True
            while alive and time.monotonic() < end and (cases is None or campaign.cases < cases):
                outcomes = _next(receiver, timeout)
                alive = outcomes is not None
                if alive:
                    campaign.outcomes.update(outcomes)
                else:
                    campaign.findings.append(_save(Path(out), sound, seed, number, child, log))
                    campaign.outcomes[f'FINDING: {campaign.findings[-1].outcome}'] += 1
                campaign.cases += 1
                number += 1
                if time.monotonic() - last > 10:
                    last = time.monotonic()
                    progress(campaign)
            child.kill()
            child.join()
    return campaign


def _next(receiver: Connection, timeout: float) -> list[str] | None:
    """Outcomes of the next case; None if the child ended or does not come to an end."""
    with contextlib.suppress(EOFError):
        if receiver.poll(timeout):
            return receiver.recv()
    return None


def _work(
    root: Path, sound: dict[str, bytes], seed: int, first: int, memory: int, sender: Connection, log: Path
) -> None:
    """The child: whatever is not documented ends it, and its traceback goes to the log."""
    torch.set_num_threads(1)  # (as for OpenCV: the parent's threads are not there)
    with log.open('w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = open(2, 'w', errors='backslashreplace', buffering=1, closefd=False)  # noqa: SIM115
    faulthandler.enable(sys.stderr)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path('/proc/self/statm').read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + memory,) * 2)
    gc.freeze()  # else mmengine's gc.collect() walks over all of PyTorch for each data set
    for number in itertools.count(first):
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        sender.send(run_case(root, sound, make_case(sound, seed, number)))


def _save(
    out: Path, sound: dict[str, bytes], seed: int, number: int, child: multiprocessing.Process, log: Path
) -> Finding:
    """Saves the case that the child was at when it ended, or hung."""
    child.join(1)
    text = log.read_text(errors='replace')
    last = text.strip().splitlines()[-1].strip() if text.strip() else ''
    outcome = f'no end after {SECONDS} s'
    if child.exitcode is not None:
        outcome = last[:100] if child.exitcode > 0 else f'signal {-child.exitcode}'
    folder, case = out / f'{seed}_{number}', make_case(sound, seed, number)
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in {**sound, **case.files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    about = f'seed {seed}, case {number}\n{outcome}\nchanged: {list(case.files)}: {", ".join(case.what)}\n\n{text}'
    (folder / 'log.txt').write_text(about, encoding='utf-8', errors='backslashreplace')
    return Finding(number, outcome, folder)

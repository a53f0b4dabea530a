"""What kind of error costs how much: Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors",
ECCV 2020, on masks, for all targets, for each class and for each size.

The ``tidecv`` package has neither classes nor sizes and has had no release since 2020, so this is written on COCO's
masks; ``docs/guide/evaluate.md`` says where the two differ.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
from pycocotools import mask as mask_utils

from ...datasets.validation.checks.structure import id_order
from ..rows import ALL
from .matching import ImageMatch, match_image

KINDS = {
    'Cls': 'wrong class: IoU with a target of another class reaches the threshold',
    'Loc': 'right class, poor mask: IoU between the background threshold and the threshold',
    'Both': 'wrong class and poor mask',
    'Dupe': 'right, but a detection with a higher score has the target',
    'Bkg': 'background: IoU with every target below the background threshold',
    'Miss': 'target that no detection finds, nor would find after a Cls or Loc error is corrected',
}
SUMS = {'FalsePos': 'all false positives', 'FalseNeg': 'all targets not found'}
SIZES = {'small': 32**2, 'medium': 96**2, 'large': math.inf}  # upper bounds of the area in pixels
_RECALLS = np.linspace(0, 1, 101)  # COCO's


@dataclass(frozen=True)
class Mistake:
    """One error of a detector.

    Attributes:
        kind: Key of ``KINDS``.
        detection: The wrong detection; ``None`` for a missed target.
        target: The target meant: missed, or overlapped most by the detection; ``None`` for background.
        iou: Mask IoU of the two, else 0.
        corrects: Whether the detection, corrected, would be the one to find a target that is not found otherwise.
    """

    kind: str
    detection: dict | None
    target: dict | None
    iou: float = 0.0
    corrects: bool = False

    @property
    def category(self) -> int:
        """Category under which the mistake is counted: the predicted one, of a missed target its own."""
        return (self.target if self.detection is None else self.detection)['category_id']

    @property
    def size(self) -> str:
        """Size of the target, or, where there is none, of the detection's mask."""
        area = mask_utils.area(self.detection['segmentation']) if self.target is None else self.target['area']
        return size_name(area)


def size_name(area: float) -> str:
    """Name of the size class of an area in pixels."""
    return next(name for name, bound in SIZES.items() if area < bound)


def find_mistakes(match: ImageMatch, iou_thr: float = 0.5, background_iou: float = 0.1) -> list[Mistake]:
    """Mistakes in one image: each false positive has one kind (tested in the order Loc, Cls, Dupe, Both, Bkg).

    Args:
        match: Detections and targets, matched at ``iou_thr``.
        iou_thr: Mask IoU from which a detection finds a target.
        background_iou: Mask IoU below which a detection has nothing to do with a target.
    """
    labels = np.array([d['category_id'] for d in match.detections], dtype=object)
    same = labels[:, None] == np.array([t['category_id'] for t in match.targets], dtype=object)
    taken = set(match.matched[match.matched >= 0].tolist())
    mistakes, explained = [], set()

    def best(row: np.ndarray) -> tuple[int, float]:
        index = int(row.argmax()) if row.size else 0
        return index, float(row[index]) if row.size else 0.0

    for i, detection in enumerate(match.detections):
        if match.matched[i] >= 0 or match.ignored[i]:
            continue
        own, own_iou = best(match.ious[i] * same[i])
        other, other_iou = best(match.ious[i] * ~same[i])
        if background_iou <= own_iou < iou_thr:
            kind, index, iou = 'Loc', own, own_iou
        elif other_iou >= iou_thr:
            kind, index, iou = 'Cls', other, other_iou
        elif own_iou >= iou_thr:
            kind, index, iou = 'Dupe', own, own_iou
        elif other_iou >= background_iou:
            kind, index, iou = 'Both', other, other_iou
        else:
            mistakes.append(Mistake('Bkg', detection, None))
            continue
        # Detections come by falling score, so the first that explains a target is the one to correct.
        corrects = kind in ('Cls', 'Loc') and index not in taken and index not in explained
        if corrects:
            explained.add(index)
        mistakes.append(Mistake(kind, detection, match.targets[index], iou, corrects))
    found = taken | explained
    return mistakes + [Mistake('Miss', None, t) for j, t in enumerate(match.targets) if j not in found]


def average_precision(scores: Sequence[float], correct: Sequence[bool], targets: int) -> float:
    """COCO's AP at one IoU: precision, made falling, averaged over 101 levels of recall.

    Args:
        scores: Of the detections of one class; those with one score count in the order given.
        correct: Whether each finds a target.
        targets: Number of targets. Without any, the AP is 1 if nothing was detected, else 0.
    """
    if not targets:
        return float(len(scores) == 0)
    hits = np.cumsum(np.asarray(correct, bool)[np.argsort(-np.asarray(scores, float), kind='stable')])
    precision = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    reached = np.searchsorted(hits / targets, _RECALLS, side='left')
    return float(np.append(precision, 0.0)[reached].mean())


@dataclass
class ErrorBreakdown:
    """The errors of one model. Rows are ``'all'``, the names of the classes, and of the sizes.

    Attributes:
        classes: Names of the classes.
        targets: Number of targets, by row.
        ap: AP at the IoU threshold as a fraction, for ``'all'`` and each class; NaN without targets.
        counts: Number of errors, by kind and row.
        gains: By kind (and ``FalsePos``, ``FalseNeg``) and row, as a fraction, never below 0. For ``'all'`` and the
            classes: what the AP gains when all errors of the kind are corrected. For sizes: what the AP of ``'all'``
            gains when those of the size are.
        confusions: Number of ``Cls`` errors by name of the target's class and of the predicted one.
    """

    classes: list[str]
    targets: dict[str, int]
    ap: dict[str, float]
    counts: dict[str, dict[str, int]]
    gains: dict[str, dict[str, float]]
    confusions: dict[tuple[str, str], int]

    @property
    def rows(self) -> list[str]:
        """All rows that have targets or errors."""
        rows = [ALL, *self.classes, *SIZES]
        return [row for row in rows if self.targets[row] or any(count[row] for count in self.counts.values())]

    def as_json(self) -> dict:
        """Plain data; NaN becomes ``None``."""

        def plain(row: dict[str, float]) -> dict:
            return {key: None if math.isnan(value) else value for key, value in row.items()}

        return {
            'targets': self.targets,
            'AP': plain(self.ap),
            'counts': self.counts,
            'dAP': {kind: plain(row) for kind, row in self.gains.items()},
            'confusions': [{'target': a, 'predicted': b, 'count': n} for (a, b), n in self.confusions.items()],
        }


def break_down(
    coco: dict, detections: Sequence[dict], iou_thr: float = 0.5, background_iou: float = 0.1, max_dets: int = 100
) -> ErrorBreakdown:
    """Break the errors of a model down by kind, class and size.

    Args:
        coco: The annotation file's content (``read_coco``); all its images count.
        detections: COCO results with RLE masks (``read_detections``).
        iou_thr: Mask IoU from which a detection finds a target.
        background_iou: Mask IoU below which a detection is background.
        max_dets: Detections of a class and image that count, as in COCO's evaluation.

    Raises:
        ValueError: If not 0 < ``background_iou`` < ``iou_thr`` <= 1, or a class has the name of a size of targets.
    """
    if not 0 < background_iou < iou_thr <= 1:
        raise ValueError(f'expected 0 < background IoU < IoU threshold <= 1, got {background_iou} and {iou_thr}')
    taken = [category['name'] for category in coco['categories'] if category['name'] in SIZES]
    if taken:
        raise ValueError(f'categories: expected other names than those of sizes, {list(SIZES)}, got {taken}; rename')
    per_image, annotations = defaultdict(list), defaultdict(list)
    for detection in detections:
        per_image[detection['image_id']].append(detection)
    for annotation in coco['annotations']:
        annotations[annotation['image_id']].append(annotation)

    hits, targets, mistakes = [], [], []
    places: dict[int, int] = {}  # of each detection, as COCO counts detections of one score: by image, then by score
    for image in sorted(coco['images'], key=lambda image: id_order(image['id'])):
        size = (image['height'], image['width'])
        match = match_image(per_image[image['id']], annotations[image['id']], size, iou_thr, max_dets)
        places |= {id(detection): len(places) + i for i, detection in enumerate(match.detections)}
        hits += [match.detections[i] for i in np.flatnonzero(match.matched >= 0)]
        targets += match.targets
        mistakes += find_mistakes(match, iou_thr, background_iou)

    names = {category['id']: category['name'] for category in coco['categories']}
    number = Counter(target['category_id'] for target in targets)
    scored = [category for category in names if number[category]]

    def aps(corrected: Callable[[Mistake], bool]) -> dict[int, float]:
        return _aps(hits, mistakes, number, scored, places, corrected)

    base = aps(lambda mistake: False)

    def gain(corrected: Callable[[Mistake], bool]) -> dict[str, float]:
        new = aps(corrected)
        change = {names[c]: max(new[c] - base[c], 0.0) if c in base else math.nan for c in names}
        return {ALL: max(_mean(new.values()) - _mean(base.values()), 0.0) if scored else math.nan, **change}

    gains = {}
    for kind in KINDS:
        gains[kind] = gain(lambda m, kind=kind: m.kind == kind)
        for size in SIZES:
            gains[kind][size] = gain(lambda m, kind=kind, size=size: m.kind == kind and m.size == size)[ALL]
    gains |= _sums(hits, mistakes, number, names, base, places)
    rows = [ALL, *names.values(), *SIZES]
    sizes = Counter(size_name(target['area']) for target in targets)
    return ErrorBreakdown(
        classes=list(names.values()),
        targets={ALL: len(targets), **{names[c]: number[c] for c in names}, **{size: sizes[size] for size in SIZES}},
        ap={ALL: _mean(base.values()), **{names[c]: base.get(c, math.nan) for c in names}},
        counts={kind: _count([m for m in mistakes if m.kind == kind], names, rows) for kind in KINDS},
        gains=gains,
        confusions=dict(
            Counter(
                (names[m.target['category_id']], names[m.category]) for m in mistakes if m.kind == 'Cls'
            ).most_common()
        ),
    )


def _mean(values: Collection[float]) -> float:
    return float(np.mean(list(values))) if values else math.nan


def _count(mistakes: list[Mistake], names: dict[int, str], rows: list[str]) -> dict[str, int]:
    count = Counter(names[m.category] for m in mistakes) + Counter(m.size for m in mistakes)
    return {row: len(mistakes) if row == ALL else count[row] for row in rows}


def _aps(
    hits: Sequence[dict],
    mistakes: Sequence[Mistake],
    number: dict[int, int],
    scored: Sequence[int],
    places: dict[int, int],
    corrected: Callable[[Mistake], bool],
) -> dict[int, float]:
    """AP of each class after some mistakes are corrected (TIDE, section 2.2).

    A corrected Cls or Loc error finds its target, if no other detection does; any other false positive vanishes, and
    a missed target is no longer counted.
    """
    points = defaultdict(list)
    left = Counter(number)

    def count(category: int, detection: dict, correct: bool) -> None:
        points[category].append((places[id(detection)], detection['score'], correct))

    for hit in hits:
        count(hit['category_id'], hit, True)
    for mistake in mistakes:
        if not corrected(mistake):
            if mistake.detection is not None:
                count(mistake.category, mistake.detection, False)
        elif mistake.kind == 'Miss':
            left[mistake.category] -= 1
        elif mistake.corrects:
            count(mistake.target['category_id'], mistake.detection, True)
    ordered = {c: sorted(points[c], key=itemgetter(0)) for c in scored}
    return {c: average_precision([p[1] for p in of], [p[2] for p in of], left[c]) for c, of in ordered.items()}


def _sums(
    hits: Sequence[dict],
    mistakes: Sequence[Mistake],
    number: dict[int, int],
    names: dict[int, str],
    base: dict[int, float],
    places: dict[int, int],
) -> dict[str, dict[str, float]]:
    """Gains without any false positive, and without any target that is not found."""
    wrong = [m for m in mistakes if m.detection is not None]
    found = Counter(hit['category_id'] for hit in hits)
    new = {
        'FalsePos': _aps(hits, [], number, list(base), places, lambda mistake: False),
        'FalseNeg': _aps(hits, wrong, found, list(base), places, lambda mistake: False),
    }
    return {
        kind: {
            ALL: max(_mean(ap.values()) - _mean(base.values()), 0.0) if base else math.nan,
            **{names[c]: max(ap[c] - base[c], 0.0) if c in base else math.nan for c in names},
        }
        for kind, ap in new.items()
    }

"""The report of ``tools/data/validate.py``: checks run over data sets, as text and as JSON."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ...fileio import collector_paused, read_json
from .annotations import check_everything
from .checks.structure import Sound, frame_of, stays_inside
from .data_sets import DataSet
from .files import Picture, check_pictures, read_pictures, unlisted_images
from .near_duplicates import check_across, check_within
from .problem import SEVERITIES, Problem, listed

_ORDER = {severity: -i for i, severity in enumerate(SEVERITIES)}  # errors first


@dataclass
class Checked:
    """What was found in one data set.

    Attributes:
        name: The file, and the splits of a config that read it.
        path: The file.
        counts: Images, annotations, and instances of each category.
        problems: Errors first.
        thumbnails: File names and thumbnails of the images that could be read.
        folder: Where the image files are.
        listed: File names of its images.
        frames: See ``frame_of``, of the same images.
    """

    name: str
    path: str
    counts: dict = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    thumbnails: tuple[list[str], np.ndarray] | None = None
    folder: object = None
    listed: list[str] = field(default_factory=list)
    frames: list[tuple[str, str]] = field(default_factory=list)


def check_data_set(data_set: DataSet, read_images: bool = True, progress: bool = False) -> Checked:
    """All checks of one data set.

    Args:
        data_set: File, images and what is needed.
        read_images: Whether to open the image files.
        progress: Whether to show a progress bar.
    """
    checked = Checked(data_set.name, str(data_set.path))
    try:
        coco = read_json(data_set.path)
    except (ValueError, FileNotFoundError) as error:
        code = 'file-missing' if isinstance(error, FileNotFoundError) else 'file-unreadable'
        text = str(error).removeprefix(f'{data_set.path}: ')
        checked.problems.append(Problem(code, 'error', text, 'export it anew, or correct the path'))
        return checked
    with collector_paused():
        problems, sound, table, _ = check_everything(coco, data_set.needs)
    problems += data_set.problems
    if not sound.fatal:
        names = [str(category['name']) for category in sound.categories]
        instances = np.bincount(table.category[table.category >= 0], minlength=len(names)).tolist()
        checked.counts = {'images': len(sound.images), 'annotations': len(table)}
        checked.counts['instances'] = dict(zip(names, instances, strict=True))
        folder, key = data_set.needs.folder, data_set.needs.image_key
        if folder is not None:
            checked.folder = folder
            images = [image for image in sound.images if stays_inside(image.get(key))]
            checked.listed = [image[key] for image in images]
            checked.frames = [frame_of(image, key) for image in images]
            if read_images:
                label, settings = data_set.path.stem if progress else '', data_set.needs.settings
                pictures = read_pictures(sound.images, folder, key, progress=label, settings=settings)
                problems += check_pictures(sound, pictures)
                checked.thumbnails = _collect(sound, pictures)
                problems += check_within(*checked.thumbnails)
    checked.problems = sorted(problems, key=lambda problem: _ORDER[problem.severity])
    return checked


def _collect(sound: Sound, pictures: Sequence[Picture | None]) -> tuple[list[str], np.ndarray]:
    """Names and thumbnails of images with contrast."""
    pairs = zip(sound.images, pictures, strict=True)
    seen = [
        (image['file_name'], p.thumbnail) for image, p in pairs if p and p.thumbnail is not None and not p.constant
    ]
    thumbnails = np.array([thumb for _, thumb in seen], np.float16).reshape(len(seen), 32, 32)
    return [name for name, _ in seen], thumbnails


def check_between(data_sets: Sequence[Checked]) -> list[Problem]:
    """Images that two of the data sets list, or that look alike, and image files that none of them names."""
    problems = []
    for folder in dict.fromkeys(d.folder for d in data_sets if d.folder is not None):
        problems += unlisted_images([name for d in data_sets if d.folder == folder for name in d.listed], folder)
    for a, b in itertools.combinations(data_sets, 2):
        alike = check_across(a.name, *a.thumbnails, b.name, *b.thumbnails) if a.thumbnails and b.thumbnails else []
        told = {name for problem in alike for name in problem.entries}
        problems += _shared(a, b, told) + alike
    return problems


def _shared(a: Checked, b: Checked, told: set[str]) -> list[Problem]:
    """Images that two data sets list, but for those that are told as near-duplicates."""
    if a.folder is None or b.folder is None or Path(a.folder).resolve() != Path(b.folder).resolve():
        return []
    frames = set(a.frames)
    return listed(
        'shared-images',
        'warning',
        f'images of {b.name} that {a.name} lists as well',
        [name for name, frame in zip(b.listed, b.frames, strict=True) if frame in frames and name not in told],
        'file',
        'keep each image in one part (tools/data/split.py): scores on images of the training mean nothing',
    )


def worst(data_sets: Sequence[Checked], between: Sequence[Problem]) -> int:
    """Exit code: 0 without problems or with notes only, 1 with warnings, 2 with errors."""
    problems = [*between, *(problem for d in data_sets for problem in d.problems)]
    return max((SEVERITIES.index(problem.severity) for problem in problems), default=0)


def as_text(data_sets: Sequence[Checked], between: Sequence[Problem]) -> str:
    """The report for people."""
    lines = []
    for d in data_sets:
        counts = f': {d.counts["images"]} images, {d.counts["annotations"]} annotations' if d.counts else ''
        lines.append(f'{d.name}{counts}')
        if d.counts:
            lines.append('  instances: ' + ', '.join(f'{name} {n}' for name, n in d.counts['instances'].items()))
        lines += _lines(d.problems) or ['  no problems']
    lines += ['between the data sets', *_lines(between)] if between else []
    problems = [*between, *(problem for d in data_sets for problem in d.problems)]
    totals = [f'{sum(p.severity == severity for p in problems)} {severity}s' for severity in reversed(SEVERITIES)]
    return '\n'.join([*lines, 'kinds of problems: ' + ', '.join(totals)])


def _lines(problems: Sequence[Problem]) -> list[str]:
    lines = []
    for p in problems:
        lines.append(f'  {p.severity:8}{p.code}: {p.text}')
        lines.append(f'          remedy: {p.remedy}{" (--fix does it where it is certain)" if p.fixable else ""}')
    return lines


def as_json(data_sets: Sequence[Checked], between: Sequence[Problem]) -> str:
    """The report for programs, with every entry of every problem."""
    content = {
        'exit_code': worst(data_sets, between),
        'data_sets': [
            {'name': d.name, 'file': d.path, **d.counts, 'problems': [asdict(p) for p in d.problems]}
            for d in data_sets
        ],
        'between': [asdict(p) for p in between],
    }
    return json.dumps(content, indent=1, default=str)

"""Splitting of a COCO dictionary into a training and a validation part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..fileio import read_json
from .coco_files import DEV, add_info, check_coco, lacks_targets, read_coco, refuse, write_coco
from .validation.checks.structure import frame_of

PARTS = ('test', DEV, 'train', 'val')  # (an image that is in two of them counts for the last one)
SPLIT_BY = 'split_by'  # in the info of a part: the field of the images; null for single images
SPLIT_RATIO, SPLIT_SEED = 'split_ratio', 'split_seed'  # beside it: the share of the training part, and the seed
Frame = tuple[str, str]  # see ``frame_of``


@dataclass(frozen=True)
class FormerSplit:
    """A split that is in a folder.

    Attributes:
        part_of: The part that each of its images is in, one of ``PARTS``.
        group_by: The field of the images that it was made by, such as ``clip``; None if by single images.
        groups: The values of this field, of the images that have it.
        ratio: Share of the training part that was asked for, or, where this was not noted, the share that it has.
        seed: Of the order of the images.
    """

    part_of: Mapping[Frame, str]
    group_by: str | None = None
    groups: Mapping[Frame, object] = field(default_factory=dict)
    ratio: float = 0.8
    seed: int = 0

    @property
    def for_training(self) -> dict[Frame, bool]:
        """Whether each image of ``train.json`` and ``val.json`` is for training."""
        return {frame: part == 'train' for frame, part in self.part_of.items() if part in ('train', 'val')}


def split_coco(
    coco: dict, ratio: float, seed: int, group_by: str | None = None, kept: Mapping[Frame, bool] | None = None
) -> tuple[dict, dict]:
    """Split a COCO dictionary reproducibly into training and validation part, stratified by class.

    Groups (single images without ``group_by``) are taken one by one, those with the most instances first and ties in
    an order drawn from ``seed``; each goes to the part that lacks more of its share of images and of the
    classes it holds. Without ``group_by``, the number of images is exactly ``round(ratio * images)``; with it, single
    groups are then moved as long as that brings the shares nearer to the ratio.

    Args:
        coco: A dictionary that passes ``check_coco``.
        ratio: Share of the training part, between 0 and 1.
        seed: Seed of the order.
        group_by: Field of the images, such as ``clip`` or ``date``. Images of equal value stay together.
        kept: Whether an image of a former split was for training; it stays there, with its group.

    Returns:
        Training and validation dictionary. Ids and all other fields are kept.

    Raises:
        ValueError: If ``ratio`` is not between 0 and 1, an image lacks the field ``group_by``, there are fewer than
            two groups, or a former split has images of a group in both parts, or all images in one part.
    """
    if not 0 < ratio < 1:
        raise ValueError(f'expected a ratio between 0 and 1, got {ratio}')
    images = coco['images']
    if group_by:
        lacking = [image['id'] for image in images if image.get(group_by) is None]
        refuse('--group-by', f'images lack the field "{group_by}"; image ids', lacking)
    keys = [str(image[group_by]) if group_by else image['id'] for image in images]
    groups = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    if len(groups) < 2:
        raise ValueError(f'expected at least 2 {group_by or "image"}s to split, got {len(groups)}')
    group_of = {image['id']: groups[key] for image, key in zip(images, keys, strict=True)}
    column = {category['id']: i for i, category in enumerate(coco['categories'], start=1)}
    counts = np.zeros((len(groups), len(column) + 1))
    np.add.at(counts, (list(group_of.values()), 0), 1)
    for annotation in coco['annotations']:
        counts[group_of[annotation['image_id']], column[annotation['category_id']]] += 1
    fixed = np.full(len(groups), -1)
    for image in images:
        if kept and frame_of(image) in kept:
            group, side = group_of[image['id']], int(not kept[frame_of(image)])
            if fixed[group] == 1 - side:
                raise ValueError(
                    f'the former split has images of {group_by} {image[group_by]!r} in both parts, such as '
                    f'{image["file_name"]}; delete its files to split anew'
                )
            fixed[group] = side
    in_train = _assign_groups(counts, ratio, seed, exact=not group_by, fixed=fixed)
    if in_train.all() or not in_train.any():
        full, empty = ('train', 'val') if in_train.all() else ('val', 'train')
        raise ValueError(
            f'all {len(images)} images are for {full}.json in the former split, so that {empty}.json would be empty; '
            f'delete its files to split anew'
        )

    def part(wanted: bool) -> dict:
        return {
            **coco,
            'images': [image for image in images if in_train[group_of[image['id']]] == wanted],
            'annotations': [a for a in coco['annotations'] if in_train[group_of[a['image_id']]] == wanted],
        }

    return part(True), part(False)


def existing_split(folder: Path) -> FormerSplit | None:
    """The split that is in a folder; ``None`` unless ``train.json`` and ``val.json`` are there.

    It is by the field that ``write_split`` noted; else by ``clip``, if all images have this field and each recording
    is in one part only.
    """
    paths = {name: folder / f'{name}.json' for name in PARTS}
    if not all(paths[name].is_file() for name in ('train', 'val')):
        return None
    parts = {name: read_json(path) for name, path in paths.items() if path.is_file()}
    for name, part in parts.items():
        if name in ('train', 'val') or not lacks_targets(part):
            check_coco(part, paths[name])
    part_of = {frame_of(image): name for name, part in parts.items() for image in part['images']}
    images = [image for name in ('train', 'val') for image in parts[name]['images']]
    info = parts['train'].get('info')
    info = info if isinstance(info, dict) else {}
    ratio, seed = info.get(SPLIT_RATIO), info.get(SPLIT_SEED)
    sound = isinstance(ratio, float) and 0 < ratio < 1
    drawn = {
        'ratio': ratio if sound else len(parts['train']['images']) / len(images),
        'seed': seed if type(seed) is int and seed >= 0 else 0,
    }
    noted = SPLIT_BY in info
    group_by = info[SPLIT_BY] if noted else 'clip'
    if not isinstance(group_by, str):
        return FormerSplit(part_of, **drawn)
    groups = {frame_of(image): image[group_by] for image in images if image.get(group_by) is not None}
    sides = {(str(group), part_of[frame]) for frame, group in groups.items()}
    if not noted and (len(groups) < len(images) or len(sides) > len({group for group, _ in sides})):
        return FormerSplit(part_of, **drawn)
    return FormerSplit(part_of, group_by, groups, **drawn)


def refuse_set_aside(coco: dict, folder: Path) -> None:
    """Refuses to divide images that ``dev.json`` or ``test.json`` of a folder keep from training and validation.

    Args:
        coco: What is going to be split.
        folder: Where the parts are; an image that is in ``train.json`` or ``val.json`` as well counts for that one.

    Raises:
        ValueError: If there are such images.
    """
    part_of: dict[Frame, str] = {}
    for name in PARTS:
        path = folder / f'{name}.json'
        if path.is_file():
            part = read_json(path)
            images = part.get('images') if isinstance(part, dict) else None
            part_of |= {frame_of(image): name for image in images or () if isinstance(image, dict)}
    _refuse_aside(coco, part_of, str(folder))


def _refuse_aside(coco: dict, part_of: Mapping[Frame, str], place: str) -> None:
    aside = [image['file_name'] for image in coco['images'] if part_of.get(frame_of(image)) in (DEV, 'test')]
    what = f'images are in {DEV}.json or test.json only, which would be divided between train.json and val.json; files'
    refuse(place, what, aside)


def write_split(parts: tuple[dict, dict], folder: Path, group_by: str | None, ratio: float, seed: int) -> None:
    """Writes ``train.json`` and ``val.json``, and in their ``info`` how they were split, see :func:`split_coco`."""
    for name, part in zip(('train', 'val'), parts, strict=True):
        add_info(part, **{SPLIT_BY: group_by, SPLIT_RATIO: ratio, SPLIT_SEED: seed})
        write_coco(part, folder / f'{name}.json')


def take_groups(coco: dict, former: FormerSplit) -> str | None:
    """Gives images the recordings, dates, ... that they have in a former split by them, where they have none.

    Args:
        coco: What is going to be split; its images get the field.
        former: The former split.

    Returns:
        The field that the new split has to be by, too; None for single images.

    Raises:
        ValueError: If a new image lacks the field, or an image was set aside from training and validation.
    """
    _refuse_aside(coco, former.part_of, '--overwrite')
    name = former.group_by
    if name is None:
        return None
    lacking = [image for image in coco['images'] if image.get(name) is None]
    new = [image['file_name'] for image in lacking if frame_of(image) not in former.groups]
    by, remedy = ('recording', '--clip-from tells it') if name == 'clip' else (name, 'delete its files to split anew')
    what = f'new images lack the field "{name}", and the split that is there is by {by}; {remedy}; files'
    refuse('--clip-from' if name == 'clip' else '--overwrite', what, new)
    for image in lacking:
        image[name] = former.groups[frame_of(image)]
    return name


def keep_split(folder: Path, former: FormerSplit) -> str:
    """Splits ``all.json`` as a former split did, where a folder has that file and no parts.

    Args:
        folder: Of the annotation files.
        former: The former split. If it is by recording, date, ..., the new one is, too, and new images are divided
            in its ratio.

    Returns:
        What was done, or, where the source has parts of its own, how many images have another part than before; empty
        if there is nothing to tell.

    Raises:
        ValueError: If the former split cannot be kept, see :func:`split_coco` and :func:`take_groups`.
    """
    source = folder / 'all.json'
    if not source.is_file() or (folder / 'train.json').exists():
        return _tell_moved(folder, former)
    coco = read_coco(source)
    group_by = take_groups(coco, former)
    if group_by is None and all(image.get('clip') is not None for image in coco['images']):
        group_by = 'clip'
    drawn = former.ratio, former.seed
    write_split(split_coco(coco, *drawn, group_by, former.for_training), folder, group_by, *drawn)
    known = sum(frame_of(image) in former.for_training for image in coco['images'])
    by = {None: '', 'clip': ' by recording'}.get(group_by, f' by {group_by}')
    return (
        f'the split that was there is kept: {known} images stay in train.json or val.json, '
        f'{len(coco["images"]) - known} new images were divided{by}'
    )


def _tell_moved(folder: Path, former: FormerSplit) -> str:
    """How many images are in another part of a new split than of the former one; empty if none is."""
    new = {
        frame_of(image): path.stem
        for path in (folder / f'{name}.json' for name in PARTS)
        if path.is_file()
        for image in read_json(path)['images']
    }
    moved = [frame for frame, part in new.items() if former.part_of.get(frame, part) != part]
    if not moved:
        return ''
    was, name = former.part_of[moved[0]], moved[0][0]
    return (
        f'the split that was there is not kept: {len(moved)} of {len(new)} images are in another part than before, '
        f'the first: {name} was in {was}.json and is in {new[moved[0]]}.json'
    )


def _assign_groups(counts: np.ndarray, ratio: float, seed: int, exact: bool, fixed: np.ndarray) -> np.ndarray:
    """Which groups go to training: ``[G]`` bool, from ``counts`` ``[G, 1 + classes]`` of images and instances."""
    share = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.default_rng(seed).permutation(len(counts))
    order = order[np.argsort(-share[order].sum(axis=1), kind='stable')]
    room = np.array([round(ratio * len(counts)), 0])
    room[0] = min(max(room[0], 1), len(counts) - 1)
    room[1] = len(counts) - room[0]
    if not exact:  # only keep both parts from being empty
        room[:] = len(counts) - 1
    wanted = np.array([[ratio], [1 - ratio]])
    filled = np.zeros((2, counts.shape[1]))
    in_train = np.zeros(len(counts), bool)
    for group in order[np.argsort(fixed[order] < 0, kind='stable')]:
        # Going to training is better if training lacks more of what the group holds, relative to its share.
        lack = ((wanted - filled) / wanted) @ share[group]
        side = int(lack[1] > lack[0]) if (room > 0).all() else int(room[0] <= 0)
        side = side if fixed[group] < 0 else fixed[group]
        filled[side] += share[group]
        room[side] -= 1
        in_train[group] = side == 0
    if not exact:
        _move_single_groups(in_train, share[:, share.any(axis=0)], ratio, fixed >= 0)
    return in_train


def _move_single_groups(in_train: np.ndarray, share: np.ndarray, ratio: float, fixed: np.ndarray) -> None:
    """Change ``in_train`` by one group at a time for as long as that brings the shares nearer to ``ratio``."""
    error = ((share[in_train].sum(axis=0) - ratio) ** 2).sum()
    while True:
        moved = share[in_train].sum(axis=0) + np.where(in_train, -1, 1)[:, None] * share
        errors = ((moved - ratio) ** 2).sum(axis=1)
        errors[fixed] = np.inf
        for part in (in_train, ~in_train):
            if part.sum() == 1:  # must not become empty
                errors[part] = np.inf
        best = np.argmin(errors)
        if errors[best] >= error - 1e-12:
            return
        error = errors[best]
        in_train[best] ^= True

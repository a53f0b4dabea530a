"""Splitting of a COCO dictionary into a training and a validation part."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .coco_files import frame_of, read_coco, refuse, write_coco

Frame = tuple[str, str]  # see ``frame_of``


@dataclass(frozen=True)
class FormerSplit:
    """A split that is in a folder.

    Attributes:
        for_training: Whether each of its images is for training.
        clips: The recordings of those of its images that have the field ``clip``.
    """

    for_training: Mapping[Frame, bool]
    clips: Mapping[Frame, object]

    @property
    def by_recording(self) -> bool:
        """Whether the recordings of all images are known, and each of them is in one part only."""
        parts = {(str(clip), self.for_training[frame]) for frame, clip in self.clips.items()}
        return len(self.clips) == len(self.for_training) and len(parts) == len({clip for clip, _ in parts})


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
    """The split that is in a folder; ``None`` unless both of its files are there."""
    paths = {name: folder / f'{name}.json' for name in ('train', 'val')}
    if not all(path.is_file() for path in paths.values()):
        return None
    parts = {name: read_coco(path)['images'] for name, path in paths.items()}
    for_training = {frame_of(image): name == 'train' for name, images in parts.items() for image in images}
    clips = {frame_of(i): i['clip'] for images in parts.values() for i in images if i.get('clip') is not None}
    return FormerSplit(for_training, clips)


def take_clips(coco: dict, former: FormerSplit) -> bool:
    """Gives images the recordings that they have in a former split by recording, where they have none.

    Args:
        coco: What is going to be split; its images get the field ``clip``.
        former: The former split.

    Returns:
        Whether the new split has to be by recording, too.

    Raises:
        ValueError: If the recording of a new image is not known.
    """
    if not former.by_recording:
        return False
    lacking = [image for image in coco['images'] if image.get('clip') is None]
    new = [image['file_name'] for image in lacking if frame_of(image) not in former.clips]
    what = 'new images lack the field "clip", and the split that is there is by recording; --clip-from tells it; files'
    refuse('--clip-from', what, new)
    for image in lacking:
        image['clip'] = former.clips[frame_of(image)]
    return True


def keep_split(folder: Path, former: FormerSplit, ratio: float = 0.8, seed: int = 0) -> str:
    """Splits ``all.json`` as a former split did, where a folder has that file and no parts.

    Args:
        folder: Of the annotation files.
        former: The former split. If it is by recording, the new one is, too.
        ratio: Share of the training part, for new images.
        seed: Of the order of new images.

    Returns:
        What was done; empty if there was nothing to do.

    Raises:
        ValueError: If the former split cannot be kept, see :func:`split_coco` and :func:`take_clips`.
    """
    source = folder / 'all.json'
    if not source.is_file() or (folder / 'train.json').exists():
        return ''
    coco = read_coco(source)
    by_clip = take_clips(coco, former) or all(image.get('clip') is not None for image in coco['images'])
    parts = split_coco(coco, ratio, seed, 'clip' if by_clip else None, former.for_training)
    for name, part in zip(('train', 'val'), parts, strict=True):
        write_coco(part, folder / f'{name}.json')
    known = sum(frame_of(image) in former.for_training for image in coco['images'])
    return (
        f'the split that was there is kept: {known} images stay in train.json or val.json, '
        f'{len(coco["images"]) - known} new images were divided' + (' by recording' if by_clip else '')
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

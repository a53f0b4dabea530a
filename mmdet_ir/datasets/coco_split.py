"""Splitting of a COCO dictionary into a training and a validation part."""

import numpy as np

from .coco_files import refuse


def split_coco(coco: dict, ratio: float, seed: int, group_by: str | None = None) -> tuple[dict, dict]:
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

    Returns:
        Training and validation dictionary. Ids and all other fields are kept.

    Raises:
        ValueError: If ``ratio`` is not between 0 and 1, an image lacks the field ``group_by``, or there are fewer
            than two groups.
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
    in_train = _assign_groups(counts, ratio, seed, exact=not group_by)

    def part(wanted: bool) -> dict:
        return {
            **coco,
            'images': [image for image in images if in_train[group_of[image['id']]] == wanted],
            'annotations': [a for a in coco['annotations'] if in_train[group_of[a['image_id']]] == wanted],
        }

    return part(True), part(False)


def _assign_groups(counts: np.ndarray, ratio: float, seed: int, exact: bool) -> np.ndarray:
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
    for group in order:
        # Going to training is better if training lacks more of what the group holds, relative to its share.
        lack = ((wanted - filled) / wanted) @ share[group]
        side = int(lack[1] > lack[0]) if room.all() else int(room[0] == 0)
        filled[side] += share[group]
        room[side] -= 1
        in_train[group] = side == 0
    if not exact:
        _move_single_groups(in_train, share[:, share.any(axis=0)], ratio)
    return in_train


def _move_single_groups(in_train: np.ndarray, share: np.ndarray, ratio: float) -> None:
    """Change ``in_train`` by one group at a time for as long as that brings the shares nearer to ``ratio``."""
    error = ((share[in_train].sum(axis=0) - ratio) ** 2).sum()
    while True:
        moved = share[in_train].sum(axis=0) + np.where(in_train, -1, 1)[:, None] * share
        errors = ((moved - ratio) ** 2).sum(axis=1)
        for part in (in_train, ~in_train):
            if part.sum() == 1:  # must not become empty
                errors[part] = np.inf
        best = np.argmin(errors)
        if errors[best] >= error - 1e-12:
            return
        error = errors[best]
        in_train[best] ^= True

"""Infrared clips of Drone-detection-dataset (Svanstroem et al., Data in Brief 2021; CC0) to COCO with derived masks.

Neighbouring frames are near-duplicates, so every k-th frame is taken. Clips are pieces of a few recordings of one
view each, so the split is by scene: clips that look alike stay together.
"""

import hashlib
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from ....cli.choices import EMPTY_EVERY, STRIDE
from ...coco_files import CLASSES, DEV, SPLITS, output_folder
from ...coco_split import existing_split, keep_split
from ...images.image_limits import check_video
from ...validation.near_duplicates import thumbnail
from ..boxes_to_coco import DERIVED
from ..builder import CocoBuilder, Instance
from ..report import ConversionReport

LABEL = 'DRONE'
SAME_SCENE = 0.95  # correlation of two thumbnails; the release shows the same three views from 0.90 to 0.97


def convert_drone_ir(
    src: str | Path,
    out: str | Path,
    stride: int = STRIDE,
    empty_every: int = EMPTY_EVERY,
    train_ratio: float = 0.8,
    seed: int = 0,
    overwrite: bool = False,
    dev_ratio: float = 0.0,
) -> ConversionReport:
    """Convert the infrared drone clips from their release's layout.

    Clips that cannot be read are left out and listed in the report.

    Args:
        src: Folder with ``Data/Video_IR/IR_DRONE_*.mp4`` and ``*_LABELS.mat``.
        out: Folder to write: ``annotations/{train,val}.json`` and ``images/`` (8-bit grey PNG), and ``dev.json`` if
            ``dev_ratio`` is above 0.
        stride: Take every ``stride``-th frame.
        empty_every: Of the taken frames without a drone, keep every ``empty_every``-th of a clip.
        train_ratio: Share of the clips for training, as nearly as whole scenes allow.
        seed: Which scenes those are. The choice does not depend on ``stride``.
        overwrite: Whether to replace a data set that is in ``out``.
        dev_ratio: Share of the clips for training to set aside for choices, as nearly as whole scenes allow.

    Returns:
        The counts.

    Raises:
        FileNotFoundError: If there are no clips.
        ImportError: If ``mcos-decoder`` is not installed.
        ValueError: If an argument is out of range, or if all clips show one scene, so that there is no fair split.
    """
    if stride < 1 or empty_every < 1 or not 0 < train_ratio < 1 or not 0 <= dev_ratio < 1:
        raise ValueError(
            f'expected stride >= 1, empty_every >= 1, train_ratio between 0 and 1 and dev_ratio from 0 to below 1, '
            f'got {stride}, {empty_every}, {train_ratio} and {dev_ratio}'
        )
    _require_mcos_decoder()
    video_folder = Path(src) / 'Data' / 'Video_IR'
    suffixes = ('.mp4', '_LABELS.mat')
    clips = sorted({p.name.removesuffix(s) for s in suffixes for p in video_folder.glob(f'IR_DRONE_*{s}')})
    if len(clips) < 2:
        raise FileNotFoundError(f'expected at least 2 clips IR_DRONE_*.mp4 in {video_folder}, got {len(clips)}')
    report = ConversionReport()
    splits = (*SPLITS, DEV) if dev_ratio else SPLITS
    builder = CocoBuilder(
        'Drone-detection-dataset, infrared drone clips, split by scene',
        {name: name for name in CLASSES},
        report,
        derive_masks=True,
        licence=('CC0 1.0', 'https://creativecommons.org/publicdomain/zero/1.0/'),
        splits=splits,
    )
    builder.info |= {'masks': DERIVED, 'stride': stride, 'train_ratio': train_ratio, 'seed': seed}
    builder.info |= {'dev_ratio': dev_ratio} if dev_ratio else {}
    with output_folder(out, overwrite, [src]) as folder:
        former = existing_split(Path(out, 'annotations'))
        thumbnails: dict[str, np.ndarray] = {}
        written: list[tuple[str, int, np.ndarray]] = []
        for clip in tqdm(clips, desc='drone-ir', unit='clip'):
            try:
                video, labels = video_folder / f'{clip}.mp4', video_folder / f'{clip}_LABELS.mat'
                frames, thumbnails[clip] = read_clip(video, labels, stride)
            except (OSError, ValueError) as error:
                report.skipped.append(str(error))
                continue
            empty = 0
            for index, image, boxes in frames:
                if not len(boxes):
                    empty += 1
                    if empty % empty_every != 1 % empty_every:
                        continue
                path = folder / 'images' / f'{clip}_{index:05d}.png'
                if not cv2.imwrite(str(path), image):
                    raise OSError(f'cannot write {path}')
                written.append((clip, index, boxes))
        scenes = find_scenes(thumbnails)
        train_scenes = choose_scenes(scenes, train_ratio, seed)
        if train_scenes is None:
            raise ValueError(
                f'{video_folder}: the {len(scenes)} readable clips show one scene, which cannot be split fairly; '
                f'{len(report.skipped)} clips skipped: {"; ".join(report.skipped[:3])}'
            )
        split_of = {scene: 'train' if scene in train_scenes else 'val' for scene in scenes.values()}
        if dev_ratio:
            split_of |= dict.fromkeys(_set_aside(scenes, train_scenes, dev_ratio, seed, video_folder), DEV)
        for clip, index, boxes in written:
            name = f'{clip}_{index:05d}.png'
            image = cv2.imread(str(folder / 'images' / name), cv2.IMREAD_GRAYSCALE)
            fields = {'clip': clip, 'frame': index, 'scene': scenes[clip]}
            where = f'{video_folder / clip}_LABELS.mat, frame {index}'
            objects = [Instance(LABEL, where, box.tolist(), targets=('uav',)) for box in boxes]
            builder.add_image(split_of[scenes[clip]], name, image, objects, **fields)
        builder.write(folder)
        if former and (said := keep_split(folder / 'annotations', former)):
            report.notes.append(said)
    return report


def find_scenes(thumbnails: dict[str, np.ndarray]) -> dict[str, str]:
    """Groups clips that show the same view: single linkage over the most similar frames of two clips.

    Args:
        thumbnails: Of each clip ``[N, 32, 32]``, zero mean and unit deviation each.

    Returns:
        For each clip the first clip of its scene.
    """
    clips = sorted(thumbnails)
    if not clips:
        return {}
    frames = np.concatenate([thumbnails[clip].reshape(-1, thumbnails[clip][0].size) for clip in clips])
    clip_of = np.repeat(np.arange(len(clips)), [len(thumbnails[clip]) for clip in clips])
    frames = frames.astype(np.float32)
    i, j = np.nonzero(frames @ frames.T / frames.shape[1] >= SAME_SCENE)
    alike = np.zeros((len(clips), len(clips)), bool)
    alike[clip_of[i], clip_of[j]] = True
    _, label = connected_components(alike, directed=False)
    return {clip: clips[int(np.flatnonzero(label == k)[0])] for clip, k in zip(clips, label, strict=True)}


def choose_scenes(scenes: dict[str, str], ratio: float, seed: int) -> set[str] | None:
    """Draws scenes with about ``ratio`` of the clips, by a hash of seed and name; ``None`` if there is only one scene.

    Scenes are visited in the order of their hashes, and one goes to validation if that brings the number of
    validation clips nearer to its goal. At least one scene is on either side.
    """
    sizes = {scene: list(scenes.values()).count(scene) for scene in set(scenes.values())}
    if len(sizes) < 2:
        return None
    ranked = sorted(sizes, key=lambda scene: hashlib.sha256(f'{seed}/{scene}'.encode()).digest())
    goal, val = (1 - ratio) * len(scenes), set()
    for scene in ranked:
        held = sum(sizes[s] for s in val)
        if abs(held + sizes[scene] - goal) < abs(held - goal) and len(val) < len(sizes) - 1:
            val.add(scene)
    return set(sizes) - (val or {min(ranked, key=sizes.__getitem__)})


def _set_aside(scenes: dict[str, str], train_scenes: set[str], ratio: float, seed: int, source: Path) -> set[str]:
    """The scenes for choices, drawn from those for training."""
    usable = {clip: scene for clip, scene in scenes.items() if scene in train_scenes}
    kept = choose_scenes(usable, 1 - ratio, seed)
    if kept is None:
        raise ValueError(f'{source}: dev_ratio {ratio:g} needs two scenes for training, got {len(train_scenes)}')
    return train_scenes - kept


def read_clip(video: Path, labels: Path, stride: int) -> tuple[list[tuple[int, np.ndarray, np.ndarray]], np.ndarray]:
    """Every ``stride``-th frame of a clip, and what the clip looks like.

    Returns:
        Frame number from 0, ``[H, W]`` 8-bit image, ``[N, 4]`` boxes (xywh in pixels, from 0) of each; thumbnails
        ``[M, 32, 32]``, one a second.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If one cannot be read, or if they differ in the number of frames.
    """
    for path in (video, labels):
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such file')
    boxes = read_boxes(labels)
    capture = cv2.VideoCapture(str(video))
    frames, thumbnails, count = [], [], 0
    try:
        check_video(capture, video)
        while capture.grab():
            if count % stride == 0 or count % STRIDE == 0:
                decoded, frame = capture.retrieve()
                if not decoded:
                    raise ValueError(f'{video}: cannot decode frame {count}')
                grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
                if count % stride == 0:
                    frames.append((count, grey))
                if count % STRIDE == 0:
                    thumbnails.append(thumbnail(grey))
            count += 1
    finally:
        capture.release()
    if count != len(boxes):
        raise ValueError(f'{video}: {count} readable frames, but {len(boxes)} labelled ones in {labels.name}')
    return [(index, image, boxes[index]) for index, image in frames], np.stack(thumbnails)


def read_boxes(path: Path, label: str = LABEL) -> list[np.ndarray]:
    """Boxes of one label in a MATLAB ``groundTruth`` file, per frame: ``[N, 4]``, xywh in pixels, from 0.

    ``mcos_decoder.load_groundtruth`` would mix all labels and lose frames with two targets, so only the package's
    element tree is used: the object's ``LabelData`` is an array of structures, one a frame, with one field a label.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is none of that form, or lacks the label.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'label file not found: {path}')
    stream_type = _require_mcos_decoder()
    try:
        workspace = scipy.io.loadmat(path)['__function_workspace__'].tobytes()
        table = _find_struct(stream_type(workspace).walk(), 'LabelData')['LabelData']
        frames = _struct_fields(table[0])[label]
        boxes = [_matrix(frame) for frame in frames]
    except (LookupError, TypeError, ValueError, NotImplementedError, struct.error, zlib.error) as error:
        raise ValueError(f'{path}: not a readable groundTruth file with the label {label}: {error!r}') from error
    return [box - [1, 1, 0, 0] for box in boxes]


def _require_mcos_decoder() -> type:
    try:
        from mcos_decoder import MatStream
    except ImportError as error:
        raise ImportError(
            'the labels of the drone clips are MATLAB objects; install their reader with "pip install mcos-decoder" '
            '(or this project with its extra "data")'
        ) from error
    return MatStream


# A MATLAB (level 5) matrix element has the children flags, dimensions, name, then its content. Of a structure array
# that is the fixed length of a field name, the field names, then the values: all fields of the first item, ...
_MATRIX, _STRUCT_CLASS = 14, 2


def _find_struct(elements, field: str) -> dict[str, list]:
    """The first structure array, depth first, that has a field of this name."""
    for element in elements:
        if element.type_id == _MATRIX:
            fields = _struct_fields(element)
            if field in fields:
                return fields
            try:
                return _find_struct(element.children, field)
            except LookupError:
                continue
    raise LookupError(f'no structure with the field {field}')


def _struct_fields(element) -> dict[str, list]:
    """Values of every field of a structure array, one an item; empty if the element is none."""
    flags = element.children[0].as_array() if element.children else None
    if flags is None or not len(flags) or flags[0] & 0xFF != _STRUCT_CLASS:
        return {}
    length, text = int(element.children[3].as_array()[0]), element.children[4].payload
    names = [text[i : i + length].split(b'\0')[0].decode() for i in range(0, len(text), length)]
    values = element.children[5:]
    items = int(np.prod(element.children[1].as_array()))
    if len(values) != items * len(names):
        raise ValueError(f'a structure array of {items} x {len(names)} values holds {len(values)}')
    return {name: list(values[i :: len(names)]) for i, name in enumerate(names)}


def _matrix(element) -> np.ndarray:
    """``[N, 4]`` content of a numeric matrix element, which MATLAB stores column by column."""
    rows, columns = (int(n) for n in element.children[1].as_array())
    if rows * columns == 0:
        return np.zeros((0, 4))
    if columns != 4:
        raise ValueError(f'expected boxes of 4 numbers, got a {rows} x {columns} matrix')
    return element.children[3].as_array().astype(float).reshape(4, rows).T

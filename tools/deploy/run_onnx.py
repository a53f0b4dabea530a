#!/usr/bin/env python
"""Runs an exported ONNX file with nothing but NumPy, OpenCV and ONNX Runtime: copy this file where it is needed.

  python run_onnx.py model.onnx image.png --out drawn.png --score 0.5

It needs neither this package nor PyTorch. The image goes in as it is stored, 8 or 16 bits, since the tone mapping
is in the file; where EXIF says that the camera was turned, it is turned upright.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime


def load(path: str) -> tuple[onnxruntime.InferenceSession, dict]:
    """The session, and what the file says about itself: classes, input, masks."""
    if not Path(path).is_file():
        raise SystemExit(f'error: {path}: no such file')
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return session, json.loads(session.get_modelmeta().custom_metadata_map['mmdet_ir'])


def read(path: str, meta: dict) -> np.ndarray:
    """The stored values of an image, ``[1, channels, H, W]``, in the type that the model takes."""
    image = cv2.imread(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)  # as stored, but upright
    if image is None:
        raise SystemExit(f'error: cannot read {path}')
    if (pages := cv2.imcount(path)) > 1:
        raise SystemExit(f'error: {path}: expected one image, got a stack of {pages}')
    if image.ndim == 3:
        if (image[..., :3] != image[..., :1]).any():
            raise SystemExit(f'error: {path}: expected grey values, got colours')
        image = image[..., 0]  # grey values, three times
    wanted = meta['input']
    sides = {'height': image.shape[0], 'width': image.shape[1]}
    if wanted['batch'] not in (None, 1) or any(wanted[side] not in (None, found) for side, found in sides.items()):
        fixed = f'{wanted["batch"] or "any"} images of {wanted["width"] or "any"}x{wanted["height"] or "any"}'
        raise SystemExit(
            f'error: {path}: expected what the model was exported for ({fixed} pixels), got one image of '
            f'{sides["width"]}x{sides["height"]}; export it with --batch 1, and without --size for any size'
        )
    if wanted['dtype'] == 'uint8' and image.dtype != np.uint8:
        raise SystemExit(f'error: {path}: expected 8 bits, which this model takes, got {image.dtype}')
    if image.dtype.kind == 'f' and wanted['dtype'] != 'float32':
        raise SystemExit(
            f'error: {path}: expected whole numbers, which this model takes, got {image.dtype}; for temperatures, set '
            'to_float32=True of the loader in the config and export the model again'
        )
    if not np.isfinite(image).all():
        raise SystemExit(f'error: {path}: expected finite values, got NaN or infinite ones')
    mapping = meta.get('tone_mapping') or {}
    low = mapping.get('low', 0) if mapping.get('method') == 'window' else 0
    if mapping.get('kelvin_per_count'):
        low = (low + 273.15) / mapping['kelvin_per_count']
    if image.dtype == np.uint8 and low >= 255:
        raise SystemExit(f'error: {path}: expected counts, of which the model sees those from {low:g} on, got 8 bits')
    return np.repeat(image[None, None].astype(wanted['dtype']), wanted['channels'], axis=1)


def paste(grid: np.ndarray, box: np.ndarray, size: tuple[int, int], threshold: float) -> np.ndarray:
    """The mask of the image, ``[H, W]`` bool, from the mask head's grid of probabilities over a box (xyxy)."""
    weights = []
    for axis in (0, 1):  # rows, columns
        low, high, pixels, cells = box[1 - axis], box[3 - axis], size[axis], grid.shape[axis]
        place = (np.arange(pixels) + 0.5 - low) / max(high - low, 1e-6) * cells - 0.5
        weights.append(np.clip(1 - np.abs(place[:, None] - np.arange(cells)), 0, None).astype(np.float32))
    return weights[0] @ grid @ weights[1].T >= threshold


def detect(session: onnxruntime.InferenceSession, meta: dict, images: np.ndarray) -> list[tuple]:
    """Class, score, box and mask of each detection in the first image, best first."""
    (name,) = (given.name for given in session.get_inputs())
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {name: images}), strict=True))
    order = np.argsort(-found['scores'][found['image'] == 0], kind='stable')
    height, width = images.shape[2:]
    results = []
    for i in order:
        mask, box = found['masks'][i], found['boxes'][i]
        if meta['masks'] == 'raw':
            mask = paste(mask, box, (height, width), meta['mask_threshold'])
        results.append((meta['classes'][int(found['labels'][i])], float(found['scores'][i]), box, mask.astype(bool)))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model', help='.onnx file from tools/deploy/export.py')
    parser.add_argument('image')
    parser.add_argument('--out', help='picture to write')
    parser.add_argument('--score', type=float, default=0.3, help='lowest score (default: %(default)s)')
    args = parser.parse_args()
    if args.out and not (Path(args.out).absolute().parent.is_dir() and cv2.haveImageWriter(args.out)):
        raise SystemExit(f'error: --out: expected a picture (.png, .jpg) in a folder that exists, got {args.out}')
    session, meta = load(args.model)
    images = read(args.image, meta)
    stored = images[0, 0].astype(np.float32)
    picture = cv2.cvtColor(cv2.normalize(stored, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for name, score, box, mask in detect(session, meta, images):
        if score >= args.score:
            sides = ', '.join(f'{side:.1f}' for side in box)
            print(f'{name} {score:.3f} box [{sides}] mask {int(mask.sum())} px')
            picture[mask] = picture[mask] // 2 + np.array([0, 90, 0], np.uint8)
    if args.out and not cv2.imwrite(args.out, picture):
        raise SystemExit(f'error: cannot write {args.out}')


if __name__ == '__main__':
    main()

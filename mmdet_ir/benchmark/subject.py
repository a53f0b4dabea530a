"""Detectors with the same work to do, so that their times can be compared."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from copy import deepcopy

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import nn
from torchvision.ops import box_convert, clip_boxes_to_image

from ..config.options import read_config
from ..datasets.synthetic import generate_scene
from ..engine.fitting.weights import load_detector

DETECTIONS = 100  # of an image, as MMDetection's Mask R-CNN shows
PROPOSALS = 1000  # of each image, as MMDetection's Mask R-CNN keeps


def make_batch(size: tuple[int, int], images: int, seed: int) -> dict:
    """Synthetic scenes with targets, as a data loader would hand them to the model."""
    inputs, samples = [], []
    while len(inputs) < images:
        scene, seed = generate_scene(seed, size), seed + 1
        if not len(scene.labels):
            continue
        height, width = scene.image8.shape
        shape = (height, width)
        sample = DetDataSample(metainfo={'img_shape': shape, 'ori_shape': shape, 'scale_factor': (1, 1)})
        boxes = [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in map(np.nonzero, scene.masks)]
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(np.array(boxes), dtype=torch.float32),
            labels=torch.as_tensor(scene.labels, dtype=torch.long),
            masks=BitmapMasks(scene.masks.astype(np.uint8), height, width),
        )
        inputs.append(torch.from_numpy(scene.image8)[None].repeat(3, 1, 1))
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}


def make_proposals(batch: dict, count: int, seed: int) -> list[InstanceData]:
    """RPN proposals of a trained model in kind: half of them around targets, half anywhere.

    Args:
        batch: As :func:`make_batch` returns it.
        count: Proposals of each image.
        seed: Of their places and sizes.

    Returns:
        For each image ``bboxes`` ``[count, 4]``, xyxy in pixels, descending ``scores`` and ``labels`` of zero.
    """
    gen = torch.Generator().manual_seed(seed)
    proposals = []
    for sample in batch['data_samples']:
        height, width = sample.img_shape
        targets = box_convert(sample.gt_instances.bboxes, 'xyxy', 'cxcywh')
        near = targets[torch.randint(len(targets), (count // 2,), generator=gen)]
        centre = near[:, :2] + near[:, 2:] * torch.randn(len(near), 2, generator=gen) * 0.15
        near = torch.cat([centre, near[:, 2:] * (torch.randn(len(near), 2, generator=gen) * 0.2).exp()], 1)
        far = (
            torch.rand(count - len(near), 4, generator=gen) * torch.tensor([width, height, width / 3, height / 3]) + 8
        )
        boxes = box_convert(torch.cat([near, far]), 'cxcywh', 'xyxy')
        boxes = clip_boxes_to_image(boxes, (height, width))
        scores, labels = torch.linspace(1, 0, count), torch.zeros(count, dtype=torch.long)
        proposals.append(InstanceData(bboxes=boxes, scores=scores, labels=labels))
    return proposals


def give_proposals(model: nn.Module, proposals: list[InstanceData]) -> None:
    """Lets the RPN of a two-stage detector propose as always, but hands the given proposals to the RoI head.

    What a RoI costs depends on its size, and the untrained RPNs of two models propose different sizes. A single-stage
    detector stays as it is.

    Args:
        model: MMDetection's detector.
        proposals: For each image of a batch, see :func:`make_proposals`.
    """
    if not hasattr(model, 'rpn_head'):
        return
    propose = model.rpn_head.predict_by_feat

    def propose_as_given(cls_scores: list, *args, **kwargs) -> list[InstanceData]:
        propose(cls_scores, *args, **kwargs)
        return [p.to(cls_scores[0].device) for p in proposals[: len(cls_scores[0])]]

    model.rpn_head.predict_by_feat = propose_as_given


def set_score_threshold(model: nn.Module, value: float, count: int = DETECTIONS) -> None:
    """Sets the lowest score of a detection, and how many are shown at most, in every head that asks for them."""
    for module in model.modules():
        test_cfg = getattr(module, 'test_cfg', None)
        if test_cfg is not None and 'score_thr' in test_cfg:
            test_cfg.update(score_thr=value, max_per_img=count)
            if 'filter_thr' in test_cfg:  # SOLOv2's second threshold, after its NMS has lowered the scores
                test_cfg.filter_thr = 0.0


class Subject:
    """A detector with its optimizer, ready to be timed.

    Args:
        config: Config file.
        device: Where it runs.
        proposals: What its RoI head gets, see :func:`give_proposals`; ``None`` leaves it the RPN's.
        score_thr: Lowest score of a detection, see :meth:`keep_detections`; default is the config's.
        checkpoint: Weights; default is random ones.

    Raises:
        ValueError: If the checkpoint does not fit the config.
    """

    def __init__(
        self,
        config: str,
        device: str,
        proposals: list[InstanceData] | None,
        score_thr: float | None = None,
        checkpoint: str | None = None,
    ) -> None:
        cfg = read_config(config)
        cfg.model.backbone.init_cfg = None  # times do not depend on weights, and no download is needed
        torch.manual_seed(0)
        if checkpoint is None:
            self.model = MODELS.build(cfg.model).to(device)
            self.model.init_weights()
        else:
            self.model = load_detector(cfg, checkpoint, device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)
        if score_thr is not None:
            self.set_score_threshold(score_thr)
        if proposals is not None:
            give_proposals(self.model, proposals)

    def step(self, batch: dict) -> None:
        self.model.train()
        MessageHub.get_current_instance().update_info('iter', 0)  # what a Runner does; BoxInst's loss asks for it
        data = self.preprocess(batch, training=True)
        loss, _ = self.model.parse_losses(self.model(**data, mode='loss'))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.inference_mode()
    def inference(self, batch: dict) -> torch.Tensor:
        """Detects in the first image of the batch; returns the scores ``[N]``."""
        self.model.eval()
        one = {key: list(value)[:1] for key, value in batch.items()}
        (sample,) = self.model(**self.preprocess(one, training=False), mode='predict')
        return sample.pred_instances.scores

    def preprocess(self, batch: dict, training: bool) -> dict:
        """A batch of :func:`make_batch` as the model's ``forward`` takes it, with as many channels as it reads."""
        batch = deepcopy(batch)  # since preprocessors change targets in place
        channels = len(getattr(self.model.data_preprocessor, 'mean', range(3)))  # (YOLOX normalises nothing)
        batch['inputs'] = [image[:channels] for image in batch['inputs']]
        return self.model.data_preprocessor(batch, training)

    def keep_detections(self, batch: dict, count: int = DETECTIONS) -> float:
        """Raises the score threshold as far as ``count`` detections of the first image remain, to within a hundredth.

        How many candidates an untrained model has to sort, suppress and turn into masks depends on how its scores
        were initialised: none to thousands. A trained one has about as many as it shows.

        Returns:
            The threshold, 0 if there never are as many detections.
        """
        low, high = 0.0, 1.0
        self.set_score_threshold(low, count)
        scores = self.inference(batch)
        if len(scores) < count:
            return low
        # Scores may be lowered after the threshold, never raised, so at least `count` candidates are above this.
        low = max(float(scores.min()), 1e-9) * (1 - 1e-6)  # (an untrained mask IoU is below 0)
        if not self._shows(count, low * 1.0001, batch):
            high = low  # nothing lowers them: this is it
        while high > low * 1.01:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self._shows(count, middle, batch) else (low, middle)
        self.set_score_threshold(low, count)
        return low

    def _shows(self, count: int, threshold: float, batch: dict) -> bool:
        self.set_score_threshold(threshold, count)
        return len(self.inference(batch)) >= count

    def set_score_threshold(self, value: float, count: int = DETECTIONS) -> None:
        set_score_threshold(self.model, value, count)


def interleaved(actions: dict[str, Callable[[], None]], repeats: int, device: str) -> dict[str, float]:
    """Median seconds of each action; the actions take turns, after one round that does not count."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for round_ in range(repeats + 1):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            if device.startswith('cuda'):
                torch.cuda.synchronize()
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def named_parts(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Backbone, neck and each head of a detector, under the names they have in the config."""
    for name, child in model.named_children():
        if name == 'roi_head':
            yield from ((f'roi_head.{inner}', head) for inner, head in child.named_children())
        elif name != 'data_preprocessor':
            yield name, child

"""Times of models and of mask losses, measured in turns in one run."""

import math
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData
from torch import nn
from torchvision.ops import box_convert, clip_boxes_to_image

from ..datasets.synthetic import generate_scene


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


class Subject:
    """A detector with its optimizer, ready to be timed.

    The RPN of a two-stage detector proposes as always, but the RoI head gets given proposals. What a RoI costs depends
    on its size, and the untrained RPNs of two models propose different sizes.

    Args:
        config: Config file; weights are random.
        device: Where it runs.
        proposals: For each image of the batch, see :func:`make_proposals`; single-stage detectors need none.
        score_thr: Lowest score of a detection, see :meth:`keep_detections`; default is the config's.
    """

    def __init__(
        self, config: str, device: str, proposals: list[InstanceData], score_thr: float | None = None
    ) -> None:
        cfg = Config.fromfile(config)
        cfg.model.backbone.init_cfg = None  # times do not depend on weights, and no download is needed
        torch.manual_seed(0)
        self.model = MODELS.build(cfg.model).to(device)
        self.model.init_weights()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-4, momentum=0.9)
        if score_thr is not None:
            self._set_score_threshold(score_thr)
        if not hasattr(self.model, 'rpn_head'):
            return
        propose = self.model.rpn_head.predict_by_feat

        def propose_as_given(cls_scores: list, *args, **kwargs) -> list[InstanceData]:
            propose(cls_scores, *args, **kwargs)
            return [p.to(device) for p in proposals[: len(cls_scores[0])]]

        self.model.rpn_head.predict_by_feat = propose_as_given

    def step(self, batch: dict) -> None:
        self.model.train()
        MessageHub.get_current_instance().update_info('iter', 0)  # what a Runner does; BoxInst's loss asks for it
        data = self.model.data_preprocessor(deepcopy(batch), training=True)  # which changes targets in place
        loss, _ = self.model.parse_losses(self.model(**data, mode='loss'))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.inference_mode()
    def inference(self, batch: dict) -> torch.Tensor:
        """Detects in the first image of the batch; returns the scores ``[N]``."""
        self.model.eval()
        one = deepcopy({k: list(v)[:1] for k, v in batch.items()})
        (sample,) = self.model(**self.model.data_preprocessor(one, training=False), mode='predict')
        return sample.pred_instances.scores

    def keep_detections(self, batch: dict, count: int = 100) -> float:
        """Raises the score threshold as far as ``count`` detections of the first image remain, to within a hundredth.

        How many candidates an untrained model has to sort, suppress and turn into masks depends on how its scores
        were initialised: none to thousands. A trained one has about as many as it shows.

        Returns:
            The threshold, 0 if there never are as many detections.
        """
        low, high = 0.0, 1.0
        self._set_score_threshold(low, count)
        scores = self.inference(batch)
        if len(scores) < count:
            return low
        # Scores may be lowered after the threshold, never raised, so at least `count` candidates are above this.
        low = float(scores.min()) * (1 - 1e-6)
        if not self._shows(count, low * 1.0001, batch):
            high = low  # nothing lowers them: this is it
        while high > low * 1.01:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self._shows(count, middle, batch) else (low, middle)
        self._set_score_threshold(low, count)
        return low

    def _shows(self, count: int, threshold: float, batch: dict) -> bool:
        self._set_score_threshold(threshold, count)
        return len(self.inference(batch)) >= count

    def _set_score_threshold(self, value: float, count: int = 100) -> None:
        for module in self.model.modules():
            test_cfg = getattr(module, 'test_cfg', None)
            if test_cfg is not None and 'score_thr' in test_cfg:
                test_cfg.update(score_thr=value, max_per_img=count)
                if 'filter_thr' in test_cfg:  # SOLOv2's second threshold, after its NMS has lowered the scores
                    test_cfg.filter_thr = 0.0


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


def render_models(result: dict[str, dict[str, float]], names: list[str]) -> str:
    """Markdown table with a line for each model and, in brackets, the ratio to the first.

    Args:
        result: What was measured -> model -> value; measurements of anything but the models are left out.
        names: The models.
    """
    titles = [title for title, values in result.items() if list(values) == names]
    lines = [['model', *titles], ['---', *['---:'] * len(titles)]]
    for name in names:
        pairs = [(result[title][name], result[title][names[0]]) for title in titles]
        cells = [f'{value:.4g} ({value / first:.2f})' if first else f'{value:.4g}' for value, first in pairs]
        lines.append([Path(name).stem, *cells])
    return '\n'.join('| ' + ' | '.join(cells) + ' |' for cells in lines)


class LoopMaskLoss(nn.Module):
    """The compound mask loss with the Lovasz part one RoI at a time, as usually published."""

    def forward(self, pred: torch.Tensor, target: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        logits = pred[torch.arange(len(pred)), label].flatten(1)
        target = target.flatten(1)
        probs = logits.sigmoid()
        bce = nn.functional.binary_cross_entropy_with_logits(logits, target)
        dice = 1 - 2 * (probs * target).sum(1) / (probs.sum(1) + target.sum(1))
        lovasz = logits.new_zeros(())
        for x, y in zip(probs, target, strict=True):
            errors, order = (y - x).abs().sort(descending=True)
            hit = y[order]
            jaccard = 1 - (hit.sum() - hit.cumsum(0)) / (hit.sum() + (1 - hit).cumsum(0))
            increments = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
            lovasz = lovasz + (errors * increments).sum()
        return bce + dice.mean() + 0.1 * lovasz / len(pred)


def time_mask_losses(rois: int, classes: int, repeats: int, device: str) -> dict[str, float]:
    """Median seconds of forward and backward of each mask loss, 28x28 logits."""
    gen = torch.Generator().manual_seed(0)
    pred = torch.randn(rois, classes, 28, 28, generator=gen).to(device).requires_grad_()
    target = (torch.rand(rois, 28, 28, generator=gen) > 0.5).float().to(device)
    label = torch.randint(0, classes, (rois,), generator=gen).to(device)
    losses = {
        'MBCEDiceLovaszLoss': MODELS.build({'type': 'MBCEDiceLovaszLoss'}),
        'CrossEntropyLoss': MODELS.build({'type': 'CrossEntropyLoss', 'use_mask': True}),
        'loop over RoIs': LoopMaskLoss(),
    }

    def action(loss: nn.Module) -> None:
        pred.grad = None
        loss(pred, target, label).sum().backward()

    return interleaved({name: lambda loss=loss: action(loss) for name, loss in losses.items()}, repeats, device)

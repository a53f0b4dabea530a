"""FCOS with the top layer of BlendMask (Chen et al., CVPR 2020, Sec. 3.1): attention maps of each location."""

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.condinst_head import CondInstBboxHead
from mmdet.registry import MODELS
from mmdet.utils import InstanceList, OptInstanceList
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn


@MODELS.register_module()
class FCOSTopHead(CondInstBboxHead):
    """FCOS head with a 3x3 convolution on the box tower that predicts K attention maps of A x A for a location.

    CondInst's box head already remembers which location learns which target and carries its locations through NMS; it
    differs by the layer on top. A location's attention is needed for positives in training and for detections after
    NMS in testing only. So the layer is applied to the 3x3 neighbourhoods of these, which gives the numbers of a
    convolution over whole maps at a fraction of the cost: AdelaiDet computes 784 channels everywhere.

    Args:
        *args: Positional arguments of ``mmdet.models.FCOSHead``.
        num_bases: K, the number of bases.
        attention_size: A, height and width of an attention map.
        use_scale: Whether each level has a learned factor of its distances. BlendMask has none.
        **kwargs: Keyword arguments of ``mmdet.models.FCOSHead``.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import FCOSTopHead
        >>> small = {'in_channels': 8, 'feat_channels': 8, 'stacked_convs': 1, 'norm_cfg': None}
        >>> level = {'strides': [8], 'regress_ranges': [(-1, 1e8)]}
        >>> head = FCOSTopHead(num_classes=4, num_bases=2, attention_size=3, **small, **level)
        >>> head((torch.zeros(1, 8, 4, 4),))[0][0].shape  # class scores of the first level
        torch.Size([1, 4, 4, 4])
        >>> head.top_layer.out_channels  # two attention maps of 3 x 3 for each location
        18
    """

    def __init__(self, *args, num_bases: int = 4, attention_size: int = 14, use_scale: bool = False, **kwargs) -> None:
        self.num_bases = num_bases
        self.attention_size = attention_size
        self.use_scale = use_scale
        # What CondInst's head calls the parameters of a location are box-tower features here.
        super().__init__(*args, num_params=kwargs.get('feat_channels', 256), **kwargs)

    def _init_layers(self) -> None:
        super(CondInstBboxHead, self)._init_layers()
        self.controller = nn.Identity()
        self.top_layer = nn.Conv2d(self.feat_channels, self.num_bases * self.attention_size**2, 3)
        if not self.use_scale:
            self.scales = nn.ModuleList(nn.Identity() for _ in self.strides)

    def attentions_at(self, tower_feats: list[Tensor], images: Tensor, points: Tensor, strides: Tensor) -> Tensor:
        """Predicts the attention maps of some locations.

        Args:
            tower_feats: Box-tower features of each level, ``[B, feat_channels, H_i, W_i]``.
            images: Index of the image of each location, shape ``[N]``.
            points: Locations, shape ``[N, 2]``, xy in pixels of the network's input.
            strides: Stride of the level of each location, shape ``[N]``, pixels.

        Returns:
            Attention logits, shape ``[N, K, A, A]``.
        """
        levels = torch.bucketize(strides, strides.new_tensor(self.strides))
        columns, rows = (points / strides[:, None]).long().unbind(1)  # a location is the centre of its cell
        window = torch.arange(3, device=points.device)
        patches, members = [], []
        for level, feat in enumerate(tower_feats):
            member = (levels == level).nonzero().flatten()
            padded = F.pad(feat, (1, 1, 1, 1)).permute(0, 2, 3, 1)
            image, row, column = (i[member][:, None, None] for i in (images, rows, columns))
            patches.append(padded[image, row + window[:, None], column + window])
            members.append(member)
        attentions = self.top_layer(torch.cat(patches).permute(0, 3, 1, 2))
        shape = (self.num_bases, self.attention_size, self.attention_size)
        return attentions.reshape(-1, *shape)[torch.cat(members).argsort()]

    def loss_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        centernesses: list[Tensor],
        tower_feats: list[Tensor],
        batch_gt_instances: InstanceList,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: OptInstanceList = None,
    ) -> dict[str, Tensor]:
        """FCOS's losses; what :meth:`get_positive_infos` needs is kept until it is called.

        Args:
            cls_scores: Class logits of each level, ``[B, num_classes, H_i, W_i]``.
            bbox_preds: Distances to the four sides, ``[B, 4, H_i, W_i]``.
            centernesses: Centerness logits, ``[B, 1, H_i, W_i]``.
            tower_feats: Box-tower features, ``[B, feat_channels, H_i, W_i]``.
            batch_gt_instances: ``bboxes`` (xyxy, pixels of the network's input) and ``labels`` of each image.
            batch_img_metas: Meta information of each image.
            batch_gt_instances_ignore: Not used, as in FCOS.

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``loss_centerness``.
        """
        losses = super().loss_by_feat(
            cls_scores,
            bbox_preds,
            centernesses,
            tower_feats,
            batch_gt_instances,
            batch_img_metas,
            batch_gt_instances_ignore,
        )
        self._raw_positive_infos.update(gt_bboxes=[gt.bboxes for gt in batch_gt_instances])
        return losses

    def _get_targets_single(
        self, gt_instances: InstanceData, points: Tensor, regress_ranges: Tensor, num_points_per_lvl: list[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # CondInst samples around the centre of gravity of a mask if there is one, BlendMask around the box's centre.
        gt_boxes = InstanceData(bboxes=gt_instances.bboxes, labels=gt_instances.labels)
        return super()._get_targets_single(gt_boxes, points, regress_ranges, num_points_per_lvl)

    def get_positive_infos(self) -> InstanceList:
        """Hands out the positive locations of the last call of :meth:`loss_by_feat`, once.

        Returns:
            Of each image ``attentions`` ``[n, K, A, A]``, ``pos_assigned_gt_inds`` ``[n]``, the target of each
            location, and ``centerness_targets`` ``[n]`` in (0, 1].
        """
        raw, self._raw_positive_infos = self._raw_positive_infos, {}
        all_points = torch.cat(raw['all_level_points'])
        all_strides = torch.cat(raw['all_level_strides'])
        counts = [len(inds) for inds in raw['pos_inds_list']]
        pos_inds = torch.cat(raw['pos_inds_list'])
        points = all_points[pos_inds]
        images = torch.arange(len(counts), device=points.device).repeat_interleave(
            torch.tensor(counts, device=points.device)
        )
        attentions = self.attentions_at(raw['param_preds'], images, points, all_strides[pos_inds])
        gt_bboxes = torch.cat(
            [bboxes[inds] for bboxes, inds in zip(raw['gt_bboxes'], raw['pos_gt_inds_list'], strict=True)]
        )
        centerness = self.centerness_target(self.bbox_coder.encode(points, gt_bboxes))
        return [
            InstanceData(attentions=a, pos_assigned_gt_inds=inds, centerness_targets=c)
            for a, inds, c in zip(
                attentions.split(counts), raw['pos_gt_inds_list'], centerness.split(counts), strict=True
            )
        ]

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: list[Tensor],
        tower_feats: list[Tensor],
        batch_img_metas: list[dict],
        cfg: ConfigDict | None = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> InstanceList:
        """Detections with their attention maps.

        Args:
            cls_scores: Class logits of each level, ``[B, num_classes, H_i, W_i]``.
            bbox_preds: Distances to the four sides in pixels, ``[B, 4, H_i, W_i]``.
            score_factors: Centerness logits, ``[B, 1, H_i, W_i]``.
            tower_feats: Box-tower features, ``[B, feat_channels, H_i, W_i]``.
            batch_img_metas: Meta information of each image.
            cfg: Settings that replace ``test_cfg``.
            rescale: Whether boxes are returned in pixels of the original image instead of the network's input.
            with_nms: Whether to suppress overlapping boxes.

        Returns:
            Of each image ``bboxes`` ``[n, 4]`` xyxy, ``scores`` ``[n]``, ``labels`` ``[n]`` and ``attentions``
            ``[n, K, A, A]``.
        """
        results = super().predict_by_feat(
            cls_scores, bbox_preds, score_factors, tower_feats, batch_img_metas, cfg, rescale, with_nms
        )
        for image, result in enumerate(results):
            del result.param_preds
            points, strides = result.pop('points'), result.pop('strides')
            images = torch.full((len(points),), image, device=points.device)
            result.attentions = self.attentions_at(tower_feats, images, points, strides)
        return results

"""FPN with a plugin layer before chosen lateral convolutions (Wang & Ren, Symmetry 2025, 17, 1099, Fig. 6)."""

from collections.abc import Sequence

from mmdet.models.necks import FPN
from mmdet.registry import MODELS
from torch import Tensor

from ..layers.stage_plugins import build_stage_plugins


@MODELS.register_module()
class PluginFPN(FPN):
    """MMDetection's FPN whose chosen inputs pass a plugin layer first.

    The backbone is not touched: its stage l+1 still reads the unmodified stage l, only the lateral convolution
    (and an extra level made ``on_input``) reads the plugin's output. Without ``plugin`` it is the plain FPN,
    with the same parameter names, so a checkpoint of either loads into the other.

    Args:
        *args: Positional arguments of ``mmdet.models.necks.FPN``.
        plugin: Config of a registered mmcv plugin layer that keeps shape and channels, such as
            ``dict(type='BNSA', reduction=4)``. It receives ``in_channels`` of its stage.
        plugin_stages: Indices into the FPN's inputs. With ``out_indices=(0, 1, 2, 3)`` 0 is C2, and the default
            ``(1, 2)`` means C3 and C4, as in the paper's final model.
        **kwargs: Keyword arguments of ``mmdet.models.necks.FPN``.

    Raises:
        ValueError: If a plugin stage is no input of the FPN, is read by no lateral convolution, or comes twice.

    Example:
        >>> import torch
        >>> from mmdet_ir.models import PluginFPN
        >>> neck = PluginFPN([8, 16], 4, num_outs=2, plugin={'type': 'BNSA'}, plugin_stages=[1])
        >>> [tuple(level.shape) for level in neck((torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)))]
        [(1, 4, 8, 8), (1, 4, 4, 4)]
    """

    def __init__(self, *args, plugin: dict | None = None, plugin_stages: Sequence[int] = (1, 2), **kwargs) -> None:
        super().__init__(*args, **kwargs)
        read = range(self.start_level, self.backbone_end_level)
        self.plugins = build_stage_plugins(plugin, plugin_stages, self.in_channels, read)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Runs the plugins, then the FPN.

        Args:
            inputs: Feature maps of the backbone, each ``[N, in_channels[i], H_i, W_i]``.

        Returns:
            ``num_outs`` feature maps, each ``[N, out_channels, H, W]``.
        """
        outputs = list(inputs)
        for stage, plugin in self.plugins.items():
            outputs[int(stage)] = plugin(inputs[int(stage)])
        return super().forward(tuple(outputs))

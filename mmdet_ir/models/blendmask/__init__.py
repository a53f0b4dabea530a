"""BlendMask, which MMDetection does not have."""

from .basis_module import BasisModule
from .blend_mask_head import BlendMaskHead
from .blender import blend_bases
from .blendmask import BlendMask
from .fcos_top_head import FCOSTopHead

__all__ = ['BasisModule', 'BlendMask', 'BlendMaskHead', 'FCOSTopHead', 'blend_bases']

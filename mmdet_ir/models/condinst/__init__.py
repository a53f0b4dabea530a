"""CondInst with the auxiliary semantic loss of its authors."""

from .semantic_mask_head import AuxiliarySemanticHead, CondInstSemanticMaskHead, semantic_targets

__all__ = ['AuxiliarySemanticHead', 'CondInstSemanticMaskHead', 'semantic_targets']

"""The former place of ``mmdet_ir.apis.IRInferencer``, for notebooks that were written for it."""

from .inference.inferencer import IRInferencer

__all__ = ['IRInferencer']

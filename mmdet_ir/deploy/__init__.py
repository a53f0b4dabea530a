"""Export of trained models, exported models, and the comparison of both: ONNX, OpenVINO, TorchScript, torch.export.

ONNX, ONNX Runtime and OpenVINO are needed where they are used only.
"""

from .backends import ExportedModel
from .export import export_model
from .verify import verify

__all__ = ['ExportedModel', 'export_model', 'verify']

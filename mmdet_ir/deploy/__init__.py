"""Export of trained models; ONNX, ONNX Runtime and OpenVINO are needed where they are used only."""

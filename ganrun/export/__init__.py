"""Writes the model of a run as files that other programs read: StableHLO, safetensors, ONNX, a config and a card."""

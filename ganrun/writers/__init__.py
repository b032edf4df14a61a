"""The outputs of a run: TensorBoard, metrics.jsonl, the console and image files."""

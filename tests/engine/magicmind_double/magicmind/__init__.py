"""A double of Cambricon's MagicMind SDK: the calls that u2forge makes, recorded, and computed by ONNX Runtime."""

"""Prediction side by side: the same weights and texts through bertsmith, transformers, sentence-transformers, ONNX."""

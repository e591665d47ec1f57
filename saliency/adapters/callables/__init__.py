"""Plain functions and ONNX Runtime sessions: scores only."""

"""Keras 3 models on each of its backends."""

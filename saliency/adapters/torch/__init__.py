"""PyTorch modules and functions of tensors; Hugging Face's models."""

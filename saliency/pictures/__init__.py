"""Read pictures from files, PIL images, arrays and tensors, and find where a preprocessing places them."""

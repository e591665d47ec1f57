"""How good an explanation is. ``from saliency.metrics import pic`` takes the place of PAIR-code/saliency's module."""

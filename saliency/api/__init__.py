"""The public functions that see models and methods alike."""

"""Traced programs: their operators, and backward passes by rules."""

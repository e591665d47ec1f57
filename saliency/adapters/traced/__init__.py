"""Traced programs: operators are found in them, and walked back by rules."""

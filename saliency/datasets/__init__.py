"""Explanations of many pictures: one after another, as a data set on disk, and what they have in common."""

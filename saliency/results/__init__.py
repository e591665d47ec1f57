"""Explanations, and tables that print."""

"""Traits of the widget, and the controls of method parameters."""

"""Threads, jobs, explanations and result caches of a widget, in the kernel."""

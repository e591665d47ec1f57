"""Test-beds of photographs. Those of data sets are read from a folder of the user's; nothing of it is distributed."""

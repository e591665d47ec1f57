"""Maps and pictures as numbers, and drawn where no browser does it."""

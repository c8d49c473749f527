"""Trained networks of other programs, taken over: read as data, placed layer by layer, and proved. See `write`."""

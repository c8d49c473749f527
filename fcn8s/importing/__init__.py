"""Importing trained networks of other programs: read as data, matched layer by layer, and verified. See `write`."""

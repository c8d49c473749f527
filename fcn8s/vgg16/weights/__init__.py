"""Readers of VGG-16 weights, one module per kind of source. None of them runs anything that a file contains."""

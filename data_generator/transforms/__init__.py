"""Augmentation: what can be done to an image and its label, and in which order."""

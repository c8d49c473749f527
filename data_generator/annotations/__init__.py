"""Annotations of other tools: polygons and masks of objects, made into label images."""

"""Evaluation: the numbers, their intervals, and the pass over a dataset that counts for them."""

"""Batches: samples, their order, the threads that make them, and datasets that are processed in advance."""

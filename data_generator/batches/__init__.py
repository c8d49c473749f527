"""Batches: samples, their order, the threads that make them, and datasets processed beforehand."""

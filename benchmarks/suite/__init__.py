"""The benchmark suite that benchmarks/run.py runs: what is measured, where, and how it is kept. Loads no TensorFlow."""

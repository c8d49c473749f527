"""Several processes that work on one thing."""

"""Several processes that work on one thing: on one machine, or in a cluster that trains one network."""

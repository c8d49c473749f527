"""Every file of a network: saved models, encoders, checkpoints, run directories, and the ways to open them."""

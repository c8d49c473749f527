"""Training: what was asked for, the loop, schedules, diagnosis, TensorBoard, recipes."""

"""From the options of a command to its inputs: data, batches, models, predictors."""

"""From the options of a command to what it works on: data, batches, models, predictors."""

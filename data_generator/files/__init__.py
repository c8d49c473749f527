"""Files: which image belongs to which label, layouts of datasets, reading, the cache."""

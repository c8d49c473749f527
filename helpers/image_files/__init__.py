"""Image files, format by format: what their headers say, and their pixels. `helpers.images` is the door."""

"""Image files, format by format: their headers and their pixels. `helpers.images` is the interface."""

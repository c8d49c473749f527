"""What a training will cost, and the drawing of the architecture."""

"""The process itself: its memory, cores and limits, how it ends, and how it loads modules."""

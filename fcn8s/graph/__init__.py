"""Everything that adds ops to a graph. Nothing here opens a session or a file."""

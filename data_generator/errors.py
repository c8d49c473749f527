"""What is raised when the data, and not the call, is at fault."""


class DataError(ValueError):
    """A dataset that cannot be used as it is. The message names the file or directory, the fault and the remedy."""

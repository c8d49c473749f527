"""What is kept until all of it is there, without taking memory for it."""

import tempfile

from helpers.files import explain_full_temporary_place


class Spool:
    """Pieces of bytes, in the order in which they came: beyond `IN_MEMORY` bytes in a temporary file."""

    IN_MEMORY = 1 << 26

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(self.IN_MEMORY)  # noqa: SIM115 - open as long as pieces come
        self._ends = [0]

    def append(self, piece: bytes) -> None:
        """Keeps a piece. Raises OSError, with the place and the remedy, where the temporary disk is full."""
        with explain_full_temporary_place(tempfile.gettempdir()):
            self._file.seek(self._ends[-1])
            self._file.write(piece)
        self._ends.append(self._ends[-1] + len(piece))

    def __getitem__(self, number: int) -> bytes:
        """Returns a piece by its number; raises IndexError where there is none."""
        begin, end = self._ends[number], self._ends[number + 1]
        self._file.seek(begin)
        return self._file.read(end - begin)

    def __len__(self) -> int:
        """Returns the number of pieces."""
        return len(self._ends) - 1

import argparse
import errno
import os
import re
import tempfile

import pytest

from helpers.spool import Spool


@pytest.mark.parametrize('in_memory', [Spool.IN_MEMORY, 1])
def test_pieces_that_come_after_others_were_read_stand_behind_these(monkeypatch, in_memory):
    monkeypatch.setattr(Spool, 'IN_MEMORY', in_memory)
    spool, pieces = Spool(), [b'first', b'', b'third']
    for piece in pieces:
        spool.append(piece)
        assert spool[0] == b'first'
    assert [spool[number] for number in range(len(spool))] == pieces
    with pytest.raises(IndexError):
        spool[3]


def test_a_full_temporary_disk_is_named(monkeypatch):
    spool = Spool()

    def write(_):
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(spool, '_file', argparse.Namespace(seek=lambda *_: None, write=write))
    with pytest.raises(OSError, match='while writing {}. Raise the limit'.format(re.escape(tempfile.gettempdir()))):
        spool.append(b'a piece')
    assert len(spool) == 0

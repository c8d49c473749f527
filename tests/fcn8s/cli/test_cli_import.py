"""What `fcn8s import` makes trains with the command that it prints."""

import re
import shlex

import pytest

from fcn8s.cli import main
from tests.data_generator.annotations.tools import TOOLS


@pytest.mark.parametrize('kind', ['labelme', 'coco'])
def test_the_printed_command_trains(tmp_path, capsys, tiny_encoder, kind):
    TOOLS[kind](tmp_path / 'my annotations')
    assert main(['import', str(tmp_path / 'my annotations'), str(tmp_path / 'my data')]) == 0
    printed = capsys.readouterr().out
    command = shlex.split(re.search(r'(train --images .*)', printed).group(1))
    command[command.index('ENCODER')] = tiny_encoder
    run = tmp_path / 'run'
    assert main([*command, '--epochs', '1', '--batch', '2', '--run', str(run), '--no-report']) == 0
    assert (run / 'metrics.jsonl').exists()

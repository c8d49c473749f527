"""What every command shares: how errors reach the user."""

import argparse

import pytest

import fcn8s
from fcn8s import cli


class ResourceExhaustedError(Exception):
    """Named like TensorFlow's."""


def fail_with(error, monkeypatch):
    def run(args):
        raise error

    parser = argparse.ArgumentParser()
    parser.add_subparsers(dest='command').add_parser('fail').set_defaults(run=run)
    monkeypatch.setattr(cli, 'build_parser', lambda: parser)
    return cli.main(['fail'])


@pytest.mark.parametrize(
    'error, status, message',
    [
        (ValueError('the rule'), 2, 'fcn8s fail: error: the rule'),
        (FileNotFoundError('no such file'), 2, 'fcn8s fail: error: no such file'),
        (KeyboardInterrupt('stopped after step 3'), 130, 'fcn8s: stopped after step 3'),
        (KeyboardInterrupt(), 130, 'fcn8s: interrupted'),
        (ResourceExhaustedError('OOM when allocating'), 2, 'out of memory. Take a smaller --batch'),
    ],
)
def test_errors_become_a_line_and_a_status(error, status, message, monkeypatch, capsys):
    assert fail_with(error, monkeypatch) == status
    printed = capsys.readouterr()
    assert message in printed.err and 'Traceback' not in printed.err


def test_a_fault_of_the_program_is_not_hidden(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        fail_with(ZeroDivisionError(), monkeypatch)


def test_version_and_help(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(['--version'])
    assert exit_info.value.code == 0 and fcn8s.__version__ in capsys.readouterr().out
    assert cli.main([]) == 2
    printed = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert command.replace('_', '-') in printed

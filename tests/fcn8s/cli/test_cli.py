"""What every command shares: how errors reach the user."""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import zipfile

import pytest

import fcn8s
from fcn8s import cli
from fcn8s.stopping import TrainingInterrupted


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
        (TrainingInterrupted('after step 3', 'SIGINT'), 130, 'fcn8s: after step 3'),
        (TrainingInterrupted('after step 3', 'SIGTERM'), 143, 'fcn8s: after step 3'),
        (ResourceExhaustedError('OOM when allocating'), 2, 'out of memory. Take a smaller --batch'),
        (
            MemoryError('Unable to allocate 9 GiB'),
            2,
            'error: Unable to allocate 9 GiB; out of memory. Take a smaller --batch',
        ),
        (MemoryError(), 2, 'fcn8s fail: error: out of memory. Take a smaller --batch'),
    ],
)
def test_errors_become_a_line_and_a_status(error, status, message, monkeypatch, capsys):
    assert fail_with(error, monkeypatch) == status
    printed = capsys.readouterr()
    assert message in printed.err and 'Traceback' not in printed.err


def test_a_fault_of_the_program_is_not_hidden(monkeypatch):
    with pytest.raises(ZeroDivisionError):
        fail_with(ZeroDivisionError(), monkeypatch)


TERMINATED = """
import argparse, os, signal, sys, time
from fcn8s import cli
from fcn8s.stopping import TrainingInterrupted
from helpers.files import atomic_directory

def run(args):
    with atomic_directory(sys.argv[1]) as directory:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # as timeout(1) does, which sends it twice
            print(len(os.listdir(os.path.dirname(directory))))

parser = argparse.ArgumentParser()
parser.add_subparsers(dest='command').add_parser('wait').set_defaults(run=run)
cli.build_parser = lambda: parser
sys.exit(cli.main(['wait']))
"""


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
def test_sigterm_removes_what_is_half_written(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', TERMINATED, str(tmp_path / 'out')],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, b'1\n', b'fcn8s: stopped by SIGTERM\n')
    assert os.listdir(str(tmp_path)) == []


# What is imported at the moment of Ctrl-C: the command line itself, a command, and NumPy, which says that it cannot be
# imported instead.
INTERRUPTED = """
import os, signal, sys

MODULE = sys.argv[1]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            sys.meta_path.remove(self)
            try:
                os.kill(os.getpid(), signal.SIGINT)
                sum(range(10**6))
            except KeyboardInterrupt:
                if name.startswith(('fcn8s', 'data_generator')):
                    raise
                raise ImportError('a bad install') from None

sys.meta_path.insert(0, Finder())
from fcn8s.__main__ import main
sys.argv[1:] = ['check', 'nothing']
sys.exit(main())
"""


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
@pytest.mark.parametrize('module', ['fcn8s.cli', 'fcn8s.cli.train', 'numpy', 'data_generator.checking.check'])
def test_ctrl_c_while_modules_are_imported(module):
    done = subprocess.run(
        [sys.executable, '-c', INTERRUPTED, module],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b'', b'fcn8s: interrupted\n')


AT_ITS_END = """
import atexit, gc, sys
from fcn8s.__main__ import main
atexit.register(lambda: print(gc.get_freeze_count() > 1000))
sys.argv[1:] = ['--version']
sys.exit(main())
"""


def test_a_command_that_ends_does_not_look_for_cycles():
    done = subprocess.run([sys.executable, '-c', AT_ITS_END], stdout=subprocess.PIPE, timeout=120, check=True)
    assert done.stdout.splitlines()[1:] == [b'True']


def test_an_import_that_fails_by_itself_is_no_interruption(monkeypatch, capsys):
    before = signal.getsignal(signal.SIGINT)
    assert fail_with(ImportError('no such package'), monkeypatch) == 2
    assert 'error: no such package' in capsys.readouterr().err and signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name == 'nt', reason='signals of POSIX')
@pytest.mark.parametrize('handler', [signal.SIG_DFL, signal.SIG_IGN, lambda number, frame: None])
def test_the_handler_of_sigterm_is_as_before_after_a_command(monkeypatch, handler):
    previous = signal.signal(signal.SIGTERM, handler)
    try:
        assert fail_with(ValueError(), monkeypatch) == 2
        assert signal.getsignal(signal.SIGTERM) == handler
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_version_and_help(capsys):
    with pytest.raises(SystemExit) as exit_info:
        cli.main(['--version'])
    assert exit_info.value.code == 0 and fcn8s.__version__ in capsys.readouterr().out
    assert cli.main([]) == 2
    printed = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert command.replace('_', '-') in printed


@pytest.mark.parametrize('command', [name.replace('_', '-') for name in cli.COMMANDS])
def test_help_names_no_option_that_the_command_lacks(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, '--help'])
    text = capsys.readouterr().out
    flags = [re.split('  +', line.strip())[0] for line in text.splitlines() if line.startswith('  -')]
    of_others = r'\b({}) (OUT )?--[\w-]+'.format('|'.join(cli.COMMANDS))
    named = re.findall(r'(?<![\w-])--[\w-]+', re.sub(of_others, '', ' '.join(text.split())))
    assert set(named) <= set(re.findall(r'--[\w-]+', ' '.join(flags)))


@pytest.mark.parametrize('closed', ['2>&-', '>&- 2>&-', '<&- >&- 2>&-'])
def test_a_command_without_standard_streams_works_and_writes_nothing_into_its_files(tmp_path, closed):
    picture = str(tmp_path / 'out' / 'preview.png')
    words = [sys.executable, '-m', 'fcn8s', 'sample-data', str(tmp_path / 'data'), '--train', '1', '--val', '1']
    words += ['--drive', '0', '--size', '32', '64']
    subprocess.run(' '.join(map(shlex.quote, words)) + ' ' + closed, shell=True, check=True)
    words = [sys.executable, '-m', 'fcn8s', 'check', str(tmp_path / 'data'), '--preview', picture]
    assert subprocess.run(' '.join(map(shlex.quote, words)) + ' ' + closed, shell=True, check=False).returncode == 0
    with open(picture, 'rb') as file:
        content = file.read()
    assert content.startswith(b'\x89PNG') and content.endswith(b'IEND\xaeB`\x82')


def test_the_demo_takes_only_seeds_of_a_training(tmp_path, capsys):
    assert cli.main(['demo', '--out', str(tmp_path / 'demo'), '--seed', '3000000000']) == 2
    assert '--seed is 3000000000; it has to be a whole number from 0 to 2147483647' in capsys.readouterr().err
    assert not os.listdir(str(tmp_path))


def test_the_demo_is_shortened_and_its_precision_chosen_by_options_of_its_training():
    from fcn8s.cli.demo import demo_steps
    from fcn8s.training.recipes import read_recipe

    (whole,), (short,) = (
        [step.command for step in demo_steps('demo', 0, epochs) if step.command[0] == 'train'] for epochs in (None, 2)
    )
    assert '--epochs' not in whole and '--precision' not in whole and short[short.index('--epochs') + 1] == '2'
    in_bfloat16 = demo_steps('demo', 0, precision='bfloat16')
    changed = [step.command for step, plain in zip(in_bfloat16, demo_steps('demo', 0)) if step != plain]
    assert len(changed) == 1 and changed[0][0] == 'train' and '--precision bfloat16' in ' '.join(changed[0])
    parser = cli.build_parser()
    assert parser.parse_args(['demo']).epochs is None
    with pytest.raises(SystemExit):
        parser.parse_args(['demo', '--epochs', '0'])
    actions = parser._subparsers._group_actions[0].choices['demo']._actions
    (help_text,) = [action.help for action in actions if action.dest == 'epochs']
    assert 'default: {}'.format(read_recipe('demo').arguments['epochs']) in help_text


def commands():
    return next(action.choices for action in cli.build_parser()._actions if action.dest == 'command')


@pytest.mark.parametrize(
    'command, option',
    [
        (command, option.option_strings[0])
        for command, parser in commands().items()
        for option in parser.options
        if option.nargs in ('+', '*') and option.option_strings
    ],
)
def test_an_option_of_several_values_may_be_repeated(command, option):
    """The values that came first were silently dropped."""
    parser = commands()[command]
    action = next(action for action in parser.options if option in action.option_strings)
    namespace = argparse.Namespace(**{action.dest: action.default})
    for values in ([1, 2], [3]):
        action(parser, namespace, values, option)
    assert getattr(namespace, action.dest) == [1, 2, 3]
    assert action.default in (None, [], argparse.SUPPRESS)


@pytest.mark.parametrize(
    'words, module, message',
    [
        (['pack', 'RUN', 'a.zip'], 'fcn8s.saving.packing', 'a.zip exists already. Choose another name'),
        (['export', 'RUN', '.'], 'fcn8s.export.exporting', '. exists already and is not an empty directory'),
        (['vgg16', '.', '--weights', 'random'], 'fcn8s.vgg16.write', '. exists already and is not an empty directory'),
        (
            ['report', 'a.zip'],
            'fcn8s.report.run_report',
            'say what to evaluate on: either --data ROOT, or --images DIR',
        ),
    ],
)
def test_what_the_names_of_files_decide_is_refused_before_a_model_is_opened(
    words, module, message, tmp_path, monkeypatch, capsys
):
    with zipfile.ZipFile(str(tmp_path / 'a.zip'), 'w') as archive:
        archive.writestr('fcn8s.json', '{}')  # as much as tells a packed network from other zips
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)  # so that importing it fails
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err

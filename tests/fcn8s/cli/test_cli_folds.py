"""`fcn8s train --folds K`: each network is scored on what it has not seen, and a kill costs nothing."""

import argparse
import json
import os
import shutil
import threading

import numpy as np
import pytest
from thorough import ran_once

from fcn8s.cli import cross_validation, main, train
from helpers.images import write_image, write_labels


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Five images of three sequences, and their labels."""
    root, rng = tmp_path_factory.mktemp('folds'), np.random.RandomState(0)
    for name in ('a_0', 'a_1', 'b_0', 'b_1', 'c_0'):
        labels = (rng.rand(4, 6) < 0.5).astype(np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        write_image(str(root / 'images' / (name + '.png')), np.dstack([labels * 200, labels * 0 + 30, 200 - labels]))
        write_labels(str(root / 'labels' / (name + '.png')), labels)
    return ['--images', str(root / 'images'), '--labels', str(root / 'labels'), '--classes', '2']


def words(data, encoder, run, *further):
    fixed = ['--folds', '2', '--epochs', '2', '--steps-per-epoch', '2', '--batch', '1', '--no-report', '--seed', '1']
    return ['train', *data, '--encoder', encoder, '--run', str(run), *fixed, '--rate', 'constant:1e-3', *further]


def read(*parts):
    with open(os.path.join(*map(str, parts)), encoding='utf-8') as file:
        return json.load(file)


@ran_once
@pytest.mark.slow
def test_every_image_is_scored_once_and_interruptions_change_nothing(
    data, shallow_encoder, tmp_path, capsys, monkeypatch
):
    run, other = tmp_path / 'cv', tmp_path / 'other'

    def interrupt(event):
        if event.kind == 'evaluation' and os.path.exists(str(run / 'fold-1' / 'fold.json')):
            raise KeyboardInterrupt('stopped by the test')

    root, begun, moved = os.path.dirname(data[1]), str(tmp_path / 'begun'), str(tmp_path / 'moved')
    shutil.copytree(root, begun)
    shutil.copytree(shallow_encoder, os.path.join(begun, 'encoder'))
    monkeypatch.setattr(train, '_recipe_watchers', lambda *_: [interrupt])
    assert main(words([word.replace(root, begun) for word in data], os.path.join(begun, 'encoder'), run)) == 130
    assert 'interrupted in fold 2; the same command goes on' in capsys.readouterr().out
    assert len(read(run, 'folds.json')) == 1  # the settings
    monkeypatch.setattr(train, '_recipe_watchers', lambda *_: [])
    before = os.stat(str(run / 'fold-1' / 'config.json')).st_mtime_ns
    os.rename(begun, moved)
    elsewhere = words([word.replace(root, moved) for word in data], os.path.join(moved, 'encoder'), run)
    assert main(elsewhere) == 0
    printed = capsys.readouterr().out
    assert 'fold 1 of 2 is done' in printed and 'standard error' in printed and 'fold-1 ' in printed
    assert os.stat(str(run / 'fold-1' / 'config.json')).st_mtime_ns == before
    # A fold by itself, uninterrupted, is the same.
    assert main(words(data, shallow_encoder, other, '--fold', '2')) == 0
    assert '1 of 2 folds are done.' in capsys.readouterr().out
    assert read(other, 'fold-2', 'fold.json') == read(run, 'fold-2', 'fold.json')

    found = read(run, 'folds.json')
    held = [fold['held_out'] for fold in found['folds']]
    assert sorted(sum(held, [])) == ['a_', 'b_', 'c_'] and sorted(len(prefixes) for prefixes in held) == [1, 2]
    assert sum(fold['num_images'] for fold in found['folds']) == 5
    scores = [fold['scores']['mean_iou'] for fold in found['folds']]
    assert found['mean']['mean_iou'] == pytest.approx(np.mean(scores))
    assert found['standard_error']['mean_iou'] == pytest.approx(np.std(scores, ddof=1) / np.sqrt(2))
    for number, prefixes in enumerate(held, 1):
        command = read(run, 'fold-{}'.format(number), 'config.json')['command']
        assert command['hold_out'] == prefixes and 'folds' not in command
    # The scores are those that `fcn8s evaluate` finds on the images that were held out.
    fold = found['folds'][1]
    if fold['best']['epoch'] == fold['epoch']:
        scored = tmp_path / 'scores.json'
        arguments = data[:4] + ['--only', *fold['held_out'], '--json', str(scored)]
        assert main(['evaluate', str(run / 'fold-2'), *arguments]) == 0
        assert read(scored)['mean_iou'] == pytest.approx(fold['scores']['mean_iou'], abs=1e-6)

    elsewhere[elsewhere.index(str(run))] = str(other)
    assert main(elsewhere) == 2  # where it was begun with is there
    assert 'was begun with other settings (encoder, images, labels)' in ' '.join(capsys.readouterr().err.split())
    assert main(words(data, shallow_encoder, run, '--keep-prob', '0.7')) == 2
    assert 'was begun with other settings (keep_prob)' in ' '.join(capsys.readouterr().err.split())
    folds = [str(run / 'fold-{}'.format(number)) for number in (1, 2)]
    assert main(['evaluate', *folds, *data[:4], '--json', str(tmp_path / 'mean.json')]) == 0
    assert len(read(tmp_path / 'mean.json')['models']) == 2


@ran_once
@pytest.mark.slow
def test_a_kill_between_training_and_its_note(data, shallow_encoder, tmp_path, capsys, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt('killed by the test')

    run = tmp_path / 'cv'
    note = cross_validation._note_done
    monkeypatch.setattr(cross_validation, '_note_done', killed)
    assert main(words(data, shallow_encoder, run, '--fold', '1')) == 130
    monkeypatch.setattr(cross_validation, '_note_done', note)
    with open(str(run / 'fold-1' / 'metrics.jsonl'), encoding='utf-8') as file:
        before = file.read()
    assert main(words(data, shallow_encoder, run, '--fold', '1')) == 0
    with open(str(run / 'fold-1' / 'metrics.jsonl'), encoding='utf-8') as file:
        assert file.read() == before
    assert read(run, 'folds.json')['standard_error']['mean_iou'] is None


@pytest.mark.parametrize(
    'changed, message',
    [
        (['--folds', '1'], '--folds is 1; it has to be 2 or more'),
        (['--folds', '3', '--fold', '4'], '--fold is 4; it has to be from 1 to 3'),
        (['--fold', '1'], '--fold came without --folds'),
        (['--folds', '2', '--hold-out', 'a'], 'and --hold-out came too. Leave one out'),
        (['--folds', '2', '--workers', '2'], 'Give them one with --fold I'),
        (['--folds', '9'], '9 folds of 5 images were asked for'),
    ],
)
def test_refuses(data, shallow_encoder, tmp_path, capsys, changed, message):
    run = tmp_path / 'cv'
    assert main(['train', *data, '--encoder', shallow_encoder, '--run', str(run), *changed]) == 2
    assert message in ' '.join(capsys.readouterr().err.split()) and not run.exists()


def test_needs_a_place_to_go_on_from(data, shallow_encoder, capsys):
    assert main(['train', *data, '--encoder', shallow_encoder, '--folds', '2']) == 2
    assert '--folds needs --run DIR' in ' '.join(capsys.readouterr().err.split())


def test_a_run_is_not_made_a_cross_validation(data, shallow_encoder, tmp_path, capsys):
    (tmp_path / 'config.json').write_text('{}')
    assert main(words(data, shallow_encoder, tmp_path)) == 2
    assert 'holds a run. Give --folds another --run' in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    'content, message',
    [('{', 'folds.json is damaged'), ('{"command": {"epochs": 7}}', 'was begun with other settings (')],
)
def test_what_is_known_without_data_is_said_before_they_are_opened(tmp_path, capsys, content, message):
    (tmp_path / 'folds.json').write_text(content)
    assert main(words(['--data', 'no/data'], 'no/encoder', tmp_path)) == 2
    assert message in capsys.readouterr().err


def test_mean_and_standard_error():
    values = [0.5, 0.7, 0.3, 0.6]
    mean, error = cross_validation.mean_and_error(values)
    assert (mean, error) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1) / 2))
    assert np.isnan(cross_validation.mean_and_error([0.5])[1])


def test_a_fold_in_which_no_pixel_counts_has_no_score(tmp_path):
    scores = [[0.25, 0.5], [None, None]]  # after each epoch of each fold; JSON has no NaN
    (tmp_path / 'folds.json').write_text('{"command": {}}')
    for fold, of_epochs in enumerate(scores, 1):
        place = tmp_path / 'fold-{}'.format(fold)
        place.mkdir()
        (place / 'config.json').write_text('{"command": {}}')
        records = [{'step': n, 'epoch': n, 'evaluation': {'mean_iou': s}} for n, s in enumerate(of_epochs, 1)]
        (place / 'metrics.jsonl').write_text('\n'.join(map(json.dumps, records)))
        cross_validation._note_done(str(place), fold, ['a'], 3)
    (tmp_path / 'fold-1' / 'metrics.jsonl').write_text('{"step": 1}')
    with pytest.raises(ValueError, match='fold-1 has no evaluation that can be read. Copy its metrics.jsonl again'):
        cross_validation._note_done(str(tmp_path / 'fold-1'), 1, ['a'], 3)
    table = cross_validation.summarize(str(tmp_path), 2)
    assert [line.split()[-2:] for line in table.splitlines()[2:4]] == [['50.00', '50.00'], ['-', '-']]
    assert cross_validation.summarize(str(tmp_path), 2, ' --trust').endswith(' --data DATA --trust')
    assert read(tmp_path, 'folds.json')['mean'] == {'mean_iou': 0.5}
    assert read(tmp_path, 'folds.json')['standard_error'] == {'mean_iou': None}
    best = {'scores': {'mean_iou': 0.5}}
    for other in (
        {},
        {'scores': {}},
        dict(best, best=best),
        dict(read(tmp_path, 'fold-1', 'fold.json'), scores={'a': 1}),
    ):
        (tmp_path / 'fold-1' / 'fold.json').write_text(json.dumps(other))
        with pytest.raises(ValueError, match='fold-1.fold.json does not say the scores of a fold. Move it away'):
            cross_validation.summarize(str(tmp_path), 2)


@pytest.mark.skipif(os.name == 'nt', reason='locks of POSIX')
def test_of_two_folds_that_end_at_once_both_are_in_the_table(tmp_path, monkeypatch):
    """Folds of one cross-validation may be trained at the same time, with --fold."""
    (tmp_path / 'folds.json').write_text('{"command": {}}')
    second, read_json = threading.Thread(target=end_fold, args=(tmp_path, 2)), cross_validation._read

    def read_while_another_ends(path):
        if path.endswith('folds.json') and not second.ident:
            second.start()
            second.join(0.2)
        return read_json(path)

    monkeypatch.setattr(cross_validation, '_read', read_while_another_ends)
    end_fold(tmp_path, 1)
    second.join()
    assert [fold['fold'] for fold in read(tmp_path, 'folds.json')['folds']] == [1, 2]


def end_fold(root, number):
    of_fold = {'scores': {'mean_iou': 0.5}, 'run': 'r', 'fold': number, 'num_images': 1, 'epoch': 1}
    (root / 'fold-{}'.format(number)).mkdir()
    (root / 'fold-{}'.format(number) / 'fold.json').write_text(json.dumps(dict(of_fold, best=of_fold)))
    cross_validation.summarize(str(root), 2)


def test_settings_that_older_folds_hold_and_that_are_said_anew_do_not_count(tmp_path, monkeypatch):
    monkeypatch.setattr(cross_validation.resolving, 'storable', vars)
    root, path = str(tmp_path / 'cv'), tmp_path / 'cv' / cross_validation.FOLDS_FILE
    cross_validation._begin(root, 2, argparse.Namespace(epochs=3))
    content = json.loads(path.read_text())
    content['command']['trust'] = True
    path.write_text(json.dumps(content))
    cross_validation._check_root(root, 2, argparse.Namespace(epochs=3))
    with pytest.raises(ValueError, match='was begun with other settings .epochs.'):
        cross_validation._check_root(root, 2, argparse.Namespace(epochs=4))

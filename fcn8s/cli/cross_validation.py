"""`fcn8s train --folds K`: K trainings, each scored on a part of the data that it has not seen.

RUN/folds.json             the settings, each fold's scores, their mean and standard error
RUN/fold-1 ... fold-K      one run each, as `fcn8s train --hold-out` makes it
RUN/fold-I/fold.json       written when that fold is done
"""

import argparse
import math
import os
import shlex
import statistics
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from fcn8s.cli.inputs.training import open_datasets
from fcn8s.cli.options import resolving
from fcn8s.cli.options.flags import flags, refuse_without
from fcn8s.cli.options.prediction import trust_words
from fcn8s.cli.terminal import program
from fcn8s.evaluation.scores import METRICS
from helpers.counted import counted
from helpers.json_files import is_number, read_json

FOLDS_FILE = 'folds.json'
FOLD_FILE = 'fold.json'
ONE_AFTER_THE_OTHER = (
    '--folds trains one network after the other, and several workers train one. Give them one with --fold I.'
)
# Options that may differ between the calls and the folds of one cross-validation.
_MAY_DIFFER = (
    'hold_out',
    'run_dir',
    'folds',
    'fold',
    'threads',
    'cache',
    'workers',
    'wire',
    'timeout',
    'of_cluster',
    'report',
    'precision',
)
# Options that choose the evaluation data themselves, or do not train.
_CONTRADICT = ('resume', 'overfit_one_batch', 'hold_out', 'val_split', 'val_images', 'val_labels')


def add_arguments(group: Any) -> None:
    """Adds --folds and --fold."""
    group.add_argument(
        '--folds',
        type=int,
        metavar='K',
        help='cross-validation: divide the training data into K parts, by folders or sequences if there are enough, '
        'and train K networks, RUN/fold-1 ..., each scored on the part it has not seen; the same command resumes',
    )
    group.add_argument('--fold', type=int, metavar='I', help='with --folds: train only the I-th network')


def is_asked_for(typed: Dict[str, Any]) -> bool:
    """Tells whether the options ask for folds. Raises ValueError for --fold alone."""
    if 'fold' in typed and 'folds' not in typed:
        refuse_without('--folds', ['--fold'])
    return 'folds' in typed


def cross_validate(
    typed: Dict[str, Any], defaults: Dict[str, Any], is_one_of_several: bool, is_first: bool, train: Callable
) -> None:
    """Trains the requested folds that are not done yet, and prints the table of scores.

    Args:
        typed: Options that were typed. defaults: Those of all options.
        is_one_of_several: Whether several workers train together. is_first: Whether this one writes.
        train: Trains with options (a Namespace) and leaves their run.

    Raises:
        ValueError: Options do not go together, or differ from those with which this cross-validation began.
    """
    options = checked_options(typed, defaults, is_one_of_several)
    number, root = typed['folds'], typed['run_dir']
    prefixes, unit, sizes = _divide(options, number)
    if is_first:
        _begin(root, number, options)
    chosen = [typed['fold']] if 'fold' in typed else range(1, number + 1)
    print('{} folds of {}: {} images'.format(number, unit, ', '.join(map(str, sizes))))
    for fold in chosen:
        place = os.path.join(root, 'fold-{}'.format(fold))
        if os.path.exists(os.path.join(place, FOLD_FILE)):
            _read_fold(os.path.join(place, FOLD_FILE))
            print('fold {} of {} is done'.format(fold, number))
            continue
        print('\nfold {} of {}, which holds out {}'.format(fold, number, counted(sizes[fold - 1], 'image')), flush=True)
        try:
            train(_options_to_go_on(typed, defaults, prefixes[fold - 1], place))
        except KeyboardInterrupt:
            print('interrupted in fold {}; the same command goes on from there'.format(fold))
            raise
        if is_first:
            _note_done(place, fold, prefixes[fold - 1], sizes[fold - 1])
    if is_first:
        print(summarize(root, number, trust_words(options.trust)))


def checked_options(typed: Dict[str, Any], defaults: Dict[str, Any], is_one_of_several: bool) -> argparse.Namespace:
    """Returns the options of a fold, of which only the part that it holds out is not known.

    Raises ValueError as `cross_validate`, before data are opened, and OSError where RUN cannot be made.
    """
    _check(typed, is_one_of_several)
    number, root = typed['folds'], typed['run_dir']
    options = _options_of_a_fold(typed, defaults, ['?'], os.path.join(root, 'fold-1'))
    _check_root(root, number, options)
    return options


def _check(typed: Dict[str, Any], is_one_of_several: bool) -> None:
    number = typed['folds']
    if number < 2:
        raise ValueError('--folds is {}; it has to be 2 or more, for example 5.'.format(number))
    if not 1 <= typed.get('fold', 1) <= number:
        raise ValueError('--fold is {}; it has to be from 1 to {}.'.format(typed['fold'], number))
    strays = [name for name in _CONTRADICT if name in typed]
    if strays:
        raise ValueError(
            '--folds evaluates each network on its part of the training data, and {} came too. Leave one out; an '
            'interrupted cross-validation goes on with the command that began it.'.format(flags(strays))
        )
    if 'run_dir' not in typed:
        raise ValueError('--folds needs --run DIR: the same command with it goes on where one was interrupted.')
    if is_one_of_several and 'fold' not in typed:
        raise ValueError(ONE_AFTER_THE_OTHER)


def _options_of_a_fold(
    typed: Dict[str, Any], defaults: Dict[str, Any], prefixes: List[str], place: str
) -> argparse.Namespace:
    own = {name: value for name, value in typed.items() if name not in ('folds', 'fold', 'run_dir')}
    return resolving.resolve(dict(own, hold_out=prefixes, run_dir=place), defaults, writes=False)


def _options_to_go_on(
    typed: Dict[str, Any], defaults: Dict[str, Any], prefixes: List[str], place: str
) -> argparse.Namespace:
    """The options of a fold, to train it from the beginning or from where it was interrupted."""
    from fcn8s.saving import runs

    if not runs.is_run(place):
        runs.check_free(place)
        return _options_of_a_fold(typed, defaults, prefixes, place)
    may_change = resolving.RESUMABLE + resolving.PLACES + ('of_cluster',)
    own = {name: typed[name] for name in may_change if name in typed and name != 'epochs'}
    return resolving.resolve(dict(own, resume=place), defaults)


def _divide(options: argparse.Namespace, number: int) -> Tuple[List[List[str]], str, List[int]]:
    """The prefixes of each fold, the unit that is never divided, and how many images each fold holds out."""
    from data_generator.files.splits import begin_with

    whole, _ = open_datasets(argparse.Namespace(**dict(vars(options), hold_out=None, val_split='', val_images=None)))
    folds = whole.folds(number, options.seed)
    sizes = [sum(begin_with(whole.pairs, prefixes)) for prefixes in folds.prefixes]
    return folds.prefixes, folds.unit, sizes


def _check_root(root: str, number: int, options: argparse.Namespace) -> None:
    """Raises ValueError where the settings differ from those written down before, OSError where none can be written."""
    from fcn8s.saving import runs
    from helpers.files import check_can_make

    path = os.path.join(root, FOLDS_FILE)
    if os.path.exists(path):
        _check_same(root, _read(path).get('command'), _settings(number, options))
        return
    if runs.is_run(root):
        raise ValueError('{} holds a run. Give --folds another --run.'.format(root))
    check_can_make(root)


def _settings(number: int, options: argparse.Namespace) -> Dict[str, Any]:
    """The settings that all folds have, as JSON holds them."""
    from helpers.files import to_json

    command = {name: value for name, value in resolving.storable(options).items() if name not in _MAY_DIFFER}
    return dict(to_json(dict(command, folds=number)))


def _check_same(root: str, known: Any, settings: Dict[str, Any]) -> None:
    if not isinstance(known, dict):
        raise ValueError(
            '{} is damaged: it has no settings. Take another --run.'.format(os.path.join(root, FOLDS_FILE))
        )
    known.pop('trust', None)  # which older ones hold; it is said anew each time
    different = sorted(
        name
        for name in set(known) | set(settings)
        if known.get(name) != settings.get(name) and not _has_moved(name, known.get(name), settings.get(name))
    )
    if different:
        raise ValueError(
            '{} was begun with other settings ({}). Give those, or another --run.'.format(root, ', '.join(different))
        )


def _begin(root: str, number: int, options: argparse.Namespace) -> None:
    """Writes the settings down, unless that was done before."""
    from helpers.files import atomic_write_json, make_directory
    from helpers.process.locks import directory_locked

    path, settings = os.path.join(root, FOLDS_FILE), _settings(number, options)
    make_directory(root)
    with directory_locked(root):  # another process may begin with another fold
        if not os.path.exists(path):
            atomic_write_json(path, {'command': settings})
    _check_same(root, _read(path).get('command'), settings)


def _has_moved(name: str, before: Any, now: Any) -> bool:
    """Tells whether a path that a cross-validation began with is gone, and another one is given now."""
    if name not in resolving.PLACES + resolving.BEGINNINGS or before is None or now is None:
        return False
    return bool(resolving.missing_places(name, before))


def _read(path: str) -> Dict[str, Any]:
    try:
        content = read_json(path)
    except ValueError as error:
        raise ValueError('{} is damaged: {}. Copy it again, or move it away.'.format(path, error)) from error
    if not isinstance(content, dict):
        raise ValueError('{} is damaged: it holds no settings. Copy it again, or move it away.'.format(path))
    return content


def _read_fold(path: str) -> Dict[str, Any]:
    """Reads what `_note_done` wrote. Raises ValueError for anything else."""
    fold = _read(path)
    best = fold.get('best')
    tables = [fold.get('scores'), best.get('scores') if isinstance(best, dict) else None]
    are_scores = all(
        isinstance(table, dict) and 'mean_iou' in table and all(v is None or is_number(v) for v in table.values())
        for table in tables
    )
    if not are_scores or not isinstance(fold.get('run'), str) or not {'fold', 'num_images', 'epoch'} <= set(fold):
        raise ValueError(
            '{} does not say the scores of a fold. Move it away; where the fold is trained, the same command writes it '
            'again.'.format(path)
        )
    return fold


def _note_done(place: str, fold: int, prefixes: List[str], size: int) -> None:
    from fcn8s.saving import runs
    from helpers.files import atomic_write_json, to_json

    recorded = runs.read_metrics(runs.open_run(place))
    records = [record for record in recorded if 'mean_iou' in (record.get('evaluation') or {})]
    if not records:
        raise ValueError(
            '{} has no evaluation that can be read. Copy its {} again, or move the fold away and train it anew.'.format(
                place, runs.METRICS_FILE
            )
        )
    best = max(records, key=_mean_iou)
    found = dict(
        fold=fold,
        run=os.path.basename(place),
        num_images=size,
        held_out=prefixes,
        epoch=records[-1].get('epoch'),
        scores=_scores_of(records[-1]),
        best=dict(epoch=best.get('epoch'), scores=_scores_of(best)),
    )
    atomic_write_json(os.path.join(place, FOLD_FILE), to_json(found))


def _mean_iou(record: Dict[str, Any]) -> float:
    """The mean IoU of an epoch; null, if no pixel of the fold counts, ranks below all."""
    value = record['evaluation']['mean_iou']
    return -math.inf if value is None else value


def _scores_of(record: Dict[str, Any]) -> Dict[str, Optional[float]]:
    return {name: record['evaluation'][name] for name in METRICS if name in record['evaluation']}


def mean_and_error(found: Sequence[Optional[float]]) -> Tuple[float, float]:
    """Returns the mean of the values that are not None, and its standard error; NaN if there are too few values."""
    values = [value for value in found if value is not None]
    if not values:
        return math.nan, math.nan
    error = math.nan if len(values) < 2 else statistics.stdev(values) / math.sqrt(len(values))
    return statistics.mean(values), error


def summarize(root: str, number: int, further: str = '') -> str:
    """Writes the scores of all finished folds into RUN/folds.json, and returns the table that is printed.

    further: what the printed command ends with.
    """
    from helpers.files import atomic_write_json, to_json
    from helpers.process.locks import directory_locked

    paths = [os.path.join(root, 'fold-{}'.format(fold), FOLD_FILE) for fold in range(1, number + 1)]
    with directory_locked(root):  # another process may finish another fold meanwhile
        done = [_read_fold(path) for path in paths if os.path.exists(path)]
        names = [name for name in METRICS if all(name in fold['scores'] for fold in done)]
        of_folds = {name: mean_and_error([fold['scores'][name] for fold in done]) for name in names}
        content = dict(
            _read(os.path.join(root, FOLDS_FILE)),
            folds=done,
            mean={name: mean for name, (mean, _) in of_folds.items()},
            standard_error={name: error for name, (_, error) in of_folds.items()},
        )
        atomic_write_json(os.path.join(root, FOLDS_FILE), to_json(content))
    return _table(root, number, done, of_folds) + further


def _table(root: str, number: int, done: List[Dict[str, Any]], of_folds: Dict[str, Tuple[float, float]]) -> str:
    from helpers.tables import align_columns

    rows = [['fold', 'images', 'epoch'] + [METRICS[name].title for name in of_folds] + ['best mean IoU']]
    for fold in done:
        scores = [_number(name, fold['scores'][name]) for name in of_folds]
        best = _number('mean_iou', fold['best']['scores']['mean_iou'])
        rows.append([str(fold['fold']), str(fold['num_images']), str(fold['epoch'])] + scores + [best])
    for title, place in (('mean', 0), ('standard error', 1)):
        values = [_number(name, pair[place]) for name, pair in of_folds.items()]
        rows.append([title, '', ''] + values + [''])
    lines = align_columns(rows)
    runs = ' '.join(shlex.quote(os.path.join(root, fold['run'])) for fold in done)
    lines += [
        '',
        'Scores after the last evaluation, in per cent but for the loss. The best one was chosen by the very images '
        'that it is of, and is too good.',
    ]
    if len(done) < number:
        lines.append('{} of {} folds are done.'.format(len(done), number))
    lines += ['scores: {}'.format(os.path.join(root, FOLDS_FILE)), 'their mean as one network, on other images:']
    return '\n' + '\n'.join(lines + ['  {} evaluate {} --data DATA'.format(program(), runs)])


def _number(name: str, value: Optional[float]) -> str:
    if value is None or math.isnan(value):
        return '-'
    return '{:.4f}'.format(value) if name == 'loss' else '{:.2f}'.format(100 * value)

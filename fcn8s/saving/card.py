"""The card of a packed network: what it is, what it was trained on and how, and how well it does."""

import re
import shlex
from typing import Any, Dict, List, Optional, Tuple

from fcn8s.saving.descriptions import SavedFCN8s
from helpers.json_files import is_number, is_share

# Options that come once for each folder.
_REPEATED = ('images', 'labels', 'val_images', 'val_labels')
# Options that are paths or say where results went, and nothing about the network.
_NOT_SHOWN = ('resume', 'run_dir', 'list_recipes', 'workers', 'cache', 'report', 'keep_checkpoints')
# Options that are refused with --images and mean nothing there, though their defaults are stored.
_OF_DATA = ('layout', 'split', 'val_split')
# Options that are refused where nothing is evaluated, though their defaults are stored.
_OF_EVALUATIONS = ('eval_every', 'eval_batch', 'eval_at_input_size', 'summary_worst')
# Names of options; what else a foreign config.json calls so could be a command of its own.
_OPTION = re.compile('[a-z][a-z0-9_]*')
# What parts of a card begin with.
_LICENCE = 'Licence: '
_SCORES = '## Scores'
_SPECIAL = '\\`*_[]<>|#'
_ESCAPED = re.compile('\\\\([{}])'.format(re.escape(_SPECIAL)))
_NOT_MEASURED = '- intervals: not measured; fcn8s pack --scores takes what fcn8s evaluate --json wrote'
# The lines that `_scores` writes.
_SCORE = re.compile(
    r'- (mean IoU|pixel accuracy): {0}( \(95 % bootstrap interval {0} to {0}, over [0-9?]+ images\))?'
    r'|- ([^{1}]|\\[{1}])+: -?\d+\.\d{{4}}, when it was saved'
    r'|{2}'.format(r'\d+\.\d\d %', re.escape(_SPECIAL), re.escape(_NOT_MEASURED))
)


def write_card(
    model: SavedFCN8s,
    config: Optional[Dict[str, Any]],
    scores: Optional[Dict[str, Any]],
    licence: Optional[str],
    earlier: str = '',
) -> str:
    """Returns the text of README.md, Markdown.

    config: `config.json` of the network's run, if there is one. scores: what `fcn8s evaluate --json` wrote.
    earlier: the card that the network came with; licence and scores are taken from it where none are given.
    """
    settings = model.settings
    lines = [
        '# FCN-{} for {} classes'.format(settings.variant, settings.num_classes),
        '',
        'A network for semantic segmentation, packed by fcn8s. `fcn8s predict THIS.zip IMAGES --out DIR` segments '
        'images; `sha256sum -c SHA256SUMS` checks the unpacked files.',
        '',
        _LICENCE + _line(licence) if licence else _licence_of(earlier),
        '',
    ]
    stated = [] if scores is not None else _scores_of(earlier)
    lines += _data_and_command(config) + (stated or _scores(model, scores)) + _classes(model) + _versions(model)
    return '\n'.join(lines).rstrip() + '\n'


def _licence_of(card: str) -> str:
    """The line of a card that states the licence."""
    stated = [line[len(_LICENCE) :] for line in card.splitlines() if line.startswith(_LICENCE)]
    return _LICENCE + (_line(_ESCAPED.sub(r'\1', stated[0])) if stated else 'not stated; ask whoever passed this on')


def _scores_of(card: str) -> List[str]:
    """The part of a card that has the scores, if it has one; what else somebody wrote there is left out."""
    _, _, rest = card.partition(_SCORES + '\n')
    lines = rest.partition('\n## ')[0].splitlines()
    kept = [line for line in lines if line.isprintable() and _SCORE.fullmatch(line)]
    return [_SCORES, '', *kept, ''] if kept else []


def _line(value: Any) -> str:
    """A value as one line of Markdown, with special characters escaped."""
    text = ''.join(character if character.isprintable() else ' ' for character in str(value))
    for character in _SPECIAL:
        text = text.replace(character, '\\' + character)
    return text


def _data_and_command(config: Optional[Dict[str, Any]]) -> List[str]:
    lines = ['## Training', '']
    if config is None:
        return lines + ['Not known: the network was saved, or taken over from another program, without a run.', '']
    command = config.get('command')
    command = command if isinstance(command, dict) else {}
    refused = _refused(command)
    command = {name: value for name, value in command.items() if name not in refused}
    named = [command[name] for name in ('layout', 'data', 'images', 'split') if command.get(name)]
    where = [str(entry) for value in named for entry in (value if isinstance(value, list) else [value])]
    lines.append('- data: {}'.format(_line(', '.join(where)) or 'given from Python'))
    lines.append('- fingerprint of the data: {}'.format(_line(config.get('dataset_fingerprint') or 'none')))
    lines.append('- recipe: {}'.format(_line(command.get('recipe') or 'none')))
    lines.append('- seed: {}'.format(_line(config.get('seed'))))
    if command:
        text = _command(command)
        lines += ['', '```', ''.join(c if c.isprintable() else ' ' for c in text), '```']
    return lines + ['']


def _refused(command: Dict[str, Any]) -> Tuple[str, ...]:
    """The stored defaults that `fcn8s train` refuses when they are typed."""
    has_folders = command.get('images')
    refused: Tuple[str, ...] = _OF_DATA if has_folders else ()
    if command.get('hold_out'):
        return refused + ('val_split',)
    evaluates = command.get('val_images') if has_folders else command.get('val_split', 'val')
    return refused if evaluates else refused + _OF_EVALUATIONS


def _command(command: Dict[str, Any]) -> str:
    words = ['fcn8s', 'train']
    for name, value in sorted(command.items()):
        if value is None or value is False or name in _NOT_SHOWN or not _OPTION.fullmatch(name):
            continue
        flag = '--' + name.replace('_', '-')
        entries = [] if value is True else value if isinstance(value, list) else [value]
        if name == 'class_weights':  # a list where they were counted from the data
            entries = [','.join(map(str, entries))]
        quoted = [shlex.quote(str(entry)) for entry in entries]
        if name in _REPEATED:
            words += [word for entry in quoted for word in (flag, entry)]
        elif isinstance(value, str) and value.startswith('-'):  # it would be read as an option
            words.append('{}={}'.format(flag, *quoted))
        else:
            words += [flag] + quoted
    return ' '.join(words)


def _scores(model: SavedFCN8s, scores: Optional[Dict[str, Any]]) -> List[str]:
    lines = [_SCORES, '']
    if scores is not None:
        lines.append('- mean IoU: {}'.format(_per_cent(scores['mean_iou'])))
        interval = scores.get('mean_iou_interval')
        is_known = isinstance(interval, dict) and all(is_share(interval.get(end)) for end in ('low', 'high'))
        if interval and is_known and interval.get('num_images') != 1:
            lines[-1] += ' (95 % bootstrap interval {} to {}, over {} images)'.format(
                _per_cent(interval['low']), _per_cent(interval['high']), _line(interval.get('num_images', '?'))
            )
        if is_share(scores.get('accuracy')):
            lines.append('- pixel accuracy: {}'.format(_per_cent(scores['accuracy'])))
        return lines + ['']
    metrics = model.description.get('metrics', {})
    known = {name: value for name, value in metrics.items() if is_number(value)}
    lines += ['- {}: {:.4f}, when it was saved'.format(_line(name), value) for name, value in sorted(known.items())]
    return lines + [_NOT_MEASURED, '']


def _per_cent(value: Any) -> str:
    return '{:.2f} %'.format(100 * value)


def _classes(model: SavedFCN8s) -> List[str]:
    space = model.settings.label_space
    lines = ['## Classes', '', '| ID | name | colour (RGB) |', '|---|---|---|']
    for class_id, (name, color) in enumerate(zip(space.class_names, space.colors)):
        void = ', left out of scores' if class_id in space.void_class_ids else ''
        lines.append('| {} | {}{} | {} {} {} |'.format(class_id, _line(name), void, *color))
    return lines + ['', 'Pixels labelled {} never count.'.format(space.ignore_id), '']


def _versions(model: SavedFCN8s) -> List[str]:
    lines = ['## Versions', '']
    lines.append('- step: {}'.format(model.description.get('global_step', 'not known')))
    if 'imported_from' in model.description:
        lines.append('- taken over from: {}'.format(_line(model.description['imported_from'])))
    for name, version in sorted(model.description.get('versions', {}).items()):
        lines.append('- {}: {}'.format(_line(name), _line(version)))
    return lines

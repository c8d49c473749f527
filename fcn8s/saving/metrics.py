"""The losses and scores of a run's epochs in `metrics.jsonl`: a JSON object a line."""

import json
import os
import warnings
from typing import Any, Dict, List, Optional

from helpers.counted import join_and_count
from helpers.files import atomic_path, to_json
from helpers.json_files import is_count, is_number, is_share
from helpers.process.memory import readable_size, require_memory

# Bytes of memory for each byte of the metrics file: as read, cut into lines, and as Python objects.
_BYTES_OF_A_BYTE = 8
# At most this many damaged lines are named by their numbers.
_MOST_NAMED = 5


def read_records(path: str) -> List[Dict[str, Any]]:
    """Returns the epochs of a file, as `fcn8s.saving.runs.read_metrics`."""
    records = [_record_in(line) for line in _lines(path)]
    damaged = [str(number) for number, record in enumerate(records, 1) if record is None]
    if damaged:
        warnings.warn(
            '{} has lines that cannot be read, which are left out: {}.'.format(
                path, join_and_count(damaged, _MOST_NAMED)
            ),
            stacklevel=1,  # always from here, so that Python shows a text once, whoever reads the file
        )
    return [record for record in records if record]


def append_record(path: str, record: Dict[str, Any]) -> None:
    """Appends an epoch, as `fcn8s.saving.runs.append_metrics`."""
    lines = _lines(path)
    if lines and not lines[-1].endswith((b'\n', b'\r')):
        lines[-1] += b'\n'
    _write_lines(path, lines + [json.dumps(to_json(record)).encode() + b'\n'])


def forget_records_after(path: str, step: int) -> List[Dict[str, Any]]:
    """Removes the epochs after a step, as `fcn8s.saving.runs.forget_metrics_after`; returns the others."""
    lines = _lines(path)
    kept = [line for line in lines if (_record_in(line) or {'step': 0})['step'] <= step]
    if kept != lines:
        _write_lines(path, kept)
    return read_records(path)


def _lines(path: str) -> List[bytes]:
    """The lines of the file with their ends; none where there is no file."""
    if not os.path.exists(path):
        return []
    if not os.path.isfile(path):  # opening a pipe would wait for a writer
        raise ValueError('{} is no file. Move it away.'.format(path))
    size = os.path.getsize(path)
    require_memory(path, _BYTES_OF_A_BYTE * size, readable_size(size) + ' of records')
    with open(path, 'rb') as file:
        return file.read().splitlines(keepends=True)


def _write_lines(path: str, lines: List[bytes]) -> None:
    """Writes a new file beside the old one and moves it into place."""
    with atomic_path(path) as temporary, open(temporary, 'wb') as file:
        file.writelines(lines)


def _record_in(line: bytes) -> Optional[Dict[str, Any]]:
    """The record of an epoch in a line; empty for a blank line, None where it cannot be read."""
    text = line.decode('utf-8-sig', errors='replace')
    if not text.strip():
        return {}
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if _is_record(record) else None


def _is_record(record: Any) -> bool:
    """Whether a line records an epoch. Its values are numbers, or null for NaN; scores are from 0 to 1; all but the
    step may be missing."""
    if not isinstance(record, dict) or not is_count(record.get('step')):
        return False
    evaluation = record.get('evaluation')
    numbers, shares = [record.get('training_loss'), record.get('learning_rate')], []
    if isinstance(evaluation, dict):
        numbers.append(evaluation.get('loss'))
        shares += [evaluation.get(name) for name in ('mean_iou', 'accuracy')]
        for name in ('per_class_iou', 'per_class_accuracy', 'precision'):
            shares += evaluation[name] if isinstance(evaluation.get(name), list) else [evaluation.get(name)]
        numbers += [count for row in _rows(evaluation.get('confusion_matrix')) for count in row]
    elif evaluation is not None:
        return False
    are_numbers = all(number is None or is_number(number) for number in numbers)
    return are_numbers and all(share is None or is_share(share) for share in shares)


def _rows(matrix: Any) -> List[List[Any]]:
    """The rows of a matrix; none for None, and for anything else one row with an entry that is no number."""
    if matrix is None:
        return []
    is_matrix = isinstance(matrix, list) and all(isinstance(row, list) and len(row) == len(matrix[0]) for row in matrix)
    return matrix if is_matrix else [['']]

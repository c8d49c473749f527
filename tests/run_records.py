"""What two trainings that took the same steps have in common."""

import json

TIMES = ('seconds', 'images_per_second', 'waiting_share')


def timeless(records):
    """Records of a run without what depends on how fast the machine was."""
    return [{key: value for key, value in record.items() if key not in TIMES} for record in records]


def timeless_file(path):
    """As `timeless`, of a `metrics.jsonl`."""
    with open(str(path)) as file:
        return timeless([json.loads(line) for line in file])

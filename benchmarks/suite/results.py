"""The JSON file of results: cases are added one by one, so that a run can be interrupted and gone on with."""

import json
import os
import statistics

FORMAT = 1
# What has to be the same for figures to stand in one file.
SAME_MACHINE = ('processor', 'flags', 'cores')


class ResultsError(ValueError):
    """A results file that cannot be used."""


def summary(rounds):
    """Metric -> median, min, max and every round, of one candidate. rounds: a dictionary of numbers each."""
    return {
        name: {
            'median': statistics.median(values),
            'min': min(values),
            'max': max(values),
            'rounds': values,
        }
        for name, values in ((name, [one[name] for one in rounds]) for name in rounds[0])
    }


def read(path):
    """The content of a results file; raises ResultsError where it is not one."""
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (OSError, ValueError) as error:
        raise ResultsError('{} cannot be read: {}.'.format(path, error)) from error
    if not isinstance(content, dict) or content.get('format') != FORMAT or not isinstance(content.get('cases'), list):
        raise ResultsError(
            '{} is not a results file of benchmarks/run.py (format {}). Give another name.'.format(path, FORMAT)
        )
    return content


def _is_enough(metrics, rounds):
    """Whether a candidate was measured in so many rounds, or failed; `metrics` are those of `summary`, or an error."""
    return 'error' in metrics or all(len(one['rounds']) >= rounds for one in metrics.values())


class Results:
    """Results of one machine, kept in a file."""

    def __init__(self, path, machine):
        self.path = path
        self.content = {'format': FORMAT, 'machine': machine, 'versions': {}, 'cases': []}
        if os.path.exists(path):
            self.content = read(path)
            self._check_machine(machine)
        elif not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise ResultsError('{} cannot be written: its folder does not exist.'.format(path))

    def _check_machine(self, machine):
        for name in SAME_MACHINE:
            if self.content['machine'].get(name) != machine[name]:
                raise ResultsError(
                    '{} was measured on another machine: {} was {} and is {}. Give another file.'.format(
                        self.path, name, self.content['machine'].get(name), machine[name]
                    )
                )

    def add_versions(self, environment, versions):
        """Notes versions; raises ResultsError where the file has figures of others in the same environment."""
        known = self.content['versions'].setdefault(environment, versions)
        if known != versions:
            raise ResultsError(
                '{} was measured with other versions ({}): {}, and now they are {}. Give another file.'.format(
                    self.path, environment, known, versions
                )
            )

    def find(self, part, settings):
        """The case with these settings, or None."""
        same = [case for case in self.content['cases'] if (case['part'], case['settings']) == (part, settings)]
        return same[0] if same else None

    def has(self, part, settings, candidates, rounds):
        """Whether a case is there with these candidates, each with at least as many rounds; one that failed counts.

        candidates: their names; () where one process measures several and names them itself: those that are there.
        """
        case = self.find(part, settings)
        if case is None:
            return False
        kept = case['candidates']
        return all(name in kept and _is_enough(kept[name], rounds) for name in candidates or kept)

    def add(self, case):
        """Puts a case in the place of one with the same settings, and writes the file."""
        old = self.find(case['part'], case['settings'])
        if old is not None:
            self.content['cases'].remove(old)
        self.content['cases'].append(case)
        beside = '{}.{}.partial'.format(self.path, os.getpid())
        with open(beside, 'w', encoding='utf-8') as file:
            json.dump(self.content, file, indent=1)
            file.write('\n')
        os.replace(beside, self.path)

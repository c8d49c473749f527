"""Measures this library beside what people would use instead, and beside the limits of the machine, into a JSON file.

    python benchmarks/run.py --out results.json [--only prediction,training] [--peers tensorflow pytorch openvino]
                             [--sizes 256x512 512x1024] [--batches 1 4] [--precisions float32 bfloat16] [--rounds 3]
                             [--cache DIR] [--python PEER=PROGRAM] [--quick] [--again]
    python benchmarks/tables.py results.json

Each measurement is a process of its own, started by this one, which holds nothing: no TensorFlow, no network, no
images. Candidates take turns, round after round; the file has the median, the extremes and every round, with the
processor, its flags, the load before and after, the versions and the commit. The file is written after each case: what
it has already is not measured again, so a run can be interrupted, and can be made in parts (--only).

Peers run in this environment where it has their packages. Else give --cache DIR, in which environments (and models) are
kept, or --python PEER=PROGRAM. --quick takes tiny networks and images, and less than two minutes; its figures say
nothing.
"""

import argparse
import os
import signal
import sys
import tempfile
import time

from suite import machine
from suite.environments import DEFAULT_PEERS, PEERS, ROOT, Environments, NoEnvironmentError, peer_of
from suite.parts import PARTS, Choice
from suite.preparation import Prepared
from suite.processes import MeasurementError, run_and_read, run_child
from suite.results import Results, ResultsError, summary

PRECISIONS = ('float32', 'bfloat16')
THIS = 'this environment'
_ASK_PRECISIONS = """
import json, sys
sys.path.insert(0, 'benchmarks')
from bench_prediction import precisions
print(json.dumps(precisions(None)))
"""


def size(text):
    """Parses (height, width) from a text such as 256x512."""
    sides = text.split('x')
    if len(sides) != 2 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError('{!r} is no size; it has to be HxW, for example 256x512.'.format(text))
    return int(sides[0]), int(sides[1])


def count(text):
    """Parses a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError('{!r} has to be a whole number of at least 1.'.format(text))
    return int(text)


def names_of(known):
    """Returns a parser of names separated by commas."""

    def parse(text):
        names = [name for name in text.split(',') if name]
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise argparse.ArgumentTypeError('{!r} is not known; choose from {}.'.format(text, ', '.join(known)))
        return names

    return parse


def interpreter(text):
    """Parses (peer, program) from PEER=PROGRAM."""
    peer, _, program = text.partition('=')
    if peer not in PEERS or not program:
        raise argparse.ArgumentTypeError(
            '{!r} has to be PEER=PROGRAM, with a peer of {}.'.format(text, ', '.join(PEERS))
        )
    return peer, program


def parse_arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', required=True, metavar='FILE', help='JSON; is added to where it exists')
    parser.add_argument('--only', type=names_of(PARTS), default=list(PARTS), metavar='PART,...', help=', '.join(PARTS))
    parser.add_argument('--peers', nargs='*', choices=PEERS, default=DEFAULT_PEERS, help='default: tensorflow')
    parser.add_argument('--sizes', type=size, nargs='+', metavar='HxW', help='default: 256x512 512x1024')
    parser.add_argument('--batches', type=count, nargs='+', metavar='N', help='default: 1 4')
    parser.add_argument('--precisions', nargs='+', choices=PRECISIONS, help='default: all that this machine has')
    parser.add_argument('--rounds', type=count, metavar='N', help='default: 3')
    parser.add_argument('--width-divisor', type=count, metavar='N', help='of VGG-16 (default: 1)')
    parser.add_argument('--cache', metavar='DIR', help='keeps environments of peers, models and exports')
    parser.add_argument('--python', type=interpreter, action='append', default=[], metavar='PEER=PROGRAM')
    parser.add_argument('--quick', action='store_true', help='tiny networks and images: tries the suite itself')
    parser.add_argument('--again', action='store_true', help='also measures what the file has')
    args = parser.parse_args(words)
    if args.cache is not None and os.path.exists(args.cache) and not os.path.isdir(args.cache):
        parser.error('--cache is {}; it has to be a folder.'.format(args.cache))
    return args


def choose(args, precisions):
    """The choice, with defaults filled in. precisions: those that this machine has."""
    for precision in args.precisions or ():
        if precision not in precisions:
            raise ResultsError('--precisions has {}, which this machine has not.'.format(precision))
    return Choice(
        args.sizes or ([(64, 128)] if args.quick else [(256, 512), (512, 1024)]),
        args.batches or ([1] if args.quick else [1, 4]),
        args.precisions or (['float32'] if args.quick else precisions),
        args.width_divisor or (64 if args.quick else 1),
        list(args.peers),
        args.quick,
    )


def available_precisions(args):
    """The precisions of this machine, which only a process with TensorFlow can tell; every machine has float32."""
    asked_for = args.precisions or (['float32'] if args.quick else PRECISIONS)
    if list(asked_for) == ['float32']:
        return ['float32']
    return run_and_read([sys.executable, '-c', _ASK_PRECISIONS])


def measure_once(case, words, python):
    """Candidate -> metrics of one process."""
    (name, *_), command = case.candidates, [python] + words
    if case.together:
        answer = run_and_read(command)
        return answer if all(isinstance(metrics, dict) for metrics in answer.values()) else {name: answer}
    if case.reads is None:
        _, passed, cpu = run_child(command)
        return {'seconds': passed, 'cpu_seconds': cpu}
    answer = run_and_read(command)
    metrics = {'seconds': answer[case.reads]}
    for ours, theirs in (('cpu_seconds', 'cpu_s_per_image'), ('peak_gb', 'peak_rss_gb')):
        if theirs in answer:
            metrics[ours] = answer[theirs]
    return metrics


class Suite:
    """Runs cases and keeps their results."""

    def __init__(self, results, environments, rounds):
        self.results, self.environments, self.rounds = results, environments, rounds
        self.errors = []

    def run(self, case, again):
        names = () if case.together else case.candidates
        if not again and self.results.has(case.part, case.settings, names, self.rounds):
            print('{}: is in the file already'.format(describe(case)), flush=True)
            return
        pythons = {name: self._python(name) for name in case.candidates}
        before, started = machine.load(), time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
        measured = self._take_turns(case, pythons)
        self.results.add(
            {
                'part': case.part,
                'settings': case.settings,
                'started': started,
                'commit': machine.commit(ROOT),
                'load': [before, machine.load()],
                'candidates': measured,
            }
        )
        print('{}: {}'.format(describe(case), in_short(measured)), flush=True)

    def _python(self, candidate):
        peer = peer_of(candidate)
        python = self.environments.python(peer)
        self.results.add_versions(THIS if python == sys.executable else peer, machine.versions(python))
        return python

    def _take_turns(self, case, pythons):
        """Candidate -> summary of its rounds, or {'error': its message}; a failed candidate is not started again."""
        rounds, errors = {}, {}
        for _ in range(self.rounds):
            for name, words in case.candidates.items():
                if name in errors:
                    continue
                try:
                    metrics = measure_once(case, words, pythons[name])
                except MeasurementError as error:
                    errors[name] = str(error)
                    self.errors.append('{}, {}: {}'.format(describe(case), name, error))
                    continue
                for candidate, numbers in (metrics if case.together else {name: metrics}).items():
                    rounds.setdefault(candidate, []).append(numbers)
        measured = {name: summary(taken) for name, taken in rounds.items() if name not in errors}
        return dict(measured, **{name: {'error': error} for name, error in errors.items()})


def describe(case):
    """A case in words."""
    settings = dict(case.settings)
    words = ['{}x{}'.format(*settings.pop('size'))] if 'size' in settings else []
    return '{} {}'.format(case.part, ' '.join(words + ['{}={}'.format(*item) for item in settings.items()]))


def in_short(measured):
    """The medians of seconds, candidate by candidate."""
    return ', '.join(
        '{} failed'.format(name)
        if 'error' in metrics
        else '{} {:.4g} s'.format(name, metrics['seconds']['median'])
        if 'seconds' in metrics
        else '{} {}'.format(name, ' '.join('{}={:.3g}'.format(key, one['median']) for key, one in metrics.items()))
        for name, metrics in measured.items()
    )


def run(args, root):
    """Runs the requested parts; returns the messages of failures."""
    environments = Environments(args.cache, dict(args.python))
    environments.check(args.peers)
    results = Results(args.out, machine.describe())
    choice = choose(args, available_precisions(args))
    made = Prepared(root, environments)
    suite = Suite(results, environments, args.rounds or (1 if args.quick else 3))
    for part in args.only:
        for case in PARTS[part](choice, made):
            suite.run(case, args.again)
    return suite.errors


def main():
    args = parse_arguments()
    try:
        if args.cache is not None:
            os.makedirs(args.cache, exist_ok=True)
            errors = run(args, args.cache)
        else:
            with tempfile.TemporaryDirectory() as root:
                errors = run(args, root)
    except (ResultsError, NoEnvironmentError, MeasurementError) as error:
        sys.exit(str(error))
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == '__main__':
    # SIGTERM raises an exception, which also ends the measured process: that would disturb the next measurement.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())

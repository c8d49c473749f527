"""The benchmarks run: every command that docs/speed.md gives for a figure, and those of the ablation, at a small size.

The command is the one in the text; the options of `SMALL` are appended. The figures themselves are not looked at: no
test depends on time.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys

import pytest

NETWORK = '--size 64 128 --width-divisor 16 '
SMALL = {
    'bench_prediction.py': NETWORK + '--rounds 1 --precision float32',
    'bench_training.py': NETWORK + '--rounds 1 --precision float32',
    'bench_plan.py': NETWORK + '--precision float32',
    'bench_video.py': NETWORK + '--rounds 1 --frames 4',
    'bench_evaluation.py': NETWORK + '--rounds 1 --images 2',
    'bench_export.py': '--size 64 128 --width-divisor 64 --rounds 1 --frames 3 --scenes 3',
    'bench_distributed.py': '--quick',
    'bench_data.py': '--size 128 256 --rounds 1 --pairs 4',
    'ablation.py': '--scenes 4 --batch 2 --epochs 1 --eval-every 1 --width-divisor 16 --only 0',
}
# What else gives a figure, and is run by a test of its own.
ELSEWHERE = ('fcn8s demo', 'python -m pytest tests/fcn8s/training/test_kill.py')


def read(root_dir, *parts):
    with open(os.path.join(root_dir, *parts), encoding='utf-8') as file:
        return file.read()


def commands_of_figures(root_dir):
    """The last column of the table under the heading "Measured"."""
    section = read(root_dir, 'docs', 'speed.md').split('\n## Measured\n')[1].split('\n## ')[0]
    rows = [line for line in section.splitlines() if line.startswith('| ')][2:]
    return [re.findall(r'`([^`]+)`', row.rsplit(' | ', 1)[1]) for row in rows]


def test_every_figure_has_a_command_that_a_test_runs(root_dir):
    found = commands_of_figures(root_dir)
    assert len(found) >= 8
    for commands in found:
        assert commands
        for command in commands:
            assert command in ELSEWHERE or shlex.split(command)[1].startswith('benchmarks/bench_'), command


def test_every_benchmark_is_run_by_these_tests(root_dir):
    scripts = {
        name
        for name in os.listdir(os.path.join(root_dir, 'benchmarks'))
        if name.startswith('bench_') or name == 'ablation.py'
    }
    assert scripts == set(SMALL)
    mentioned = {os.path.basename(shlex.split(c)[1]) for row in commands_of_figures(root_dir) for c in row}
    assert scripts - {'ablation.py'} <= mentioned


@pytest.fixture(scope='module')
def ablation(root_dir):
    spec = importlib.util.spec_from_file_location('ablation', os.path.join(root_dir, 'benchmarks', 'ablation.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_difference_to_the_baseline_is_taken_seed_by_seed(ablation):
    made = [('baseline', 0, 40), ('EMA', 0, 43), ('baseline', 1, 50), ('EMA', 1, 51), ('EMA', 2, 90)]
    outcomes = [ablation.Outcome(name, seed, [1.0, score], 7, 60.0) for name, seed, score in made]
    rows = ablation.table_of_differences(outcomes).splitlines()[2:]
    # Differences 3 and 1: mean 2, standard deviation sqrt(2), standard error 1.
    assert rows == ['| baseline | 2 | 45.00 |  |', '| EMA | 3 | 61.33 | +2.00 +- 1.00 |']
    assert ablation.table_of_runs(outcomes).splitlines()[3] == '| EMA | 0 | 1.0 43.0 | 7 | 60 |'


def test_options_that_the_ablation_does_not_know_are_those_of_training(ablation, capsys):
    args, words = ablation.parse_arguments(
        [
            '--data',
            'D',
            '--encoder',
            'E',
            '--seeds',
            '2',
            '--hold-out',
            'a',
            'b',
            '--variant',
            '16=--variant 16s --l2 1',
        ]
    )
    baseline, other = [ablation.train_options(words, variant, 5) for variant in ablation.choose(args)]
    assert baseline.hold_out == other.hold_out == ['a', 'b'] and baseline.seed == 5 and baseline.batch == 8
    assert (baseline.variant, baseline.l2, other.variant, other.l2) == (None, 0.0, '16s', 1.0)
    for wrong in ('16s', 'baseline=--l2 1', 'a=l2'):
        with pytest.raises(SystemExit):
            ablation.parse_arguments(['--variant', wrong])
        assert 'it has to be NAME=OPTIONS' in capsys.readouterr().err


def test_outcomes_that_are_kept_are_found_again_and_say_the_steps(ablation, tmp_path):
    path = str(tmp_path / 'kept.jsonl')
    args, words = ablation.parse_arguments(['--data', 'D', '--encoder', 'E', '--cpu-seconds', '9', '--results', path])
    settings = ablation.settings_of(args, ablation.BASELINE, 0)
    ablation.Results(path).add(settings, ablation.Outcome('baseline', 0, [12.5], 33, 8.5))
    results = ablation.Results(path)
    assert results.find(settings).curve == [12.5] and results.find(dict(settings, cpu_seconds=10.0)) is None
    missing = [(ablation.BASELINE, 1, ablation.settings_of(args, ablation.BASELINE, 1))]
    assert ablation.steps_for(args, words, missing, results, 100) == {'baseline': 33}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='benchmarks read the peak memory from /proc')
@pytest.mark.parametrize('script', sorted(SMALL))
def test_runs(root_dir, script):
    commands = {c for row in commands_of_figures(root_dir) for c in row} | {'python benchmarks/ablation.py'}
    assert 'python benchmarks/ablation.py' in read(root_dir, 'docs', 'ablation.md')
    commands = sorted(command for command in commands if command.split()[1] == 'benchmarks/' + script)
    assert commands
    for command in commands:
        if 'bench_export' in command and not all(map(importlib.util.find_spec, ('openvino', 'nncf'))):
            pytest.skip('openvino and nncf are not installed')
        if 'peer_pytorch' in command and importlib.util.find_spec('torch') is None:
            continue  # the tests do not install PyTorch
        result = subprocess.run(
            [sys.executable] + shlex.split(command)[1:] + shlex.split(SMALL[script]),
            cwd=root_dir,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            check=False,
        )
        assert result.returncode == 0, '{}\n{}'.format(command, result.stderr[-3000:])
        assert re.search(r'\d\.\d', result.stdout.splitlines()[-1]), result.stdout

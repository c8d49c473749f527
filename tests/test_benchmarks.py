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

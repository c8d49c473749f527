import io
import os
import re
import subprocess
import sys

import helpers
from data_generator.batches.parallel import map_in_threads
from helpers.progress import bar_options

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(helpers.__file__)))

CODE = 'from tqdm import tqdm; from helpers.progress import bar_options; list(tqdm([1, 2], **bar_options()))'


def test_no_bar_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', None)
    assert bar_options() == {'disable': True}
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    assert bar_options() == {}
    assert bar_options(False) == {'disable': True}


def test_notebooks_can_switch_bars_off(monkeypatch):
    for value, has_bar in (('1', False), ('', True)):
        monkeypatch.setenv('TQDM_DISABLE', value)
        done = subprocess.run([sys.executable, '-c', CODE], check=True, stderr=subprocess.PIPE)
        assert bool(done.stderr) == has_bar


def test_checking_a_dataset_needs_no_standard_error(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', None)
    assert map_in_threads(abs, [-1, 2], 1, 'Checking', show_progress=True) == [1, 2]


def test_every_bar_of_the_packages_has_these_options():
    """Commands need none: `fcn8s.cli.terminal.ensure_streams` gives them a standard error."""
    num_all = 0
    for package in ('helpers', 'data_generator', 'fcn8s'):
        for folder, _, names in os.walk(os.path.join(ROOT, package)):
            for path in (os.path.join(folder, name) for name in names if name.endswith('.py')):
                with open(path, encoding='utf-8') as file:
                    text = file.read()
                if os.path.join('fcn8s', 'cli') not in path:
                    num_bars = len(re.findall(r'\btqdm\(', text))
                    assert len(re.findall(r'\*\*bar_options\(', text)) == num_bars, path
                    num_all += num_bars
    assert num_all > 5

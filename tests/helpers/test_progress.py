import io
import subprocess
import sys

from helpers.progress import bar_options

CODE = 'from tqdm import tqdm; from helpers.progress import bar_options; list(tqdm([1, 2], **bar_options()))'


def test_no_bar_without_standard_error(monkeypatch):
    monkeypatch.setattr(sys, 'stderr', None)
    assert bar_options() == {'disable': True}
    monkeypatch.setattr(sys, 'stderr', io.StringIO())
    assert bar_options() == {}


def test_notebooks_can_switch_bars_off(monkeypatch):
    for value, has_bar in (('1', False), ('', True)):
        monkeypatch.setenv('TQDM_DISABLE', value)
        done = subprocess.run([sys.executable, '-c', CODE], check=True, stderr=subprocess.PIPE)
        assert bool(done.stderr) == has_bar

import contextlib
import gc
import os
import sys
import time

import hypothesis
import pytest

# No test depends on time: a machine may be busy with others.
hypothesis.settings.register_profile('untimed', deadline=None)
hypothesis.settings.load_profile('untimed')

LONGEST = ('test_tutorial.py', 'test_demo.py', 'test_benchmarks.py', 'test_model.py')
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FSYNC = os.fsync


def pytest_configure(config):
    # Tests start command lines and scripts in processes of their own; these find the packages wherever they run.
    paths = [ROOT] + [path for path in os.environ.get('PYTHONPATH', '').split(os.pathsep) if path]
    os.environ['PYTHONPATH'] = os.pathsep.join(dict.fromkeys(paths))
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    _forget_terminal_size()
    os.fsync = lambda descriptor: None  # no test outlasts the power of its machine; disks take seconds of each minute
    if hasattr(config.option, 'loadscopereorder'):  # several processes begin with the files of the most tests otherwise
        config.option.loadscopereorder = False


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """What `-n auto` means: one process more than processors, since many tests wait for processes of their own."""
    return int(os.environ.get('PYTEST_XDIST_AUTO_NUM_WORKERS') or (os.cpu_count() or 1) + 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The last xdist for Python 3.7 begins with the files of the most tests, and has no option that leaves the order."""
    if hasattr(config.option, 'loadscopereorder') or config.getvalue('dist') != 'loadfile':
        return None
    from xdist.scheduler import LoadFileScheduling

    class InOrder(LoadFileScheduling):
        def _assign_work_unit(self, node):
            if not any(self.assigned_work.values()):  # the first file of all
                files = dict.fromkeys(self._split_scope(nodeid) for nodeid in self.collection)
                self.workqueue = type(self.workqueue)((file, self.workqueue[file]) for file in files)
            super()._assign_work_unit(node)

    return InOrder(config, log)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, the longest before all, so that no process is left with one of them alone."""
    slow = {str(item.fspath) for item in items if item.get_closest_marker('slow')}
    items.sort(key=lambda item: (item.fspath.basename not in LONGEST, str(item.fspath) not in slow))


def pytest_collection_finish():
    """What was imported stays: the garbage collector need not look through it at each graph that a test builds, nor as
    often: a graph has some 100,000 objects, and a collection begins with 700."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(7000)


def _forget_terminal_size():
    """Commands fit their lines to COLUMNS, and a runner may set it: tests that are about it say so themselves.

    The readline library sets it too, for child processes only, when somebody imports it: so it is imported now.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401
    for name in ('COLUMNS', 'LINES'):
        os.environ.pop(name, None)
        os.unsetenv(name)


@pytest.fixture
def real_fsync(monkeypatch):
    """Has files written to the disk, as everywhere but in tests."""
    monkeypatch.setattr(os, 'fsync', FSYNC)


@pytest.fixture(scope='session', autouse=True)
def _caches(tmp_path_factory):
    """What is kept for the next process is kept here, not in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('caches')))
        yield


@pytest.fixture(scope='session')
def root_dir():
    """The folder that setup.py is in."""
    return ROOT


@pytest.fixture(scope='session')
def tiny_encoder(tmp_path_factory):
    """A VGG-16 encoder SavedModel, a sixteenth as wide, with random weights."""
    from fcn8s.vgg16.write import write_encoder

    path = str(tmp_path_factory.mktemp('encoder') / 'vgg16')
    write_encoder(path, weights='random', width_divisor=16, seed=0)
    return path


@pytest.fixture(scope='session')
def shallow_encoder(tmp_path_factory):
    """As `tiny_encoder`, with one convolution a block: for tests of what happens around the network."""
    from shallow_encoders import write_shallow_encoder

    path = str(tmp_path_factory.mktemp('shallow') / 'vgg16')
    write_shallow_encoder(path, width_divisor=16)
    return path


@pytest.fixture(scope='session')
def narrow_encoder(tmp_path_factory):
    """A VGG-16 encoder SavedModel, a sixty-fourth as wide, with random weights."""
    from fcn8s.vgg16.write import write_encoder

    path = str(tmp_path_factory.mktemp('narrow') / 'vgg16')
    write_encoder(path, weights='random', width_divisor=64, seed=0)
    return path


@pytest.fixture(scope='session')
def other_python():
    """A Python with the other TensorFlow generation in it, named by FCN8S_OTHER_PYTHON."""
    path = os.environ.get('FCN8S_OTHER_PYTHON')
    if not path:
        pytest.skip('FCN8S_OTHER_PYTHON names no Python with the other TensorFlow generation')
    for _ in range(600):  # .ci/run makes it while the first tests run
        if os.path.isfile(path):
            break
        time.sleep(1)
    assert os.path.isfile(path), path
    assert os.path.realpath(path) != os.path.realpath(sys.executable)
    return path

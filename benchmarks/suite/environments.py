"""The Python that each candidate runs in: this one where it has the packages, else one that is made on request."""

import importlib.util
import os
import shutil
import subprocess
import sys
from typing import NamedTuple, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Peer(NamedTuple):
    """Who is measured beside this library.

    candidates: as they are called in the results. packages: that pip installs where `modules` cannot be imported.
    """

    candidates: Tuple[str, ...]
    modules: Tuple[str, ...] = ()
    packages: Tuple[str, ...] = ()


TENSORFLOW_1 = 'tensorflow1'
# What the options of benchmarks/run.py call them. Bare TensorFlow and tf.data are wherever the library is.
PEERS = {
    'tensorflow': Peer(('bare TensorFlow', 'tf.data')),
    TENSORFLOW_1: Peer(('fcn8s on TensorFlow 1.15',), packages=('-e', ROOT + '[cpu]')),
    'pytorch': Peer(('PyTorch eager',), ('torch',), ('torch',)),
    'pytorch-channels-last': Peer(('PyTorch channels_last',), ('torch',), ('torch',)),
    'pytorch-compiled': Peer(('PyTorch compiled',), ('torch',), ('torch',)),
    'onnxruntime': Peer(('ONNX Runtime',), ('onnxruntime', 'tf2onnx'), ('onnxruntime', 'tf2onnx', 'onnx')),
    'openvino': Peer(('OpenVINO',), ('openvino',), ('openvino',)),
    'dataloader': Peer(('torch DataLoader',), ('torch', 'albumentations'), ('torch', 'albumentations')),
}
DEFAULT_PEERS = ('tensorflow',)


class NoEnvironmentError(ValueError):
    """An environment that is needed and cannot be had."""


def peer_of(candidate):
    """The name of the peer that a candidate belongs to; None for this library here."""
    found = [name for name, peer in PEERS.items() if candidate in peer.candidates]
    return found[0] if found else None


def is_here(name):
    """Whether the running environment has what a peer needs; nothing is imported to find out."""
    return name != TENSORFLOW_1 and all(importlib.util.find_spec(module) for module in PEERS[name].modules)


class Environments:
    """Interpreters of peers.

    cache: a folder in which environments are made and found again; None makes none. given: peer -> interpreter that the
    caller names.
    """

    def __init__(self, cache, given):
        self.cache, self.given = cache, given

    def check(self, names):
        """Raises NoEnvironmentError for a peer that is neither here nor can be made; makes nothing."""
        for name in names:
            if name in self.given:
                if not os.access(self.given[name], os.X_OK):
                    raise NoEnvironmentError(
                        '--python {}={}: there is no program of that name.'.format(name, self.given[name])
                    )
            elif not is_here(name) and self.cache is None:
                raise NoEnvironmentError(
                    'The peer {} needs packages that are not here: {}. Give --cache DIR, and an environment is made '
                    'there; or --python {}=PROGRAM for one that you have.'.format(
                        name, ' '.join(PEERS[name].packages), name
                    )
                )
            elif name == TENSORFLOW_1 and not os.path.exists(self._made(name)):
                find_python37()

    def python(self, name):
        """The interpreter of a peer; makes its environment where there is none yet, with pip."""
        if name is None or name not in self.given and is_here(name):
            return sys.executable
        return self.given.get(name) or self._make(name)

    def _made(self, name):
        """Peers that need the same packages share an environment."""
        folder = '-'.join(PEERS[name].modules) or name
        return os.path.join(self.cache, 'environments', folder, 'bin', 'python')

    def _make(self, name):
        """The folder gets its name when everything is installed, so that half an environment is never found again."""
        python = self._made(name)
        if os.path.exists(python):
            return python
        folder = os.path.dirname(os.path.dirname(python))
        shutil.rmtree(folder + '.partial', ignore_errors=True)
        base = find_python37() if name == TENSORFLOW_1 else sys.executable
        _run([base, '-m', 'venv', folder + '.partial'])
        inside = os.path.join(folder + '.partial', 'bin', 'python')
        if name != TENSORFLOW_1:
            _see_this_environment(inside)
        _run([inside, '-m', 'pip', 'install', '--quiet', *PEERS[name].packages])
        os.replace(folder + '.partial', folder)
        return python


def _see_this_environment(python):
    """Lets a new environment import what the running one has, so that only what is missing is installed."""
    ask = 'import sysconfig; print(sysconfig.get_paths()["purelib"])'
    theirs = subprocess.run([python, '-c', ask], check=True, stdout=subprocess.PIPE).stdout.decode().strip()
    ours = [path for path in sys.path if os.path.basename(path) in ('site-packages', 'dist-packages')]
    with open(os.path.join(theirs, 'this_environment.pth'), 'w', encoding='utf-8') as file:
        file.write('\n'.join(ours) + '\n')


def find_python37():
    """A Python 3.7, on the PATH or kept by pyenv; raises NoEnvironmentError where there is none."""
    candidates = [shutil.which('python3.7')]
    if shutil.which('pyenv'):
        listed = subprocess.run(['pyenv', 'versions', '--bare'], check=False, stdout=subprocess.PIPE).stdout.decode()
        prefix = subprocess.run(['pyenv', 'root'], check=False, stdout=subprocess.PIPE).stdout.decode().strip()
        versions = [line.strip() for line in listed.splitlines() if line.strip().startswith('3.7.')]
        candidates += [os.path.join(prefix, 'versions', version, 'bin', 'python3.7') for version in versions[::-1]]
    for program in filter(None, candidates):
        # pyenv's shim is there also where no version is chosen, and then fails.
        if subprocess.run([program, '-c', ''], check=False, stderr=subprocess.DEVNULL).returncode == 0:
            return program
    raise NoEnvironmentError(
        'The peer {0} needs Python 3.7, and none was found, neither on the PATH nor in pyenv. Install it, or give '
        '--python {0}=PROGRAM.'.format(TENSORFLOW_1)
    )


def _run(command):
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise NoEnvironmentError('{} failed:\n{}'.format(' '.join(command), done.stdout.decode()[-2000:]))

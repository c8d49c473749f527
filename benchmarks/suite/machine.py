"""What a figure was measured on: the processor, its flags, memory, load, versions and commit."""

import json
import os
import platform
import subprocess

# What decides how fast convolutions are; the rest of the flags is left out.
FLAGS = (
    *('sse4_2', 'fma', 'f16c', 'avx', 'avx2', 'avx_vnni', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl'),
    *('avx512_vnni', 'avx512_bf16', 'avx512_fp16', 'amx_tile', 'amx_int8', 'amx_bf16'),
    *('asimd', 'bf16', 'i8mm', 'sve'),
)
PACKAGES = ('tensorflow', 'torch', 'onnxruntime', 'openvino', 'albumentations', 'numpy', 'opencv-python-headless')
# Runs in the environment it asks about, on Python 3.7 too.
_ASK_VERSIONS = """
import json, platform, sys
try:
    from importlib.metadata import version, PackageNotFoundError
except ImportError:
    from pkg_resources import get_distribution, DistributionNotFound as PackageNotFoundError
    version = lambda name: get_distribution(name).version
found = {'python': platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def describe():
    """The processor and the system, as a dictionary for JSON."""
    name, flags = _processor()
    return {
        'processor': name,
        'flags': [flag for flag in FLAGS if flag in flags],
        'cores': _cores(),
        'memory_gb': round(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9, 1),
        'system': platform.platform(),
        'huge_pages': _read('/sys/kernel/mm/transparent_hugepage/enabled').strip(),
    }


def load():
    """The load average of the last minute: processes that ran or wanted to."""
    return round(os.getloadavg()[0], 2)


def versions(python):
    """Package -> version in the environment of an interpreter, of those that matter here."""
    asked = subprocess.run([python, '-c', _ASK_VERSIONS, *PACKAGES], check=True, stdout=subprocess.PIPE)
    return json.loads(asked.stdout.decode())


def commit(root):
    """The commit of a checkout, with '+' where files were changed; None outside git."""
    try:
        head = _git(root, 'rev-parse', '--short=12', 'HEAD')
        return head + ('+' if _git(root, 'status', '--porcelain', '--untracked-files=no') else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root, *words):
    done = subprocess.run(('git',) + words, cwd=root, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode().strip()


def _cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()


def _processor():
    """(name, its flags), from Linux; elsewhere what Python knows."""
    fields = {}
    for line in _read('/proc/cpuinfo').splitlines():
        name, _, value = line.partition(':')
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get('flags', fields.get('Features', ''))
    return fields.get('model name') or platform.processor() or platform.machine(), set(flags.split())


def _read(path):
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''

"""Trees of control groups as kernel, Docker, Kubernetes and Slurm make them, in a folder of the test."""

import os

import pytest

from helpers.process import control_groups, cores, memory

GB = 10**9
NO_LIMIT_OF_VERSION_1 = str(2**63 - 4096)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Returns a function that makes the tree: what /proc/self/cgroup says, and the content of files by their path."""

    def make(own, files):
        (tmp_path / 'own').write_text(own)
        for name, content in files.items():
            (tmp_path / 'fs' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'fs' / name).write_text(content + '\n')

    monkeypatch.setattr(control_groups, '_ROOT', str(tmp_path / 'fs'))
    monkeypatch.setattr(control_groups, '_OWN', str(tmp_path / 'own'))
    return make


def version_2(folder, limit, usage, inactive, quota):
    stat = 'anon 5\ninactive_file {}\nfile 7'.format(inactive)
    files = {'memory.max': limit, 'memory.current': usage, 'memory.stat': stat, 'cpu.max': quota}
    return {os.path.join(folder, name): content for name, content in files.items()}


def version_1(folder, limit, usage, inactive, quota):
    stat = 'inactive_file 1\ntotal_inactive_file {}'.format(inactive)
    files = {'limit_in_bytes': limit, 'usage_in_bytes': usage, 'stat': stat}
    made = {'memory/{}/memory.{}'.format(folder, name): content for name, content in files.items()}
    times = {'quota': quota, 'period': '100000'}
    return dict(made, **{'cpu/{}/cpu.cfs_{}_us'.format(folder, name): content for name, content in times.items()})


OF_VERSION_1 = '9:name=systemd:/a\n4:memory:/{0}\n3:cpu,cpuacct:/{0}\n0::/\n'


@pytest.mark.parametrize(
    ('own', 'files', 'limit', 'left', 'time'),
    [
        # A container with a namespace of its own sees itself at the top.
        ('0::/\n', version_2('', str(4 * GB), str(GB), GB // 2, '150000 100000'), 4 * GB, 3.5 * GB, 1.5),
        # A service: its own group has no limit, the one above has, and one beside it is not its own.
        (
            '0::/user.slice/job.scope\n',
            dict(
                version_2('user.slice/job.scope', 'max', str(GB), 0, 'max 100000'),
                **version_2('user.slice', str(8 * GB), str(2 * GB), GB, '300000 100000'),
                **version_2('other.slice', str(GB), '0', 0, '100000 100000'),
            ),
            8 * GB,
            7 * GB,
            3.0,
        ),
        # The tighter of two; the room is less in the outer one, which others fill.
        (
            '0::/outer/inner:with a colon\n',
            dict(
                version_2('outer/inner:with a colon', str(3 * GB), str(GB), 0, '50000 100000'),
                **version_2('outer', str(8 * GB), str(7 * GB), 0, '400000 100000'),
            ),
            3 * GB,
            GB,
            0.5,
        ),
        (OF_VERSION_1.format('job'), version_1('job', str(2 * GB), str(GB), 10**8, '250000'), 2 * GB, 1.1 * GB, 2.5),
        # Docker without namespaces of groups: the path is that of the host, the files lie at the top.
        (OF_VERSION_1.format('docker/ab12'), version_1('', str(2 * GB), str(GB), 0, '100000'), 2 * GB, GB, 1.0),
        (OF_VERSION_1.format('job'), version_1('job', NO_LIMIT_OF_VERSION_1, str(GB), 0, '-1'), None, None, None),
        # Outside of what the process sees.
        ('0::/../../sibling\n', version_2('', 'max', str(GB), 0, 'max 100000'), None, None, None),
        ('0::/\n', {'memory.max': str(GB)}, GB, None, None),
        ('0::/\n', {'memory.max': '', 'cpu.max': 'x'}, None, None, None),
        ('', {}, None, None, None),
    ],
)
def test_limits_are_those_of_the_group_and_the_groups_above_it(tree, own, files, limit, left, time):
    tree(own, files)
    assert control_groups.memory_limit() == limit
    assert control_groups.memory_left() == left
    assert control_groups.cores_limit() == time


def test_without_groups_the_machine_is_the_limit(tree):
    assert control_groups.memory_limit() is control_groups.memory_left() is control_groups.cores_limit() is None
    assert memory.total_memory() == os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    assert cores.num_cores() == len(cores.available_cores())


@pytest.mark.parametrize(('quota', 'expected'), [('10000', 1), ('150000', 2), ('200000', 2), ('9900000', 3)])
def test_the_smaller_of_machine_and_container_counts(tree, monkeypatch, quota, expected):
    tree('0::/\n', version_2('', str(10**6), '999999', 0, quota + ' 100000'))
    monkeypatch.setattr(cores, 'available_cores', lambda: [0, 2, 5])
    assert cores.num_cores() == expected
    assert memory.total_memory() == 10**6 and memory.free_memory() == 1
    with pytest.raises(ValueError, match=r'a.png holds an image, which take 134.2 MB of memory, and 1 B are free'):
        memory.require_memory('a.png', 2**27, 'an image')
    tree('0::/\n', version_2('', str(2**59), '0', 0, 'max 100000'))
    assert memory.total_memory() == os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')

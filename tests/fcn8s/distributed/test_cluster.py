"""The cluster that the environment describes."""

import json

import pytest

from fcn8s.distributed.cluster import Cluster, cluster_from_environment, split_address, tf_config

SLURM = {
    'SLURM_STEP_NUM_TASKS': '5',
    'SLURM_PROCID': '3',
    'SLURM_STEP_NODELIST': 'gpu[08-09],big-[1]x',
    'SLURM_STEP_TASKS_PER_NODE': '2(x2),1',
    'SLURM_JOB_ID': '12',
    'SLURMD_NODENAME': 'gpu09',
}
PODS = {
    'JOB_COMPLETION_INDEX': '1',
    'FCN8S_WORKERS': '3',
    'FCN8S_SERVICE': 'trainers',
    'HOSTNAME': 'fcn-run-1',
}


def config(workers=('a:1', 'b:2'), task=('worker', 1), **more):
    task = task if isinstance(task, dict) else dict(zip(('type', 'index'), task))
    described = {'cluster': {'worker': list(workers)}, 'task': task}
    return {'TF_CONFIG': json.dumps(dict(described, **more))}


def test_reads_tf_config_and_writes_what_it_reads():
    cluster = cluster_from_environment(config())
    assert cluster == Cluster(('a:1', 'b:2'), 1, 'TF_CONFIG')
    assert cluster.size == 2 and not cluster.is_first and cluster.name(0) == 'worker 0 (a:1)'
    assert cluster_from_environment({'TF_CONFIG': tf_config(('a:1', 'b:2'), 1)}) == cluster
    with_chief = config(cluster={'chief': ['c:1'], 'worker': ['a:1', 'b:2']}, task={'type': 'worker', 'index': '1'})
    assert cluster_from_environment(with_chief) == Cluster(('c:1', 'a:1', 'b:2'), 2, 'TF_CONFIG')


@pytest.mark.parametrize('text', ['', ' ', '{}', '{"cluster": {}, "task": {}}', '{"environment": "cloud"}'])
def test_tf_config_without_a_cluster_is_one_process(text):
    assert cluster_from_environment({'TF_CONFIG': text}) is None


def test_one_worker_is_one_process():
    assert cluster_from_environment(config(['a:1'], ('worker', 0))) is None
    assert cluster_from_environment({'SLURM_STEP_NUM_TASKS': '1', 'SLURM_PROCID': '0'}) is None
    assert cluster_from_environment({'SLURM_NTASKS': '4', 'SLURM_PROCID': '0'}) is None  # the script of sbatch
    assert cluster_from_environment({}) is None


@pytest.mark.parametrize(
    'environ, message',
    [
        (
            {'TF_CONFIG': '{cluster'},
            r"TF_CONFIG is '{cluster': it has to be JSON \(.*\). Correct it, unset it, or pass",
        ),
        ({'TF_CONFIG': '[]'}, 'it has to be a JSON table with "cluster" and "task"'),
        ({'TF_CONFIG': '[' * 100000}, 'it has to be JSON'),
        (config(task=()), 'it has to say which worker this process is: "task": {"type": "worker", "index": 0}'),
        (config(task={'type': 'worker'}), 'it has to say which worker'),
        (config(task=('ps', 0)), 'the type of "task" is \'ps\'; it has to be "worker"'),
        (config(task=('worker', 2)), 'the index of "task" is 2; it has to be from 0 to 1'),
        (config(task=('worker', True)), 'the index of "task" is True; it has to be'),
        (config(cluster={'ps': ['a:1'], 'worker': ['b:1']}), r'"cluster" has .*; it has to have "worker"'),
        (config(cluster=['a:1']), '"cluster" has .*it has to have "worker"'),
        (config(['a', 'b:2']), '"worker" is .*; it has to be a list of "host:port"'),
        (config(['a:1', 'a:1']), 'the address a:1 is there twice; each worker needs its own'),
        (dict(SLURM, SLURM_PROCID='5'), "SLURM_PROCID is '5'; it has to be a whole number from 0 to 4"),
        (dict(SLURM, SLURM_STEP_NODELIST='gpu[8-'), 'SLURM_STEP_NODELIST is .*; it has to be nodes like'),
        (dict(SLURM, SLURM_STEP_NODELIST='gpu[1-99999]'), 'SLURM_STEP_NODELIST is .*; it has to be nodes like'),
        (dict(SLURM, SLURM_STEP_TASKS_PER_NODE='two'), "SLURM_STEP_TASKS_PER_NODE is 'two'; it has to be numbers"),
        (dict(SLURM, SLURM_STEP_TASKS_PER_NODE='3,1,2'), 'the 3 nodes .* and the 5 tasks .*; the three have to agree'),
        (
            dict(SLURM, SLURMD_NODENAME='gpu08'),
            r'runs task 3 on gpu08, .* which would be gpu09. .*--distribution=block',
        ),
        (dict(SLURM, SLURM_STEP_NODELIST=''), 'SLURM_STEP_NODELIST is not set, and the other variables'),
        (dict(PODS, FCN8S_SERVICE=''), 'FCN8S_SERVICE is not set'),
        (dict(PODS, HOSTNAME='elsewhere'), "HOSTNAME is 'elsewhere'; in pod 1 of an Indexed Job it has to be JOB-1"),
        (dict(PODS, FCN8S_PORT='x'), "FCN8S_PORT is 'x'; it has to be a whole number from 1 to 65535"),
        (dict(PODS, JOB_COMPLETION_INDEX='3'), "JOB_COMPLETION_INDEX is '3'; it has to be a whole number from 0 to 2"),
    ],
)
def test_refuses_a_description_that_cannot_be(environ, message):
    with pytest.raises(ValueError, match=message):
        cluster_from_environment(environ)


def test_reads_the_variables_of_srun():
    cluster = cluster_from_environment(SLURM)
    port = int(cluster.addresses[0].split(':')[1])
    nodes = [('gpu08', 0), ('gpu08', 1), ('gpu09', 0), ('gpu09', 1), ('big-1x', 0)]
    assert cluster == Cluster(tuple('{}:{}'.format(node, port + i) for node, i in nodes), 3, 'SLURM')
    assert (cluster.local_index, cluster.local_size) == (1, 2)
    assert cluster_from_environment(dict(SLURM, SLURM_JOB_ID='13')).addresses[0] != cluster.addresses[0]
    assert cluster_from_environment(dict(SLURM, FCN8S_PORT='7000')).addresses[3] == 'gpu09:7001'
    assert cluster_from_environment(dict(SLURM, SLURM_STEP_RESV_PORTS='9000-9001')).addresses[0] == 'gpu08:9000'


def test_reads_the_variables_of_an_indexed_job():
    cluster = cluster_from_environment(PODS)
    assert cluster.addresses == tuple('fcn-run-{}.trainers:2222'.format(pod) for pod in range(3))
    assert (cluster.worker, cluster.source) == (1, 'Kubernetes')
    independent = {name: value for name, value in PODS.items() if name != 'FCN8S_WORKERS'}
    assert cluster_from_environment(independent) is None


def test_tf_config_comes_first():
    assert cluster_from_environment(dict(SLURM, **dict(PODS, **config()))).source == 'TF_CONFIG'
    assert cluster_from_environment(dict(SLURM, **PODS)).source == 'SLURM'


def test_splits_addresses():
    assert split_address('node-1.svc:2222') == ('node-1.svc', 2222)
    assert split_address('[::1]:80') == ('::1', 80)


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(wire='int8'), "wire is 'int8'; choose from"),
        (dict(timeout=0), 'timeout is 0; it has to be a number of seconds of at least 1'),
    ],
)
def test_settings_that_cannot_be_are_refused_by_a_single_process_too(settings, message):
    from fcn8s.distributed.workers import DistributedSettings, cluster_settings

    with pytest.raises(ValueError, match=message):
        cluster_settings(DistributedSettings(**settings))

"""docs/several-workers.md: its scripts and its manifest can be read, and say which workers there are."""

import re
import subprocess

import pytest
from workplace import read_page

from fcn8s.distributed.cluster import cluster_from_environment


@pytest.fixture(scope='module')
def page():
    return read_page('several-workers.md')


def blocks(page, language):
    return re.findall(r'^```{}\n(.*?)^```'.format(language), page, re.MULTILINE | re.DOTALL)


def test_scripts_are_bash(page):
    scripts = blocks(page, 'bash')
    assert len(scripts) == 2
    for script in scripts:
        subprocess.run(['bash', '-n'], input=script, universal_newlines=True, check=True)


def test_tf_config(page):
    cluster = cluster_from_environment({'TF_CONFIG': re.search(r"TF_CONFIG='(.*?)'", page).group(1)})
    assert cluster.addresses == ('node1:2222', 'node2:2222') and cluster.is_first


def test_the_script_for_slurm(page):
    script = blocks(page, 'bash')[1]
    nodes, tasks = (
        int(re.search(r'#SBATCH --{}=(\d+)'.format(name), script).group(1)) for name in ('nodes', 'ntasks-per-node')
    )
    assert '--distribution=block' in script
    step = {
        'SLURM_JOB_ID': '7',
        'SLURM_STEP_NUM_TASKS': str(nodes * tasks),
        'SLURM_STEP_NODELIST': 'n[1-{}]'.format(nodes),
        'SLURM_STEP_TASKS_PER_NODE': '{}(x{})'.format(tasks, nodes),
        'SLURM_PROCID': '2',
    }
    assert [address.split(':')[0] for address in cluster_from_environment(step).addresses] == ['n1', 'n1', 'n2', 'n2']


def test_the_manifest_for_kubernetes(page):
    yaml = pytest.importorskip('yaml')
    service, job = yaml.safe_load_all(blocks(page, 'yaml')[0])
    assert service['kind'] == 'Service' and service['spec']['clusterIP'] == 'None'
    assert job['kind'] == 'Job' and job['spec']['completionMode'] == 'Indexed'
    assert job['spec']['completions'] == job['spec']['parallelism']
    name, pods = job['metadata']['name'], job['spec']['template']['spec']
    assert service['spec']['selector'] == {'job-name': name} and pods['subdomain'] == service['metadata']['name']
    environment = {entry['name']: entry['value'] for entry in pods['containers'][0]['env']}
    pod = dict(environment, JOB_COMPLETION_INDEX='3', HOSTNAME=name + '-3')
    port = service['spec']['ports'][0]['port']
    expected = ['{}-{}.{}:{}'.format(name, number, pods['subdomain'], port) for number in range(4)]
    assert list(cluster_from_environment(pod).addresses) == expected

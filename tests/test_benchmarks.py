"""The benchmarks run: every command that docs/speed.md gives for a figure, and those of the ablation, at a small size.

The command is the one in the text; the options of `SMALL` are appended. The figures themselves are not looked at: no
test depends on time.
"""

import importlib
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import time

import numpy as np
import pytest
from thorough import THOROUGH, ran_once

NETWORK = '--size 64 128 --width-divisor 16 '
SMALL = {
    'bench_prediction.py': NETWORK + '--rounds 1 --precision float32',
    'bench_training.py': NETWORK + '--rounds 1 --precision float32',
    'bench_plan.py': NETWORK + '--precision float32',
    'bench_video.py': NETWORK + '--rounds 1 --frames 4',
    'bench_evaluation.py': NETWORK + '--rounds 1 --images 2',
    'bench_export.py': '--size 64 128 --width-divisor 64 --rounds 1 --frames 3 --scenes 3 --formats openvino '
    '--precisions int8 --only sizes,engine,video',
    'bench_distributed.py': '--quick',
    'bench_losses.py': '--size 2 16 16 --rounds 1',
    'bench_data.py': '--size 128 256 --rounds 1 --pairs 4',
    'ablation.py': '--scenes 4 --batch 2 --epochs 1 --eval-every 1 --width-divisor 16 --only 0',
}
# Their processes take turns in one, so that TensorFlow is imported once. The others are few, or their number is the point.
IN_ONE_PROCESS = dict.fromkeys(
    ('evaluation', 'export', 'plan', 'prediction', 'training', 'video'),
    [os.path.join(os.path.dirname(os.path.abspath(__file__)), 'in_one_process.py')],
)
# What else gives a figure, and is run by a test of its own.
ELSEWHERE = (
    'fcn8s demo',
    'FCN8S_THOROUGH=1 python -m pytest tests/fcn8s/training/test_kill.py',
    'python benchmarks/run.py --out results.json --only start-up',
)


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


def test_variants_that_contradict_the_options_of_all_are_left_out_unless_they_were_asked_for(ablation, capsys):
    words = ['--data', 'D', '--encoder', 'E', '--loss', 'dice']
    names = [variant.name for variant in ablation.trainable(words, list(ablation.VARIANTS), True)]
    assert names == [variant.name for variant in ablation.VARIANTS if '--normalize sum' not in variant.options]
    assert 'left out: loss summed over pixels (Adam): ' in capsys.readouterr().out
    with pytest.raises(ValueError, match='sum'):
        ablation.trainable(words, list(ablation.VARIANTS), False)
    with pytest.raises(ValueError, match='sum'):
        ablation.trainable(words + ['--normalize', 'sum'], list(ablation.VARIANTS), True)


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


def test_options_of_the_ablation_may_have_their_value_behind_an_equals_sign(ablation, tmp_path):
    args, words = ablation.parse_arguments(['--data=D', '--layout=camvid', '--encoder=E', '--recipe=camvid'])
    assert ablation.with_data(args, words, str(tmp_path)) == words == args.said
    found, expected = [
        ablation.train_options(given, ablation.BASELINE, 0)
        for given in (words, ['--data', 'D', '--layout', 'camvid', '--encoder', 'E', '--recipe', 'camvid'])
    ]
    assert vars(found) == vars(expected)


def test_outcomes_that_are_kept_are_found_again_and_say_the_steps(ablation, tmp_path):
    path = str(tmp_path / 'kept.jsonl')
    args, words = ablation.parse_arguments(['--data', 'D', '--encoder', 'E', '--cpu-seconds', '9', '--results', path])
    settings = ablation.settings_of(args, ablation.BASELINE, 0)
    ablation.Results(path).add(settings, ablation.Outcome('baseline', 0, [12.5], 33, 8.5))
    results = ablation.Results(path)
    assert results.find(settings).curve == [12.5] and results.find(dict(settings, cpu_seconds=10.0)) is None
    missing = [(ablation.BASELINE, 1, ablation.settings_of(args, ablation.BASELINE, 1))]
    assert ablation.steps_for(args, words, missing, results, 100) == {'baseline': 33}


def test_every_script_says_what_it_takes(root_dir):
    folder = os.path.join(root_dir, 'benchmarks')
    for name in sorted(os.listdir(folder)):
        text = read(root_dir, 'benchmarks', name) if name.endswith('.py') else ''
        # What floors and readers are called with is parsed by a function that they share.
        assert '__main__' not in text or re.search(r'ArgumentParser\(|parse_\w+_arguments\(__doc__', text), name


@pytest.fixture()
def suite_run(root_dir, monkeypatch):
    """benchmarks/run.py as a module."""
    monkeypatch.syspath_prepend(os.path.join(root_dir, 'benchmarks'))
    return importlib.import_module('run')


def outcome_of(capsys, call):
    """What a call that ends the process says."""
    with pytest.raises(SystemExit) as ended:
        call()
    return capsys.readouterr().err + str(ended.value)


@pytest.mark.parametrize(
    'words, message',
    [
        (['--only', 'prediction,cooking'], "'prediction,cooking' is not known; choose from limits, prediction"),
        (['--only', ','], "',' is not known"),
        (['--peers', 'caffe'], "invalid choice: 'caffe'"),
        (['--sizes', '256'], "'256' is no size; it has to be HxW, for example 256x512."),
        (['--sizes', '0x64'], "'0x64' is no size"),
        (['--batches', '0'], "'0' has to be a whole number of at least 1."),
        (['--rounds', '1.5'], "'1.5' has to be a whole number"),
        (['--python', 'pytorch'], "'pytorch' has to be PEER=PROGRAM, with a peer of tensorflow"),
        (['--cache', 'FILE'], 'it has to be a folder.'),
    ],
)
def test_the_suite_refuses_bad_arguments(suite_run, tmp_path, capsys, words, message):
    file = tmp_path / 'file'
    file.write_text('')
    words = [word.replace('FILE', str(file)) for word in words]
    said = outcome_of(capsys, lambda: suite_run.parse_arguments(['--out', str(tmp_path / 'out.json')] + words))
    assert message in said and not (tmp_path / 'out.json').exists()


@pytest.mark.parametrize(
    'words, message',
    [
        (['--out', 'FOLDER/none/out.json'], 'its folder does not exist'),
        (['--out', 'FOLDER/text.json'], 'cannot be read'),
        (['--out', 'FOLDER/list.json'], 'is not a results file of benchmarks/run.py'),
        (['--out', 'FOLDER/other.json'], 'was measured on another machine: processor was Abacus and is'),
        (['--out', 'FOLDER/out.json', '--peers', 'nobody'], 'Give --cache DIR, and an environment is made there'),
        (
            ['--out', 'FOLDER/out.json', '--peers', 'tensorflow1', '--python', 'tensorflow1=FOLDER/none'],
            'there is no program of that name',
        ),
    ],
)
def test_the_suite_refuses_before_it_measures(suite_run, tmp_path, capsys, monkeypatch, words, message):
    environments = importlib.import_module('suite.environments')
    monkeypatch.setitem(environments.PEERS, 'nobody', environments.Peer(('Nobody',), ('no_such_module',), ('none',)))
    (tmp_path / 'text.json').write_text('results')
    (tmp_path / 'list.json').write_text('[]')
    (tmp_path / 'other.json').write_text(
        '{"format": 1, "cases": [], "versions": {}, "machine": {"processor": "Abacus"}}'
    )
    words = [word.replace('FOLDER', str(tmp_path)) for word in words]
    monkeypatch.setattr(sys, 'argv', ['run.py', '--quick'] + words)
    assert message in outcome_of(capsys, suite_run.main)
    assert not (tmp_path / 'out.json').exists()


def test_results_are_kept_by_case_and_a_failed_candidate_is_said(suite_run, tmp_path):
    """With commands that are Python one-liners; the rounds are counted in a file."""
    parts, results_module = importlib.import_module('suite.parts'), importlib.import_module('suite.results')
    turns = tmp_path / 'turns'
    say = 'open({!r}, "a").write("{}"); print(\'{{"s": \' + {} + \', "peak_rss_gb": 2}}\')'
    number = 'str(len(open({!r}).read()))'.format(str(turns))
    case = parts.Case(
        'prediction',
        {'size': [1, 2]},
        {
            'fcn8s': ['-c', say.format(str(turns), 'a', number)],
            'broken': ['-c', 'raise ValueError("out of luck")'],
            'bare TensorFlow': ['-c', say.format(str(turns), 'b', number)],
        },
        's',
    )
    machine = {'processor': 'P', 'flags': [], 'cores': 2}
    environments = importlib.import_module('suite.environments').Environments(None, {})
    out = str(tmp_path / 'out.json')
    suite = suite_run.Suite(results_module.Results(out, machine), environments, 3)
    suite.run(case, False)
    assert turns.read_text() == 'ababab'
    (kept,) = results_module.read(out)['cases']
    assert kept['candidates']['fcn8s']['seconds'] == {'median': 3, 'min': 1, 'max': 5, 'rounds': [1, 3, 5]}
    assert kept['candidates']['bare TensorFlow']['peak_gb']['median'] == 2
    assert 'out of luck' in kept['candidates']['broken']['error'] and len(suite.errors) == 1
    resumed = results_module.Results(out, machine)
    suite_run.Suite(resumed, environments, 3).run(case, False)
    assert turns.read_text() == 'ababab'
    assert not resumed.has('prediction', {'size': [1, 2]}, ['fcn8s'], 4)
    assert not resumed.has('prediction', {'size': [1, 2]}, ['fcn8s', 'OpenVINO'], 3)
    assert not resumed.has('prediction', {'size': [2, 2]}, ['fcn8s'], 3)
    with pytest.raises(results_module.ResultsError, match='measured with other versions'):
        resumed.add_versions('this environment', {'tensorflow': '0.1'})


def test_what_one_process_measures_of_several_is_in_the_file_already(suite_run, tmp_path):
    """Its JSON names the candidates, which the case does not."""
    parts, results_module = importlib.import_module('suite.parts'), importlib.import_module('suite.results')
    environments = importlib.import_module('suite.environments').Environments(None, {})
    turns, out = tmp_path / 'turns', str(tmp_path / 'out.json')
    answer = {'frames in memory': {'seconds': 1}, 'video': {'seconds': 2}}
    code = 'open({!r}, "a").write("x"); print({!r})'.format(str(turns), json.dumps(answer))
    case = parts.Case('video', {'size': [1, 2]}, {'fcn8s': ['-c', code]}, None, True)
    for rounds, taken in ((2, 'xx'), (2, 'xx'), (3, 'xxxxx')):
        results = results_module.Results(out, {'processor': 'P', 'flags': [], 'cores': 2})
        suite_run.Suite(results, environments, rounds).run(case, False)
        assert turns.read_text() == taken
    assert set(results.find('video', {'size': [1, 2]})['candidates']) == set(answer)


def kept(part, settings, **candidates):
    """A case of one, two and six seconds times what is given."""
    rounds = {name: [factor * seconds for seconds in (1, 6, 2)] for name, factor in candidates.items()}
    shown = {
        name: {'seconds': {'median': sorted(values)[1], 'min': min(values), 'max': max(values), 'rounds': values}}
        for name, values in rounds.items()
    }
    return {'part': part, 'settings': settings, 'commit': 'abc', 'load': [0.5, 1.5], 'candidates': shown}


def test_tables_are_made_from_results(suite_run, tmp_path):
    tables = importlib.import_module('tables')
    prediction = kept('prediction', {'size': [256, 512], 'batch': 1, 'classes': 20}, fcn8s=1, bare=0.5)
    prediction['candidates']['broken'] = {'error': 'out of luck'}
    grown = [
        kept('growth', {'size': [side, 2], 'along': 'area', 'what': 'training'}, fcn8s=side / 10) for side in (4, 2)
    ]
    smaller = kept('prediction', {'size': [128, 256], 'batch': 4, 'classes': 20}, fcn8s=1)
    machine = {'processor': 'P', 'flags': ['avx2'], 'cores': 2, 'memory_gb': 8, 'system': 'S'}
    content = {
        'format': 1,
        'machine': machine,
        'versions': {'this': {'numpy': '2'}},
        'cases': [prediction, smaller] + grown,
    }
    (tmp_path / 'results.json').write_text(json.dumps(content))
    readme = tmp_path / 'README.md'
    readme.write_text('before\n{}\nold\n{}\nafter\n'.format(tables.BEGIN, tables.END))
    words = [str(tmp_path / 'results.json'), '--readme', str(readme)]
    tables.main(words)
    made = readme.read_text()
    assert made.startswith('before\n') and made.endswith('after\n') and 'old' not in made
    assert '| 256x512, batch 1 | fcn8s | 2.000 (1.000 to 6.000) | 1.000 |  |  |' in made
    assert '| 256x512, batch 1 | bare | 1.000 (0.500 to 3.000) | 0.500 |  |  |' in made
    assert '| 256x512, batch 1 | broken | failed |  |  |  |' in made and '0.5 to 1.5' in made
    assert made.index('128x256, batch 4') < made.index('256x512, batch 1') and made.index('| 2x2') < made.index('| 4x2')
    assert '![Prediction: the medians of the table above as bars, seconds an image; those of fcn8s are blue' in made
    assert '![How seconds an image grow with the pixels of an image: the medians' in made
    for name in re.findall(r'\((plots/.*?)\)', made):
        assert (tmp_path / name).read_text().startswith('<?xml')
    assert made.count('](plots/') == 2
    tables.main(words)
    assert readme.read_text() == made
    other = dict(content, machine=dict(machine, processor='Q'), cases=[prediction])
    (tmp_path / 'results-q.json').write_text(json.dumps(other))
    tables.main([str(tmp_path / 'results-q.json')] + words)
    both = readme.read_text()
    assert both.startswith('before\n{}\n\n### Q\n'.format(tables.BEGIN)) and both.count('#### Prediction') == 2
    assert made.split('\n', 2)[2] in both and '](plots/prediction-q.svg)' in both
    assert (tmp_path / 'plots' / 'prediction-q.svg').is_file()
    with pytest.raises(SystemExit, match='would write the same plots'):
        tables.main(words[:1] + words)
    readme.write_text('no marks')
    with pytest.raises(SystemExit, match='has to have the lines'):
        tables.main(words)
    with pytest.raises(SystemExit, match='there is no such file'):
        tables.main(words[:2] + [str(tmp_path / 'none')])
    (tmp_path / 'results.json').write_text(json.dumps(dict(content, cases=[])))
    with pytest.raises(SystemExit, match='has no cases yet'):
        tables.main(words)


def test_figures_of_the_readme_have_a_place(root_dir, suite_run):
    tables = importlib.import_module('tables')
    text = read(root_dir, 'benchmarks', 'README.md')
    assert text.count(tables.BEGIN) == text.count(tables.END) == 1
    for name in list(suite_run.PARTS) + list(suite_run.PEERS):
        assert '`{}`'.format(name) in text, name
    for name in re.findall(r'\((plots/.*?)\)', text):
        assert os.path.isfile(os.path.join(root_dir, 'benchmarks', name))


def measured_by(suite):
    """The children of a process that run something else than itself."""
    children = read('/proc/{0}/task/{0}/children'.format(suite)).split()
    return [child for child in children if 'benchmarks/run.py' not in read('/proc/{}/cmdline'.format(child))]


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='benchmarks read the peak memory from /proc')
def test_a_suite_that_is_ended_leaves_nothing_running(root_dir, tmp_path):
    command = [sys.executable, 'benchmarks/run.py', '--quick', '--only', 'start-up', '--out', str(tmp_path / 'o.json')]
    suite = subprocess.Popen(command, cwd=root_dir, start_new_session=True)
    end = time.monotonic() + 60
    while not measured_by(suite.pid) and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)  # until the suite knows that its child has started, on a loaded machine, too
    suite.terminate()
    assert suite.wait(60) == 143
    with pytest.raises(ProcessLookupError):
        os.killpg(suite.pid, 0)


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='benchmarks read the peak memory from /proc')
def test_the_suite_runs_and_goes_on_where_it_was(root_dir, tmp_path):
    out = str(tmp_path / 'out.json')
    script = 'import sys, runpy; sys.argv[0] = "benchmarks/run.py"; sys.path.insert(0, "benchmarks");'
    script += 'code = runpy.run_path("benchmarks/run.py")["main"](); assert "tensorflow" not in sys.modules, "held"; '
    command = [sys.executable, '-c', script + 'assert "numpy" not in sys.modules; sys.exit(code)']
    command += ['--quick', '--only', 'limits', '--out', out]
    runs = [
        subprocess.run(command, cwd=root_dir, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr.decode()[-3000:]
    assert b'is in the file already' in runs[1].stdout
    (case,) = json.loads((tmp_path / 'out.json').read_text())['cases']
    found = {name: numbers['median'] for name, numbers in case['candidates']['machine'].items()}
    assert found['train_floor_s_per_image'] == pytest.approx(
        found['train_multiply_adds'] / found['multiply_adds_per_s']
    )


def at_small_size(command):
    """The command with the options of `SMALL`; those that differ in the size of the text alone are one."""
    small = SMALL[os.path.basename(shlex.split(command)[1])]
    return '{} {}'.format(re.sub(r' --size \d+ \d+', '', command) if '--size ' in small else command, small)


def test_commands_that_differ_in_size_alone_are_run_once():
    command = 'python benchmarks/bench_prediction.py'
    assert (
        at_small_size(command + ' --size 512 1024')
        == at_small_size(command)
        == command + ' ' + SMALL['bench_prediction.py']
    )
    assert at_small_size(command + ' --size 512 1024 --floor F') != at_small_size(command)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='benchmarks read the peak memory from /proc')
@ran_once
@pytest.mark.parametrize('script', sorted(SMALL))
def test_each_benchmark_runs(root_dir, script):
    if script == 'bench_distributed.py' and not THOROUGH:
        pytest.skip('eight processes; tests/fcn8s/distributed/test_training.py exchanges gradients, too')
    commands = {c for row in commands_of_figures(root_dir) for c in row} | {'python benchmarks/ablation.py'}
    assert 'python benchmarks/ablation.py' in read(root_dir, 'docs', 'ablation.md')
    commands = {at_small_size(command) for command in commands if command.split()[1] == 'benchmarks/' + script}
    assert commands
    for command in sorted(commands):
        if 'bench_export' in command and not all(map(importlib.util.find_spec, ('openvino', 'nncf'))):
            pytest.skip('openvino and nncf are not installed')
        if 'peer_pytorch' in command and importlib.util.find_spec('torch') is None:
            continue  # the tests do not install PyTorch
        result = subprocess.run(
            [sys.executable] + IN_ONE_PROCESS.get(script[6:-3], []) + shlex.split(command)[1:],
            cwd=root_dir,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            check=False,
        )
        assert result.returncode == 0, '{}\n{}'.format(command, result.stderr[-3000:])
        assert re.search(r'\d\.\d', result.stdout.splitlines()[-1]), result.stdout


def test_depth_is_compared_with_colours_seed_by_seed(suite_run, tmp_path):
    """A stack is the picture with its nearness behind, and what was trained is not trained again."""
    import rgbd

    from data_generator.street_scenes import write_dataset
    from helpers.images import read_image, read_labels

    write_dataset(str(tmp_path / 'scenes'), 2, 1, 0, (32, 64), with_depth=True)
    arguments = [str(tmp_path / 'scenes'), str(tmp_path / 'out'), '--epochs', '1', '--width-divisor', '64']
    scores = rgbd.main(arguments + ['--seeds', '0'])
    assert (
        list(scores) == [0] and set(scores[0]) == {'RGB', 'RGB-D'} and rgbd.main(arguments + ['--seeds', '0']) == scores
    )
    stack = np.load(str(tmp_path / 'out/train/images/alphaville_000000_000019.npy'))
    picture = tmp_path / 'scenes/leftImg8bit/train/alphaville/alphaville_000000_000019_leftImg8bit.png'
    np.testing.assert_array_equal(stack[..., :3], read_image(str(picture)))
    depth = read_labels(str(tmp_path / 'scenes/depth/train/alphaville/alphaville_000000_000019_depth.png')) / 256
    np.testing.assert_array_equal(stack[..., 3] == 0, depth == 0)  # the sky
    shares = 1 - np.log(np.where(depth == 0, 160, depth)) / np.log(160)
    np.testing.assert_allclose(stack[..., 3][depth > 2], 255 * shares[depth > 2], atol=1)
    rows = rgbd.table({0: {'RGB': 20.0, 'RGB-D': 23.0}, 1: {'RGB': 22.0, 'RGB-D': 23.0}}).splitlines()[2:]
    assert rows[0] == '| 0 | 20.0 | 23.0 | +3.0 |' and rows[2] == '| mean | 21.0 | 23.0 | +2.0 +- 1.0 |'

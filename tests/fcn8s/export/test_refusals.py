"""What cannot be exported is refused in a sentence, and nothing is left of it."""

import copy
import errno
import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fcn8s.backend import TF_VERSION
from fcn8s.cli import main
from fcn8s.export import engines, formats
from fcn8s.export.certificate import Comparison, Sample, misses
from fcn8s.saving.descriptions import SavedFCN8s
from fcn8s.settings import ModelSettings
from helpers.images import write_image, write_labels
from helpers.label_spaces import generic_label_space

ON_2 = pytest.mark.skipif(TF_VERSION < (2, 0), reason='exports are made on TensorFlow 2')


def refused(match, model, out, *arguments, **options):
    """Asserts that an export raises a message, and leaves nothing; returns the message."""
    from fcn8s.export.exporting import export_model

    before = sorted(os.listdir(os.path.dirname(out)))
    with pytest.raises((ValueError, OSError, ImportError), match=match) as raised:
        export_model(model, out, *arguments, **options)
    assert sorted(os.listdir(os.path.dirname(out))) == before
    return str(raised.value)


@pytest.fixture
def out(tmp_path):
    return str(tmp_path / 'out')


@pytest.mark.parametrize(
    'format_name, precision, match',
    [
        ('torch', 'float32', "format is 'torch'; choose from saved_model, frozen, onnx, tflite, openvino"),
        ('onnx', 'half', "precision is 'half'; choose from float32, float16, bfloat16, int8"),
        ('onnx', 'int8', 'onnx is exported in float32 or float16. Quantisation is made by OpenVINO and by TFLite'),
        ('onnx', 'bfloat16', 'ONNX Runtime has no bfloat16 convolutions on CPUs'),
        ('tflite', 'bfloat16', 'TFLite has no bfloat16 convolutions'),
        ('saved_model', 'float16', 'TensorFlow computes in float16 on GPUs alone'),
    ],
)
def test_formats_and_precisions(narrow_model, out, format_name, precision, match):
    refused(match, narrow_model, out, format_name, precision)


@pytest.mark.parametrize('ours, theirs', [(np.nan, 1), (1, np.nan), (np.inf, 1), (1, np.inf), (np.inf, np.inf)])
@pytest.mark.parametrize('precision', ['float32', 'float16', 'bfloat16', 'int8'])
def test_logits_that_are_not_finite_are_never_equal(ours, theirs, precision):
    comparison = Comparison(generic_label_space(2))
    for values in [(1, 1), (ours, theirs), (1, 1)]:
        answers = [
            {'logits': np.full((1, 2, 2, 2), value, np.float32), 'class_ids': np.zeros((1, 2, 2), np.uint8)}
            for value in values
        ]
        comparison.add(*answers, Sample(np.zeros((2, 2, 3), np.uint8)))
    assert misses(comparison.summary(), precision) == ['logits are not finite, or overflow']


def test_sizes_are_for_formats_that_need_one(narrow_model, out):
    refused('tflite takes images of one size, because a transposed convolution', narrow_model, out, 'tflite')
    refused('onnx takes images of any size. Leave --size out', narrow_model, out, 'onnx', size=(32, 32))
    refused('size is 256; onnx takes images of any size', narrow_model, out, 'onnx', size=256)
    for size in ((0, 32), 256, ('a', 32), (32, 32.5), (32, float('inf'))):
        refused(
            r'it has to be \(height, width\), each a whole number of at least 1', narrow_model, out, 'tflite', size=size
        )


def test_an_open_network_is_not_written_for_an_export_that_is_refused(out):
    from fcn8s.export.exporting import export_open_network

    settings = ModelSettings(label_space=generic_label_space(2))
    network = SimpleNamespace(
        write_saved_model=lambda *_: pytest.fail('it was written'), settings=settings, input_size=None
    )
    refusals = [(dict(format='torch'), "format is 'torch'"), (dict(format='tflite'), 'size is missing')]
    refusals.append((dict(allow_loss='no'), "allow_loss is 'no'; it has to be True or False"))
    refusals.append((dict(labels='L'), 'labels came without images: give --verify DIR'))
    refusals.append((dict(verfy='V'), 'verfy: export has no such option. It has size, calibration, '))
    if TF_VERSION >= (2, 0):
        refusals.append((dict(verify='/none'), '/none does not exist'))
        refusals.append((dict(calibration='C'), "calibration belongs to int8, and precision is 'float32'"))
    for options, match in refusals:
        with pytest.raises((ValueError, OSError), match=match):
            export_open_network(network, out, **options)


@ON_2
def test_scenes_beside_a_folder_of_images(narrow_model, out, tmp_path):
    scenes = [np.zeros((8, 8, 3), np.uint8)]
    refused('scenes came beside verify', narrow_model, out, 'frozen', verify=str(tmp_path), scenes=scenes)


@ON_2
@pytest.mark.parametrize(
    'format_name, precision, package, extra',
    [
        ('onnx', 'float32', 'tf2onnx', 'export'),
        ('tflite', 'float32', 'ai_edge_litert', 'tflite'),
        ('openvino', 'float32', 'openvino', 'openvino'),
        ('openvino', 'int8', 'nncf', 'openvino'),
    ],
)
def test_packages_that_are_missing(narrow_model, out, monkeypatch, format_name, precision, package, extra):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: None if name == package else object())
    size = (32, 32) if format_name == 'tflite' else None
    refused(
        r'{} is not installed, which {} needs. Install it with: pip install "fcn8s\[{}\]"'.format(
            package, format_name, extra
        ),
        narrow_model,
        out,
        format_name,
        precision,
        size=size,
    )
    monkeypatch.setattr(formats.importlib.util, 'find_spec', find_spec)


def test_several_packages_that_are_missing(monkeypatch):
    monkeypatch.setattr(formats.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='^openvino and nncf are not installed, which .* needs. Install them with'):
        formats.check_packages('openvino', 'int8')


@ON_2
def test_an_output_that_exists_stays_as_it_is(narrow_model, out):
    os.makedirs(out)
    with open(os.path.join(out, 'mine.txt'), 'w', encoding='utf-8') as file:
        file.write('mine')
    refused('out exists already and is not an empty directory', narrow_model, out)
    assert os.listdir(out) == ['mine.txt']


@ON_2
def test_int8_needs_images_for_calibration(narrow_model, out, tmp_path, monkeypatch):
    monkeypatch.setattr('fcn8s.export.exporting.check_packages', lambda *names: None)
    refused('int8 needs images for calibration', narrow_model, out, 'openvino', 'int8')
    empty = str(tmp_path / 'empty')
    os.makedirs(empty)
    refused('There is no image', narrow_model, out, 'openvino', 'int8', calibration=empty)
    refused('does not exist', narrow_model, out, 'openvino', 'int8', calibration=str(tmp_path / 'none'))
    write_image(os.path.join(empty, 'a.png'), np.zeros([8, 8, 3], np.uint8))
    for count in (0, 2.0, '2'):
        wrong = dict(calibration=empty, calibration_images=count)
        refused('calibration_images is .*; it has to be a whole number', narrow_model, out, 'openvino', 'int8', **wrong)
    refused("calibration belongs to int8, and precision is 'float32'", narrow_model, out, calibration=empty)


def test_drawing_images_that_there_are_none_of_is_refused(capsys):
    assert main(['export', 'MODEL', 'OUT', '--calibration-images', '5', '--seed', '3']) == 2
    assert '--calibration-images, --seed are about images for int8, and none came' in capsys.readouterr().err


def test_calibration_images_are_drawn_by_the_seed(tmp_path):
    from fcn8s.export.samples import calibration_paths

    for number in range(10):
        write_image(str(tmp_path / '{}.png'.format(number)), np.zeros([8, 8, 3], np.uint8))
    draws = [calibration_paths('openvino', 'int8', str(tmp_path), 4, seed) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert all(len(set(draw)) == 4 for draw in draws)
    assert len(calibration_paths('openvino', 'int8', str(tmp_path), 100, 0)) == 10
    with pytest.raises(ValueError, match='seed is -1; it has to be a whole number from 0 to 4294967295'):
        calibration_paths('openvino', 'int8', str(tmp_path / 'none'), 4, -1)
    for count, seed in ((4, 0), (100, 1)):
        with pytest.raises(ValueError, match='seed {}; they belong to int8, and precision is .float32.'.format(seed)):
            calibration_paths('openvino', 'float32', None, count, seed)


@ON_2
def test_labels_that_do_not_fit(narrow_model, out, tmp_path):
    images, labels = str(tmp_path / 'images'), str(tmp_path / 'labels')
    write_image(os.path.join(images, 'a.png'), np.zeros([20, 30, 3], np.uint8))
    write_labels(os.path.join(labels, 'b.png'), np.zeros([20, 30], np.uint8))
    refused('give --verify DIR, the images that they belong to', narrow_model, out, labels=labels)
    refused('1 of 1 images have no labels in', narrow_model, out, verify=images, labels=labels)
    write_labels(os.path.join(labels, 'a.png'), np.zeros([10, 30], np.uint8))
    refused('a.png is 10 x 30 and its image 20 x 30', narrow_model, out, verify=images, labels=labels)
    write_labels(os.path.join(labels, 'a.png'), np.full([20, 30], 7, np.uint8))
    message = refused(r'a.png holds the IDs \[7\]', narrow_model, out, verify=images, labels=labels)
    assert 'the classes 0 to 4 and ignores 255' in message


def test_labels_lie_where_their_images_do(tmp_path):
    """The labels of the last sequence were those of the images of the same names in all."""
    from fcn8s.export.samples import samples
    from fcn8s.settings import ModelSettings
    from helpers.label_spaces import generic_label_space

    images, labels = str(tmp_path / 'images'), str(tmp_path / 'labels')
    for number, sequence in enumerate(('seq1', 'seq2')):
        write_image(os.path.join(images, sequence, '0.png'), np.full([20, 30, 3], number, np.uint8))
        write_labels(os.path.join(labels, sequence, '0.png'), np.full([20, 30], number, np.uint8))
    settings = ModelSettings(label_space=generic_label_space(2))
    pairs = [(one.image, one.labels) for one in samples(images, labels, None, settings, (20, 30), False)]
    assert [(image[0, 0, 0], label[0, 0]) for image, label in pairs] == [(0, 0), (1, 1)]
    file = os.path.join(images, 'seq2', '0.png')
    with pytest.raises(ValueError, match='labels of .*0.png may be .*seq1/0.png or .*seq2/0.png. Put them at the same'):
        samples(file, labels, None, settings, (20, 30), False)
    (one,) = samples(file, os.path.join(labels, 'seq2'), None, settings, (20, 30), False)
    assert one.labels[0, 0] == 1


@ON_2
def test_models_that_are_none(narrow_encoder, out, tmp_path):
    refused('does not exist', str(tmp_path / 'nothing'), out)
    refused('neither a run directory', narrow_encoder, out)


@ON_2
def test_an_export_is_not_exported_again(export, out):
    refused('is an export itself', export('frozen'), out)


@ON_2
def test_what_misses_its_tolerance_is_not_kept(narrow_model, out, monkeypatch):
    from fcn8s.export import certificate, exporting

    impossible = certificate.Tolerance(None, 1.1)
    monkeypatch.setitem(certificate.TOLERANCES, 'float32', impossible)
    kept = exporting.export_model(narrow_model, out, 'frozen', allow_loss=True)
    assert len(kept['misses']) == 1 and os.path.isfile(os.path.join(out, 'certificate.json'))
    monkeypatch.setattr(exporting, '_convert', lambda *_: None)
    monkeypatch.setattr(exporting, '_certify', lambda *_: kept)  # of the same weights
    message = refused('not as good as it has to be', narrow_model, out + ' again', 'frozen')
    assert '100.00% of the pixels keep their class (at least 110.0%)' in message and '--allow-loss' in message


@ON_2
def test_an_export_that_does_not_run_is_not_kept(narrow_model, out, monkeypatch):
    from fcn8s.export import frozen

    def write_rubbish(conversion, directory):
        with open(os.path.join(directory, 'model.pb'), 'wb') as file:
            file.write(b'\xff' * 100)

    monkeypatch.setattr(frozen, 'write', write_rubbish)
    refused('the export does not run in its own runtime.*model.pb is damaged', narrow_model, out, 'frozen')


@ON_2
@pytest.mark.parametrize('name, reads', [('onnx', 'serving_graph.freeze'), ('openvino', 'openvino.convert')])
def test_a_trusted_graph_is_not_checked_for_its_ops(narrow_model, out, monkeypatch, name, reads):
    def stop(model_dir, trust):
        raise ValueError('trust is {}'.format(trust))

    try:
        formats.check_packages(name)
    except ImportError as error:
        pytest.skip(str(error))
    monkeypatch.setattr('fcn8s.export.' + reads, stop)
    refused('trust is True', narrow_model, out, name, trust=True)
    refused('trust is False', narrow_model, out, name)


@ON_2
def test_a_full_disk_leaves_nothing(narrow_model, out, monkeypatch):
    from fcn8s.export import frozen

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(frozen, 'write', full)
    refused('No space left on device while writing .*out. Free some space', narrow_model, out, 'frozen')


@pytest.fixture(scope='module')
def odd_model(tmp_path_factory, narrow_encoder):
    """A saved FCN-8s on an encoder with an op that ONNX, TFLite and OpenVINO do not have."""
    from fcn8s import FCN8s
    from fcn8s.backend import tf
    from fcn8s.saving import saved_models

    folder = tmp_path_factory.mktemp('odd')
    path = str(folder / 'vgg16')

    shutil.copytree(narrow_encoder, path)
    meta_graph = saved_models.read_meta_graph(path, ['vgg16'])
    for node in meta_graph.graph_def.node:
        if node.op == 'Relu' and node.name.startswith('conv1_1'):
            node.op = 'Digamma'
    saved_models.write_graph(path, meta_graph)
    assert 'Digamma' in {node.op for node in meta_graph.graph_def.node}
    with FCN8s(vgg16_dir=path, num_classes=2) as network, network.graph.as_default():
        assert tf.get_default_graph() is network.graph
        return network.save(str(folder), name='odd', force_save=True)


@ON_2
@pytest.mark.parametrize('format_name', ['onnx', 'tflite', 'openvino'])
def test_ops_that_a_format_lacks_are_named(odd_model, out, format_name):
    try:
        formats.check_packages(format_name)
    except ImportError as error:
        pytest.skip(str(error))
    size = (32, 32) if format_name == 'tflite' else None
    refused('operations that {} lacks: Digamma'.format(format_name), odd_model, out, format_name, size=size)


def test_an_export_is_run_by_this_library_whatever_lies_in_the_working_directory(tmp_path, monkeypatch):
    from fcn8s.export.runner import Runner

    monkeypatch.chdir(tmp_path)
    for name in ('helpers.py', 'json.py', 'fcn8s.py'):
        (tmp_path / name).write_text('raise SystemExit("another module of this name")')
    (tmp_path / 'fcn8s.json').write_text('{}')
    with pytest.raises(ValueError, match='does not run in its own runtime .* is no export. Make one with'):
        Runner(str(tmp_path))


def test_what_a_killed_process_left_of_running_an_export_is_known_by_its_name(tmp_path, monkeypatch):
    from fcn8s.export import runner
    from helpers.files import TEMPORARY_PATTERN

    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    command = """import sys; sys.path[:] = {!r}; print('{{"versions": {{}}}}', flush=True); sys.stdin.read()"""
    monkeypatch.setattr(runner, '_COMMAND', command)
    with runner.Runner('export') as opened:
        (folder,) = os.listdir(str(tmp_path))
        assert re.match(r'\.fcn8s-runner\.' + TEMPORARY_PATTERN + '$', folder) and opened.versions == {}
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EFBIG])
def test_a_full_folder_for_temporary_files_is_named_where_an_export_is_run(monkeypatch, number):
    """Where the process of the export meets the limit, and where this one does."""
    from fcn8s.export import runner
    from helpers.files import SPACE_REMEDIES

    stopped = 'import sys; sys.path[:] = {{!r}}; from fcn8s.export import runner\n{}\nrunner.main(["export"])'
    body = 'def stop(*_):\n    raise OSError({}, "as it is")\nrunner._serve = stop'.format(number)
    remedy = 'Set TMPDIR' if number == errno.ENOSPC else re.escape(SPACE_REMEDIES[number])
    message = r'{} while writing .*\.fcn8s-runner.*tmp\. {}'.format(os.strerror(number), remedy)
    monkeypatch.setattr(runner, '_COMMAND', stopped.format(body))
    with pytest.raises(OSError, match=message) as caught:
        runner.Runner('export')
    assert caught.value.errno == number

    def full(*_):
        raise OSError(number, os.strerror(number))

    answers = 'runner._serve = lambda _, requests, replies: [runner._reply(replies, {{"versions": {{}}}}), [*requests]]'
    monkeypatch.setattr(runner, '_COMMAND', stopped.format(answers))
    with pytest.raises(OSError, match=message), runner.Runner('export') as opened:
        monkeypatch.setattr(opened, '_put', full)
        opened.run(None, [])


def test_a_process_of_an_export_that_ends_without_a_word_on_a_full_disk_names_the_disk(monkeypatch):
    from fcn8s.export import runner

    monkeypatch.setattr(runner, '_COMMAND', '{!r}')
    monkeypatch.setattr(runner, 'is_temporary_place_full', lambda: True)
    with pytest.raises(OSError, match=r'while writing .*\.fcn8s-runner.*tmp\. Set TMPDIR'):
        runner.Runner('export')


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='only Linux has a device that is always full')
def test_images_that_do_not_fit_into_the_folder_for_temporary_files_name_it(monkeypatch):
    from fcn8s.export import runner

    answers = 'import sys; sys.path; {!r}; print(\'{{"versions": {{}}}}\', flush=True); sys.stdin.read()'
    monkeypatch.setattr(runner, '_COMMAND', answers)
    message = r'while writing .*\.fcn8s-runner.*tmp\. Set TMPDIR'
    with pytest.raises(OSError, match=message), runner.Runner('export') as opened:
        os.symlink('/dev/full', os.path.join(opened._folder, 'images.npy'))
        opened.run(np.zeros([1, 300, 300, 3], np.uint8), [])


def test_an_export_that_was_closed_says_so(narrow_model):
    from fcn8s.export.engines import ExportedModel
    from fcn8s.saving.descriptions import read_description

    class Runtime:
        def run(self, images, outputs):
            return {name: np.zeros(images.shape[:3], np.uint8) for name in outputs}

    images = np.zeros((1, 4, 4, 3), np.uint8)
    with ExportedModel(Runtime(), 'onnx', read_description(narrow_model), 'float32') as model:
        assert model.predict(images).shape == (1, 4, 4)
        with pytest.raises(TypeError, match=r'cannot be copied .* Open it there: fcn8s.open_model\('):
            copy.copy(model)
    run = functools.partial(model.run, model.logits, {})
    for call in (lambda: model.predict(images), lambda: model.predict([]), run, model.__enter__):
        with pytest.raises(ValueError, match='the network of .* was closed, .* Open it again: fcn8s.open_model'):
            call()


def test_the_model_of_a_run_is_opened(narrow_model, tmp_path):
    import fcn8s

    run = str(tmp_path / 'run')
    put_into_run(narrow_model, run, 1)
    with fcn8s.open_model(run) as model:
        assert model.model_dir == os.path.join(run, 'checkpoints', 'step-00000001')
    with pytest.raises(FileNotFoundError, match='does not exist. Pass a run directory'):
        fcn8s.open_model(str(tmp_path / 'nothing'))


def test_trust_is_no_text(tmp_path):
    with pytest.raises(ValueError, match="trust is 'no'; it has to be True or False"):
        engines.open_model(str(tmp_path / 'nothing'), trust='no')


@ON_2
def test_engines_and_precisions_that_do_not_go_with_a_model(export, narrow_model):
    import fcn8s

    with pytest.raises(ValueError, match="engine is 'torch'; choose from tensorflow, openvino"):
        fcn8s.open_model(narrow_model, engine='torch')
    with pytest.raises(ValueError, match='is an export to frozen, which tensorflow runs'):
        fcn8s.open_model(export('frozen'), engine='openvino')
    with pytest.raises(ValueError, match='was exported in float32'):
        fcn8s.open_model(export('frozen'), precision='bfloat16')
    if importlib.util.find_spec('openvino'):
        with pytest.raises(ValueError, match='For int8, which is calibrated, export it first'):
            fcn8s.open_model(narrow_model, precision='int8', engine='openvino')


@pytest.mark.parametrize('precision', ['float16', 'bfloat16'])
def test_a_precision_that_the_cpu_lacks_is_not_replaced(monkeypatch, precision):
    openvino = pytest.importorskip('openvino')
    monkeypatch.setattr(openvino, 'Core', lambda: SimpleNamespace(get_property=lambda *names: ['FP32', 'INT8']))
    model = SavedFCN8s('MODEL', ModelSettings(generic_label_space(2)), {})
    with pytest.raises(ValueError, match="'{}', and this CPU does not compute in it".format(precision)):
        engines._open_in_openvino(model, precision, False)


def test_auto_is_the_precision_of_an_export_and_what_openvino_finds(export, monkeypatch):
    import fcn8s

    with fcn8s.open_model(export('frozen'), precision='auto') as model:
        assert model.precision == 'float32'
    openvino = pytest.importorskip('openvino')
    from fcn8s.export.openvino import chosen_precision

    for found, chosen in ((['FP32', 'BF16'], 'bfloat16'), (['FP32', 'INT8'], 'float32')):
        core = SimpleNamespace(get_property=lambda *names, found=found: found)
        monkeypatch.setattr(openvino, 'Core', lambda core=core: core)
        assert [chosen_precision(name) for name in ('auto', 'float16')] == [chosen, 'float16']


@pytest.mark.parametrize(
    'entry',
    [
        'onnx',
        {'format': '../../evil', 'precision': 'float32', 'size': None},
        {'format': 'onnx', 'precision': 'int4', 'size': None},
        {'format': 'tflite', 'precision': 'float32', 'size': [64, -1]},
        {'format': ['onnx'], 'precision': 'float32'},
    ],
)
def test_descriptions_that_were_tampered_with(narrow_model, tmp_path, entry):
    import fcn8s

    with open(os.path.join(narrow_model, 'fcn8s.json'), encoding='utf-8') as file:
        description = dict(json.load(file), export=entry)
    with open(str(tmp_path / 'fcn8s.json'), 'w', encoding='utf-8') as file:
        json.dump(description, file)
    with pytest.raises(ValueError, match='fcn8s.json is damaged: it says'):
        fcn8s.open_model(str(tmp_path))
    shutil.rmtree(str(tmp_path))


@ON_2
@pytest.mark.parametrize(
    'format_name, name',
    [
        *(('onnx', 'model.onnx'), ('openvino', 'model.xml'), ('openvino', 'model.bin'), ('tflite', 'model.tflite')),
        *(('frozen', 'model.pb'), ('saved_model', 'saved_model.pb')),
    ],
)
def test_files_of_an_export_that_are_damaged_or_missing(export, tmp_path, capsys, format_name, name):
    broken = str(tmp_path / 'broken')
    shutil.copytree(export(format_name), broken)
    path = os.path.join(broken, name)
    with open(path, 'r+b') as file:
        file.truncate(os.path.getsize(path) // 2)
    write_image(str(tmp_path / 'a.png'), np.zeros((64, 96, 3), np.uint8))
    command = ['predict', broken, str(tmp_path / 'a.png'), '--out', str(tmp_path / 'results')]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert broken in said and ('damaged' in said) and ('again' in said)
    os.unlink(path)
    assert main(command) == 2
    said = capsys.readouterr().err
    assert broken in said and ('is missing. Copy the whole export' in said or name == 'model.bin')


def put_into_run(model, run, step):
    """Makes a copy of a model the best and only checkpoint of a run."""
    shutil.rmtree(os.path.join(run, 'checkpoints'), ignore_errors=True)
    name = 'step-{:08d}'.format(step)
    shutil.copytree(model, os.path.join(run, 'checkpoints', name))
    for file, content in (('config.json', {}), ('checkpoints/best.json', {'checkpoint': name})):
        with open(os.path.join(run, file), 'w', encoding='utf-8') as opened:
            json.dump(content, opened)


@ON_2
def test_a_run_of_a_size_that_no_memory_holds(narrow_model, tmp_path, out):
    run = tmp_path / 'run'
    put_into_run(narrow_model, str(run), 1)
    (run / 'config.json').write_text(json.dumps({'command': {'size': [2**31, 32]}}))
    refused('size is 2147483648 x 32: an image of that size and the soft-max of', str(run), out)


@ON_2
def test_a_better_checkpoint_that_comes_meanwhile_is_exported(narrow_model, tmp_path, monkeypatch):
    from fcn8s.export import exporting

    converted = []

    def convert(wanted, directory, image):
        converted.append(os.path.basename(wanted.model_dir))
        if len(converted) == 1:  # the training goes on
            put_into_run(narrow_model, run, 2)

    def certify(wanted, *_):
        assert set(wanted.digests) > {'fcn8s.json', 'saved_model.pb'}
        return {'misses': [], 'step': exporting.read_description(wanted.model_dir).description['global_step']}

    run = str(tmp_path / 'run')
    put_into_run(narrow_model, run, 1)
    monkeypatch.setattr(exporting, '_convert', convert)
    monkeypatch.setattr(exporting, '_certify', certify)
    exporting.export_model(run, str(tmp_path / 'out'), 'frozen')
    assert converted == ['step-00000001', 'step-00000002'] and sorted(os.listdir(str(tmp_path))) == ['out', 'run']


def test_a_better_checkpoint_that_comes_meanwhile_is_packed(narrow_model, tmp_path, monkeypatch):
    from fcn8s.saving import packing

    copy, copied = packing._copy_model, []

    def copy_slowly(directory, *arguments):
        copied.append(os.path.basename(directory))
        if len(copied) == 1:  # the training goes on
            put_into_run(narrow_model, run, 2)
        return copy(directory, *arguments)

    run = str(tmp_path / 'run')
    put_into_run(narrow_model, run, 1)
    monkeypatch.setattr(packing, '_copy_model', copy_slowly)
    assert os.path.isfile(packing.pack(run, str(tmp_path / 'model.zip')))
    assert copied == ['step-00000001', 'step-00000002']


def test_an_export_without_variables_is_no_beginning(narrow_model, tmp_path):
    from fcn8s import FCN8s
    from fcn8s.saving.packing import pack

    with open(os.path.join(narrow_model, 'fcn8s.json'), encoding='utf-8') as file:
        description = dict(json.load(file), export={'format': 'onnx', 'precision': 'float32', 'size': None})
    with open(str(tmp_path / 'fcn8s.json'), 'w', encoding='utf-8') as file:
        json.dump(description, file)
    message = 'is an export to onnx, for prediction only: go on from the model that it was made of'
    with pytest.raises(ValueError, match=message):
        FCN8s(fine_tune_from=str(tmp_path), num_classes=3)
    with pytest.raises(ValueError, match=message):
        pack(str(tmp_path), str(tmp_path / 'model.zip'))


@pytest.mark.parametrize('format_name', ['saved_model', 'frozen'])
@pytest.mark.parametrize('place', ['graph', 'function'])
def test_exports_hold_no_other_ops_even_where_nothing_needs_them(export, tmp_path, format_name, place):
    import fcn8s
    from fcn8s.backend import SavedModel, tf

    directory = shutil.copytree(export(format_name), str(tmp_path / 'export'))
    path = os.path.join(directory, 'saved_model.pb' if format_name == 'saved_model' else 'model.pb')
    message = SavedModel() if format_name == 'saved_model' else tf.GraphDef()
    with open(path, 'rb') as file:
        message.ParseFromString(file.read())
    graph_def = message.meta_graphs[0].graph_def if format_name == 'saved_model' else message
    if place == 'graph':
        graph_def.node.add(name='evil', op='WriteFile')
    else:
        function = graph_def.library.function.add()
        function.signature.name = 'harmless'
        function.node_def.add(name='evil', op='WriteFile')
    with open(path, 'wb') as file:
        file.write(message.SerializeToString())
    with pytest.raises(ValueError, match=r"nothing of it was run: its graph holds WriteFile \('evil'\)"):
        fcn8s.open_model(directory)
    if format_name == 'saved_model':
        with pytest.raises(ValueError, match=r"holds WriteFile \('evil'\)"):
            fcn8s.FCN8s(model_load_dir=directory)


def test_the_command_refuses_in_a_line(narrow_model, tmp_path):
    command = [sys.executable, '-m', 'fcn8s', 'export', narrow_model, str(tmp_path / 'out'), '--format', 'tflit']
    done = subprocess.run(command, check=False, stderr=subprocess.PIPE, universal_newlines=True)
    assert done.returncode == 2
    assert "format is 'tflit'; choose from" in done.stderr and 'Traceback' not in done.stderr


def test_compiled_networks_are_kept_for_the_user_and_never_beside_a_model(tmp_path, monkeypatch):
    from fcn8s.export.openvino import cache_folder

    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'own'))
    assert cache_folder() == str(tmp_path / 'own' / 'fcn8s' / 'openvino')
    assert os.stat(cache_folder()).st_mode & 0o077 == 0
    (tmp_path / 'file').write_text('')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    assert cache_folder() is None
    monkeypatch.setenv('XDG_CACHE_HOME', 'relative')
    monkeypatch.setattr(os.path, 'expanduser', lambda path: str(tmp_path / 'home'))
    assert cache_folder() == str(tmp_path / 'home' / '.cache' / 'fcn8s' / 'openvino')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, 'expanduser', lambda path: path)  # there is no home
    assert cache_folder() is None and not (tmp_path / '~').exists()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'own'))
    if hasattr(os, 'getuid'):
        monkeypatch.setattr(os, 'getuid', lambda: os.stat(str(tmp_path)).st_uid + 1)
        assert cache_folder() is None

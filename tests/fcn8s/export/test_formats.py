"""Every format and precision: the same answers as TensorFlow, a certificate, engines that give the same files."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from precisions import cannot

from helpers.images import write_image, write_labels

EXACT = ('saved_model', 'frozen', 'onnx', 'openvino')
SIZES = [(45, 70), (64, 96), (33, 47), (64, 96), (1, 1), (45, 70)]


def read_certificate(path):
    with open(os.path.join(path, 'certificate.json'), encoding='utf-8') as file:
        return json.load(file)


@pytest.mark.parametrize('format_name', EXACT)
def test_images_of_any_size_one_after_the_other(export, narrow_model, format_name):
    """Sizes of both parities come again: runtimes that prepare themselves for a size have to notice each change."""
    import fcn8s

    rng = np.random.RandomState(0)
    with fcn8s.open_model(narrow_model) as reference, fcn8s.open_model(export(format_name)) as exported:
        assert exported.label_space.class_names == reference.label_space.class_names
        for height, width in SIZES:
            images = rng.randint(0, 256, [2, height, width, 3]).astype(np.uint8)
            expected = reference.predict(images, argmax=False)
            np.testing.assert_allclose(exported.predict(images, argmax=False), expected, atol=1e-5)
            assert (exported.predict(images) == expected.argmax(-1)).mean() > 0.999


def test_the_onnx_file_alone_says_what_it_takes_and_opencv_reads_it(export, answers, pictures):
    import cv2

    onnxruntime = pytest.importorskip('onnxruntime')
    path = os.path.join(export('onnx'), 'model.onnx')
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    assert [value.shape for value in session.get_inputs() + session.get_outputs()] == [
        ['N', 'H', 'W', 3],
        ['N', 'H', 'W'],
        ['N', 'H', 'W', 5],
        ['N', 'H', 'W', 5],
    ]
    said = session.get_modelmeta().custom_metadata_map
    interface = read_certificate(export('onnx'))['interface']
    assert {name: json.loads(value) for name, value in said.items()} == interface
    if int(cv2.__version__.split('.')[0]) < 5:
        pytest.skip('older versions of OpenCV do not read shapes that are computed')
    network = cv2.dnn.readNetFromONNX(path)
    for picture, (class_ids, _) in zip(pictures, answers):
        network.setInput(np.ascontiguousarray(picture[np.newaxis]))
        np.testing.assert_array_equal(network.forward('class_ids')[0], class_ids)


def test_a_dilated_head_in_float16(tmp_path, export):
    from fcn8s import FCN8s, write_encoder
    from fcn8s.export.exporting import export_model

    export('onnx', 'float16')  # or skips
    write_encoder(str(tmp_path / 'vgg16'), width_divisor=64, head='3x3x64', head_dilation=3)
    with FCN8s(vgg16_dir=str(tmp_path / 'vgg16'), num_classes=3) as network:
        model = network.save(str(tmp_path), name='dilated', force_save=True)
    assert export_model(model, str(tmp_path / 'export'), 'onnx', 'float16')['misses'] == []


def test_the_openvino_file_alone_says_what_it_takes(export):
    openvino = pytest.importorskip('openvino')
    model = openvino.Core().read_model(os.path.join(export('openvino'), 'model.xml'))
    for name, value in read_certificate(export('openvino'))['interface'].items():
        assert json.loads(model.get_rt_info(['fcn8s', name]).astype(str)) == value


def test_tflite_takes_its_size_and_no_other(export, narrow_model, pictures):
    import fcn8s

    with fcn8s.open_model(narrow_model) as reference, fcn8s.open_model(export('tflite')) as exported:
        images = np.stack([pictures[1], pictures[1][::-1]])
        np.testing.assert_allclose(
            exported.predict(images, argmax=False), reference.predict(images, argmax=False), atol=1e-5
        )
        with pytest.raises(ValueError, match='images are 45 x 70, and this export takes 64 x 96 alone'):
            exported.predict(pictures[0][np.newaxis])
        with pytest.raises(ValueError, match=r'images hold numbers such as 7.5; this network takes whole numbers'):
            exported.predict(np.full([1, 64, 96, 3], 7.5))


def calibrate(folder):
    """The options of an export in int8, with few images."""
    from fcn8s.export.samples import generated_images

    for number, image in enumerate(generated_images(6)):
        write_image(os.path.join(folder, '{}.png'.format(number)), image)
    return dict(calibration=folder, calibration_images=4, allow_loss=True)


@pytest.mark.parametrize('precision', ['float32', 'float16', 'int8'])
def test_tflite_has_a_signature_with_the_names_of_every_format(export, tmp_path, pictures, precision):
    import fcn8s

    path = export('tflite', precision, **(calibrate(str(tmp_path)) if precision == 'int8' else {}))
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(os.path.join(path, 'model.tflite'))
    (signature,) = interpreter.get_signature_list().items()
    names = ['class_ids', 'logits', 'probabilities']
    assert signature == ('serving_default', {'inputs': ['images'], 'outputs': names})
    # Programs that know the file without its signature find tensors by name or number.
    assert [detail['name'] for detail in interpreter.get_input_details()] == ['images']
    outputs = interpreter.get_output_details()
    assert [detail['name'] for detail in outputs] == ['class_ids', 'probabilities', 'logits']
    values = interpreter.get_signature_runner()(images=pictures[1][np.newaxis])
    assert [values[name].dtype for name in names] == [np.uint8, np.float32, np.float32]
    with fcn8s.open_model(path) as exported:
        np.testing.assert_array_equal(values['class_ids'], exported.predict(pictures[1:]))
        np.testing.assert_array_equal(values['probabilities'], exported.predict(pictures[1:], argmax=False))
    np.testing.assert_array_equal(values['logits'].argmax(-1), values['class_ids'])


def test_a_tflite_file_of_before_signatures_is_opened(export, tmp_path, pictures, answers):
    import fcn8s

    path = shutil.copytree(export('tflite'), str(tmp_path / 'export'))
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    file = os.path.join(path, 'model.tflite')
    with open(file, 'rb') as opened:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(opened.read(), 0))
    model.signatureDefs = None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b'TFL3')
    with open(file, 'wb') as opened:
        opened.write(builder.Output())
    assert Interpreter(file).get_signature_list() == {}
    with fcn8s.open_model(path) as exported:
        np.testing.assert_array_equal(exported.predict(pictures[1:])[0], answers[1][0])


@pytest.mark.parametrize('format_name', ['frozen', 'onnx', 'openvino', 'tflite'])
def test_a_flipped_bit_is_told_which_no_runtime_does(export, tmp_path, pictures, format_name):
    import fcn8s
    from fcn8s.export.formats import FORMATS

    path = shutil.copytree(export(format_name), str(tmp_path / 'export'))
    name = 'model.bin' if format_name == 'openvino' else FORMATS[format_name].file
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        fcn8s.open_model(path).close()
    with open(os.path.join(path, name), 'r+b') as file:
        # Within the weights, which are most of it.
        file.seek(os.path.getsize(file.name) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    said = '{} of the export .* is not what certificate.json was written for'.format(name)
    with pytest.warns(UserWarning, match=said), fcn8s.open_model(path) as exported:
        assert exported.predict(pictures[1:]).shape == (1, 64, 96)
    os.unlink(os.path.join(path, 'certificate.json'))
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        fcn8s.open_model(path).close()


def test_the_interpreter_refuses_another_size_where_it_is_asked_strictly(export):
    """Otherwise it computes some of them, and answers of two images one."""
    path = export('tflite')
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(os.path.join(path, 'model.tflite'))
    index = interpreter.get_input_details()[0]['index']
    for shape in ([2, 64, 96, 3], [1, 63, 95, 3]):
        with pytest.raises(RuntimeError, match='only allows mutating unknown dimensions'):
            interpreter.resize_tensor_input(index, shape, strict=True)


@pytest.mark.parametrize('format_name', ['onnx', 'openvino', 'tflite'])
def test_several_threads_predict_with_one_model(export, format_name):
    """As in a web server. Runtimes that have one set of buffers must not mix them up, nor refuse."""
    import fcn8s

    rng = np.random.RandomState(0)
    batches = [rng.randint(0, 256, [2, 64, 96, 3]).astype(np.uint8) for _ in range(4)]
    with fcn8s.open_model(export(format_name)) as exported, ThreadPoolExecutor(4) as threads:
        expected = [exported.predict(images) for images in batches]
        for result in [threads.map(exported.predict, batches) for _ in range(8)]:
            for found, wanted in zip(result, expected):
                np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize('format_name', EXACT + ('tflite',))
def test_certificate_of_float32(export, narrow_model, format_name):
    path = export(format_name)
    certificate = read_certificate(path)
    assert certificate['misses'] == []
    assert certificate['comparison']['relative_logit_difference'] < 1e-4
    assert certificate['comparison']['equal_pixels'] > 0.999
    assert len(certificate['comparison']['sizes']) == (1 if format_name == 'tflite' else 2)
    assert certificate['seconds_per_image']['export'] > 0 and certificate['seconds_per_image']['tensorflow'] > 0
    interface = certificate['interface']
    assert interface['class_names'] == ['road', 'car', 'tree', 'sky', 'person'] and len(interface['colors']) == 5
    assert interface['inputs']['images']['layout'] == 'NHWC' and interface['value_range'] == [0, 255]
    names = set(certificate['result']['sha256'])
    assert interface['file'] is None or interface['file'] in names
    for directory, part in ((path, 'result'), (narrow_model, 'source')):
        for name, digest in certificate[part]['sha256'].items():
            done = subprocess.run(
                ['sha256sum', os.path.join(directory, name)],
                check=True,
                stdout=subprocess.PIPE,
                universal_newlines=True,
            )
            assert done.stdout.split()[0].lstrip('\\') == digest


@pytest.mark.parametrize(
    'format_name, precision',
    [
        ('onnx', 'float16'),
        ('tflite', 'float16'),
        ('openvino', 'float16'),
        ('openvino', 'bfloat16'),
        ('frozen', 'bfloat16'),
    ],
)
def test_half_precision_is_half_the_size_and_99_percent_equal(export, format_name, precision):
    if format_name == 'frozen' and cannot(precision):
        pytest.skip(cannot(precision))
    path = export(format_name, precision, **({'allow_loss': True} if precision == 'bfloat16' else {}))
    assert read_certificate(path)['comparison']['equal_pixels'] > (0.98 if precision == 'bfloat16' else 0.99)

    def weights(directory):
        files = [os.path.join(directory, name) for name in os.listdir(directory) if name.startswith('model.')]
        return max(os.path.getsize(path) for path in files if not path.endswith('.xml'))

    # Of 160 kB, some are no weights.
    assert weights(path) < 0.72 * weights(export(format_name))


@pytest.mark.parametrize('format_name', ['openvino', 'tflite'])
def test_int8_is_calibrated_on_images(export, tmp_path, format_name, narrow_model):
    path = export(format_name, 'int8', **calibrate(str(tmp_path)))
    certificate = read_certificate(path)
    assert len(certificate['calibration']['images']) == 4
    assert certificate['comparison']['equal_pixels'] > 0.7
    assert certificate['comparison']['largest_logit_difference'] > 1e-4  # it is quantised


def folder_of_images(folder, pictures):
    for number, image in enumerate(pictures):
        write_image(os.path.join(folder, '{}.png'.format(number)), image)
        write_labels(os.path.join(folder, 'labels', '{}.png'.format(number)), (image[..., 0] % 5).astype(np.uint8))


def test_tolerances_are_those_that_are_said():
    from fcn8s.export.certificate import misses

    good = {'relative_logit_difference': 9e-5, 'equal_pixels': 0.9995}
    assert misses(good, 'float32') == []
    assert 'logits differ by 2.0e-04' in misses(dict(good, relative_logit_difference=2e-4), 'float32')[0]
    assert 'logits are not finite' in misses(dict(good, relative_logit_difference=float('nan')), 'float32')[0]
    assert '98.00% of the pixels' in misses(dict(good, equal_pixels=0.98), 'bfloat16')[0]
    assert misses(dict(good, equal_pixels=0.98), 'int8') == []
    scores = {'tensorflow': 0.5, 'export': 0.489}
    assert 'falls by 1.10 points' in misses(dict(good, equal_pixels=0.98, mean_iou=scores), 'int8')[0]
    unknown = {'tensorflow': float('nan'), 'export': float('nan')}  # no pixel of the labels counts
    assert misses(dict(good, mean_iou=unknown), 'int8') == []
    assert '90.00% of the pixels' in misses(dict(good, equal_pixels=0.9, mean_iou=unknown), 'int8')[0]
    assert misses(dict(good, equal_pixels=0.5, mean_iou={'tensorflow': 0.5, 'export': 0.491}), 'int8') == []


def run(*arguments):
    from fcn8s.cli import main

    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize('options', [(), ('--tile', 40, 48, '--overlap', 8), ('--scales', 0.75, 1, '--mirror')])
def test_predict_writes_the_same_files_with_each_engine(export, narrow_model, tmp_path, pictures, options):
    exported = export('openvino')
    images = str(tmp_path / 'images')
    os.makedirs(images)
    for number, image in enumerate(pictures):
        write_image(os.path.join(images, '{}.png'.format(number)), image)
    common = ('--ids', '--softmax') + options
    assert run('predict', narrow_model, images, '--out', tmp_path / 'tensorflow', *common) == 0
    assert run('predict', narrow_model, images, '--out', tmp_path / 'engine', '--engine', 'openvino', *common) == 0
    assert run('predict', exported, images, '--out', tmp_path / 'export', *common) == 0
    names = sorted(os.listdir(str(tmp_path / 'tensorflow')))
    assert len(names) == 4
    for other in ('engine', 'export'):
        assert sorted(os.listdir(str(tmp_path / other))) == names
        for name in [name for name in names if name.endswith('.npz')]:
            one, two = [np.load(str(tmp_path / which / name))['softmax'] for which in ('tensorflow', other)]
            np.testing.assert_allclose(two, one, atol=1e-5)


def test_evaluate_gives_the_same_scores_with_each_engine(export, narrow_model, tmp_path, pictures):
    exported = export('openvino')
    os.makedirs(str(tmp_path / 'images'))
    os.makedirs(str(tmp_path / 'labels'))
    for number, image in enumerate(pictures):
        write_image(str(tmp_path / 'images' / '{}.png'.format(number)), image)
        write_labels(str(tmp_path / 'labels' / '{}.png'.format(number)), (image[..., 0] % 5).astype(np.uint8))
    reports = []
    for model in (narrow_model, exported, export('saved_model')):
        path = str(tmp_path / 'scores.json')
        # Another size for the network than that of the labels: logits are interpolated.
        arguments = ('--images', tmp_path / 'images', '--labels', tmp_path / 'labels', '--size', 48, 60)
        arguments += ('--json', path)
        assert run('evaluate', model, *arguments) == 0
        with open(path, encoding='utf-8') as file:
            reports.append(json.load(file))
    assert [report['engine'] for report in reports] == ['tensorflow', 'openvino', 'tensorflow']
    for report in reports[1:]:
        np.testing.assert_allclose(report['mean_iou'], reports[0]['mean_iou'], atol=1e-3)
        np.testing.assert_allclose(report['loss'], reports[0]['loss'], rtol=1e-5)


def test_video_and_tflite_at_its_size(export, tmp_path, pictures):
    frames = str(tmp_path / 'frames')
    os.makedirs(frames)
    for number in range(3):
        write_image(os.path.join(frames, '{}.png'.format(number)), pictures[1])
    assert run('video', export('openvino'), frames, tmp_path / 'out.mp4') == 0
    assert os.path.getsize(str(tmp_path / 'out.mp4')) > 500
    write_image(os.path.join(frames, 'other.png'), pictures[0])
    assert run('predict', export('tflite'), frames, '--out', tmp_path / 'ids', '--ids') == 0
    from helpers.images import read_labels

    assert read_labels(str(tmp_path / 'ids' / 'other_ids.png')).shape == pictures[0].shape[:2]


def test_an_export_predicts_without_tensorflow(export):
    path = export('openvino')
    files = sorted(os.listdir(path))
    code = (
        'import sys, numpy as np, fcn8s; model = fcn8s.open_model({!r}); '
        'print(model.predict(np.zeros([1, 40, 50, 3], np.uint8)).shape); sys.exit("tensorflow" in sys.modules)'
    ).format(path)
    done = subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.PIPE, universal_newlines=True)
    assert done.stdout.strip() == '(1, 40, 50)'
    assert sorted(os.listdir(path)) == files
    assert os.listdir(os.path.join(os.environ['XDG_CACHE_HOME'], 'fcn8s', 'openvino'))


def put_into_run(model, run, size):
    """Makes a copy of a model the checkpoint of a run that was evaluated at a size."""
    shutil.copytree(model, os.path.join(run, 'checkpoints', 'step-00000001'))
    for name, content in (
        ('config.json', {'command': {'size': size}}),
        ('checkpoints/best.json', {'checkpoint': 'step-00000001'}),
    ):
        with open(os.path.join(run, name), 'w', encoding='utf-8') as file:
            json.dump(content, file)


def test_fcn8s_opens_an_exported_saved_model_for_prediction(export, narrow_model, answers, pictures, tmp_path):
    from fcn8s import FCN8s
    from fcn8s.distributed.workers import DistributedSettings

    with FCN8s(model_load_dir=export('saved_model')) as network:
        np.testing.assert_allclose(network.predict(pictures[:1], argmax=False)[0], answers[0][1], atol=1e-5)
        with pytest.raises(ValueError, match='opened from an export, which is for prediction only'):
            network.train(iter(()), 1, 1, lambda step: 0.1)
        with pytest.raises(ValueError, match='opened from an export, which is for prediction only'):
            network.save(str(tmp_path))
    with pytest.raises(ValueError, match='This is an export, for prediction only'):
        FCN8s(fine_tune_from=export('saved_model'), num_classes=3)
    for options, names in (
        (dict(loss='dice'), 'loss is'),
        (dict(accumulate_batches=2, freeze=5), 'optimizer and freeze are'),
        (dict(distributed=DistributedSettings()), 'distributed is'),
    ):
        with pytest.raises(ValueError, match=names + ' given, and .* is an export, .* that is about training'):
            FCN8s(model_load_dir=export('saved_model'), **options)
    FCN8s(model_load_dir=export('saved_model'), num_classes=5, gpu_memory_growth=False, distributed=False).close()


def test_a_network_exports_itself_as_its_run_is_exported(export, narrow_model, tmp_path, pictures):
    import fcn8s
    from fcn8s import FCN8s

    export('frozen')
    run, size = str(tmp_path / 'run'), (32, 64)
    put_into_run(narrow_model, run, size)
    image = str(tmp_path / 'image.png')
    write_image(image, pictures[0])
    with FCN8s(model_load_dir=run) as network:
        certificate = network.export(
            str(tmp_path / 'out'), format='frozen', verify=folder_of_images(tmp_path, pictures)
        )
        expected = network.predict(pictures[:1])
    assert certificate['misses'] == []
    assert size in certificate['comparison']['sizes'] and certificate['interface']['input_size'] == size
    assert certificate['source']['path'] is None  # the folder that it was written to is gone
    assert read_certificate(str(tmp_path / 'out'))['source'] == certificate['source']
    with fcn8s.open_model(str(tmp_path / 'out')) as model:
        np.testing.assert_array_equal(model.predict(pictures[:1]), expected)


def test_what_is_said_to_tensorflow_alone_is_refused_of_other_exports(export):
    import fcn8s
    from fcn8s import FCN8s
    from fcn8s.backend import tf

    for format_name, options, message in (
        (
            'saved_model',
            dict(tags=['default']),
            r"tags is \['default'\], but '.*' is an export to saved_model.*\['serve'\]",
        ),
        ('frozen', dict(tags=['default']), 'is an export to frozen, which has none. Leave the tags out'),
        (
            'openvino',
            dict(session_config=tf.ConfigProto()),
            'session_config is about TensorFlow, and openvino computes',
        ),
    ):
        with pytest.raises(ValueError, match=message):
            fcn8s.open_model(export(format_name), **options)
    with pytest.raises(ValueError, match='is an export to saved_model, which has'):
        FCN8s(model_load_dir=export('saved_model'), tags=['default'])


def test_a_packed_run_that_resized_images_is_checked_at_its_size_by_labels_and_says_so(
    export, narrow_model, tmp_path, pictures
):
    import fcn8s
    from fcn8s.evaluation.scores import count_classes, count_confusion, mean_iou
    from fcn8s.export.exporting import export_model
    from fcn8s.saving.packing import pack
    from helpers.images import resize_image, resize_labels

    export('frozen')
    run, size = str(tmp_path / 'run'), (32, 64)
    put_into_run(narrow_model, run, size)
    images, labels = str(tmp_path / 'images'), str(tmp_path / 'images' / 'labels')
    os.makedirs(labels)
    folder_of_images(images, pictures)
    shutil.move(labels, str(tmp_path / 'labels'))
    options = dict(verify=images, labels=str(tmp_path / 'labels'))
    archive = pack(run, str(tmp_path / 'network.zip'))
    certificate = export_model(archive, str(tmp_path / 'out'), 'frozen', **options)
    assert read_certificate(str(tmp_path / 'out'))['source']['path'] == archive
    assert certificate['comparison']['sizes'] == [(24, 40), size]
    assert certificate['interface']['input_size'] == size
    assert certificate['interface']['preprocessing'].startswith('resize to 32 x 64 (height x width)')
    with fcn8s.open_model(narrow_model) as model:
        confusion = sum(
            count_confusion(
                resize_labels((image[..., 0] % 5).astype(np.uint8), size),
                model.predict([resize_image(image, size)])[0],
                5,
            )
            for image in pictures
        )
    scores = certificate['comparison']['mean_iou']
    assert scores['tensorflow'] == scores['export'] == float(mean_iou(count_classes(confusion)))
    assert scores['images'] == 2


def _labelled(pictures, one_hot=False, which=0):
    """One batch, twice; 255 is ignored, and one-hot labels have no 1 there."""
    image = pictures[which]
    labels = np.where(image[..., 1] > 250, 255, image[..., 0] % 5).astype(np.uint8)
    if one_hot:
        labels = (labels[..., None] == np.arange(5)).astype(np.uint8)
    return iter([(image[None], labels[None])] * 2)


@pytest.mark.parametrize('format_name', ['openvino', 'frozen', 'onnx'])
def test_fcn8s_in_another_engine_predicts_and_evaluates(export, narrow_model, answers, pictures, tmp_path, format_name):
    from fcn8s import FCN8s

    with FCN8s(model_load_dir=narrow_model) as network:
        expected = network.evaluate(_labelled(pictures), 2)
    # OpenVINO also converts the saved model as it is opened.
    beginnings = [dict(model_load_dir=export(format_name))]
    if format_name == 'openvino':
        beginnings.append(dict(model_load_dir=narrow_model, engine='openvino'))
    for beginning in beginnings:
        with FCN8s(**beginning) as network:
            np.testing.assert_array_equal(network.predict(pictures[:1])[0], answers[0][0])
            np.testing.assert_allclose(network.predict(pictures[:1], argmax=False)[0], answers[0][1], atol=1e-5)
            for one_hot in (False, True):
                scores = network.evaluate(_labelled(pictures, one_hot), 2)
                np.testing.assert_array_equal(scores['confusion_matrix'], expected['confusion_matrix'])
                np.testing.assert_allclose(scores['loss'], expected['loss'], rtol=1e-5)
            assert network.num_classes == 5 and network.label_space.class_names[1] == 'car'
            with pytest.raises(ValueError, match='l2_regularization is 0.1; .* has to be 0'):
                network.evaluate(_labelled(pictures), 1, l2_regularization=0.1)
            for verb in (
                lambda: network.train(iter(()), 1, 1, lambda step: 0.1),
                lambda: network.save(str(tmp_path)),
                lambda: network.load_variables(narrow_model),
                lambda: network.export(str(tmp_path / 'out')),
            ):
                with pytest.raises(ValueError, match='for prediction and evaluation only. Train, save and export'):
                    verb()
        with pytest.raises(ValueError, match='this FCN8s was closed'):
            network.predict(pictures[:1])


def test_fcn8s_on_a_tflite_export_at_its_size(export, narrow_model, answers, pictures):
    from fcn8s import FCN8s

    with FCN8s(model_load_dir=narrow_model) as network:
        expected = network.evaluate(_labelled(pictures, which=1), 2)
    with FCN8s(model_load_dir=export('tflite')) as network:
        np.testing.assert_array_equal(network.predict(pictures[1:])[0], answers[1][0])
        scores = network.evaluate(_labelled(pictures, which=1), 2)
        np.testing.assert_array_equal(scores['confusion_matrix'], expected['confusion_matrix'])
        np.testing.assert_allclose(scores['loss'], expected['loss'], rtol=1e-5)
        with pytest.raises(ValueError, match='takes 64 x 96 alone'):
            network.predict(pictures[:1])


def test_what_another_engine_cannot_do_is_refused_by_name(export, narrow_model):
    from fcn8s import FCN8s

    for arguments, message in (
        (dict(model_load_dir=narrow_model, engine='torch'), "engine is 'torch'; choose from tensorflow, openvino"),
        (dict(vgg16_dir='encoder', num_classes=2, engine='openvino'), "engine is 'openvino', without model_load_dir"),
        (dict(model_load_dir=narrow_model, engine='openvino', freeze='encoder'), 'freeze is given; where another'),
        (
            dict(model_load_dir=narrow_model, engine='openvino', optimizer='sgd', class_weights=np.ones(5), xla=True),
            'optimizer and class_weights and xla are given',
        ),
        (dict(model_load_dir=export('frozen'), loss='focal'), 'loss is given'),
        (dict(model_load_dir=export('frozen'), engine='openvino'), 'is an export to frozen, which tensorflow runs'),
    ):
        with pytest.raises(ValueError, match=message):
            FCN8s(**arguments)

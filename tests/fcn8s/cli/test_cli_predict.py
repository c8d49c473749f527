import argparse
import json
import os
import re
import signal
import subprocess
import sys
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image
from small_models import run_of
from streams import StoppedCamera

from fcn8s import FCN8s, cli
from fcn8s.cli.inputs.prediction_plan import _check_submission, plan_prediction
from fcn8s.prediction import ensemble, frozen_network, result_files
from fcn8s.prediction.polygon_files import check_no_polygons
from helpers.files import check_folder
from helpers.images import read_labels, write_image, write_labels
from helpers.label_spaces import LABEL_SPACES, cityscapes20_to_cityscapes_ids
from helpers.video import VideoWriter, open_frames


def random_image(height, width, seed):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / 'images'
    for number, name in enumerate(['one.png', os.path.join('town', 'two.png'), os.path.join('town', 'three.png')]):
        path = str(folder / name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_image(path, random_image(20 + number, 30, number))
    return str(folder)


def predict(*arguments):
    return cli.main(['predict'] + [str(argument) for argument in arguments])


def files_in(folder):
    return sorted(
        os.path.relpath(os.path.join(directory, name), folder)
        for directory, _, names in os.walk(folder)
        for name in names
    )


def expected_ids(model_dir, image):
    with frozen_network.open_model(model_dir) as model:
        return model.predict(image[np.newaxis])[0]


def test_a_folder_with_its_subfolders(small_model, images, tmp_path):
    assert predict(small_model, images, '--out', tmp_path / 'out') == 0
    assert files_in(str(tmp_path / 'out')) == ['one_overlay.png', 'town/three_overlay.png', 'town/two_overlay.png']


@pytest.mark.parametrize('share, times', [([], 1), (['--share', '0', '2', 'FOLDER'], 0)])
def test_what_is_left_out_of_a_folder_is_told_by_the_process_that_deals_it_out(
    small_model, images, tmp_path, share, times
):
    write_image(os.path.join(images, 'four.png'), random_image(8, 8, 4))
    os.rename(os.path.join(images, 'four.png'), os.path.join(images, 'four.heic'))
    arguments = ['predict', small_model, images, '--out', str(tmp_path / 'out')] + share
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter('always')
        assert len(plan_prediction(cli.build_parser().parse_args(arguments)).jobs) == 3
    assert sum('four.heic' in str(warning.message) for warning in told) == times


@pytest.mark.parametrize('arguments', [[], ['--mirror', '--samples', 2]])
def test_a_temperature_changes_the_soft_max_and_no_other_file(small_model, images, tmp_path, arguments):
    words = [small_model, os.path.join(images, 'one.png'), '--overlay', '--ids', '--softmax'] + arguments
    assert predict(*words, '--out', tmp_path / 'plain') == 0
    assert predict(*words, '--out', tmp_path / 'hot', '--temperature', 1.6) == 0
    changed = {'one_softmax.npz'} | ({'one_doubt.npz', 'one_entropy.png', 'doubt.csv'} if arguments else set())
    for name in files_in(str(tmp_path / 'plain')):
        is_same = (tmp_path / 'plain' / name).read_bytes() == (tmp_path / 'hot' / name).read_bytes()
        assert is_same == (name not in changed), name
    plain, hot = [
        np.load(str(tmp_path / name / 'one_softmax.npz'))['softmax'].astype(np.float64) for name in ('plain', 'hot')
    ]
    powers = plain ** (1 / 1.6)
    np.testing.assert_allclose(hot, powers / powers.sum(axis=-1, keepdims=True), atol=1e-5)


def test_all_kinds_of_results(small_model, images, tmp_path):
    out = tmp_path / 'out'
    image_path = os.path.join(images, 'one.png')
    assert predict(small_model, image_path, '--out', out, '--overlay', '--color', '--ids', '--softmax') == 0
    assert files_in(str(out)) == ['one_color.png', 'one_ids.png', 'one_overlay.png', 'one_softmax.npz']
    class_ids = expected_ids(small_model, random_image(20, 30, 0))
    np.testing.assert_array_equal(read_labels(str(out / 'one_ids.png')), class_ids)
    soft_max = np.load(str(out / 'one_softmax.npz'))['softmax']
    assert soft_max.dtype == np.float32 and soft_max.shape == (20, 30, 20)
    np.testing.assert_array_equal(np.argmax(soft_max, axis=-1), class_ids)
    colors = cv2.cvtColor(cv2.imread(str(out / 'one_color.png')), cv2.COLOR_BGR2RGB)
    table = np.array(LABEL_SPACES['cityscapes20'].colors)
    table[0] = 0
    np.testing.assert_array_equal(colors, table[class_ids])


def test_colours_for_the_colour_blind(small_model, images, tmp_path):
    from helpers.color_vision import with_palette

    out = tmp_path / 'out'
    one = os.path.join(images, 'one.png')
    assert (
        predict(small_model, one, '--out', out, '--color', '--overlay', '--alpha', '1', '--palette', 'color-blind') == 0
    )
    table = np.array(with_palette(LABEL_SPACES['cityscapes20'], 'color-blind').colors)
    class_ids = expected_ids(small_model, random_image(20, 30, 0))
    colors = cv2.cvtColor(cv2.imread(str(out / 'one_color.png')), cv2.COLOR_BGR2RGB)
    visible = class_ids > 0  # void is black, and clear in overlays
    np.testing.assert_array_equal(colors[visible], table[class_ids][visible])
    overlay = cv2.cvtColor(cv2.imread(str(out / 'one_overlay.png')), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(overlay[visible], table[class_ids][visible])


@pytest.mark.parametrize('which', ['dataset', 'train'])
def test_ids_of_cityscapes(small_model, images, tmp_path, which):
    out = tmp_path / 'out'
    assert predict(small_model, os.path.join(images, 'one.png'), '--out', out, '--ids', which) == 0
    class_ids = expected_ids(small_model, random_image(20, 30, 0))
    # cityscapes20 is void and then the 19 train IDs.
    expected = {
        'dataset': cityscapes20_to_cityscapes_ids()[class_ids],
        'train': np.where(class_ids == 0, 255, class_ids - 1),
    }
    np.testing.assert_array_equal(read_labels(str(out / 'one_{}_ids.png'.format(which))), expected[which])


def test_a_glob_keeps_the_folders_below_its_fixed_part(small_model, images, tmp_path):
    assert predict(small_model, os.path.join(images, '*', 't*.png'), '--out', tmp_path / 'out') == 0
    assert files_in(str(tmp_path / 'out')) == ['town/three_overlay.png', 'town/two_overlay.png']


def test_tiles_scales_and_mirror_come_through(small_model, images, tmp_path):
    assert (
        predict(
            small_model,
            images,
            '--out',
            tmp_path / 'out',
            '--tile',
            64,
            64,
            '--overlap',
            16,
            '--mirror',
            '--scales',
            0.5,
            1,
            '--contours',
            '--alpha',
            0.7,
        )
        == 0
    )
    assert len(files_in(str(tmp_path / 'out'))) == 3


def test_a_video(small_model, tmp_path):
    source = str(tmp_path / 'drive.mp4')
    with VideoWriter(source, (32, 48), 10) as writer:
        for number in range(4):
            writer.write(random_image(32, 48, number))
    assert predict(small_model, source, '--out', tmp_path / 'out', '--ids') == 0
    assert files_in(str(tmp_path / 'out')) == ['drive/frame_{:06d}_ids.png'.format(number) for number in range(4)]


@pytest.mark.parametrize(
    'name, options',
    [('a.gif', {}), ('a.png', {}), ('a.apng', {'format': 'PNG'}), ('a.webp', {}), ('a.jpg', {'format': 'GIF'})],
)
def test_an_image_is_a_video_where_it_moves(small_model, tmp_path, capsys, name, options):
    """By its content, whatever it is called."""
    still = tmp_path / ('still' + os.path.splitext(name)[1])
    pictures = [Image.fromarray(random_image(32, 48, number)) for number in range(3)]
    pictures[0].save(str(tmp_path / name), save_all=True, append_images=pictures[1:], duration=100, **options)
    pictures[0].save(str(still), **options)
    status = predict(small_model, tmp_path / name, '--out', tmp_path / 'out', '--ids')
    if name == 'a.webp' and sys.version_info < (3, 8):
        assert status == 2
        assert re.search(
            r'a\.webp cannot be read as a video\. It is .* this ffmpeg is too old', capsys.readouterr().err
        )
    else:
        assert status == 0
        frames = ['a/frame_{:06d}_ids.png'.format(number) for number in range(3)]
        assert files_in(str(tmp_path / 'out')) == frames
    if options.get('format') != 'GIF':  # which is not read as an image
        assert predict(small_model, still, '--out', tmp_path / 'still', '--ids') == 0
        assert files_in(str(tmp_path / 'still')) == ['still_ids.png']


@pytest.mark.parametrize('share', [0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.9])
def test_a_damaged_gif_is_named(small_model, tmp_path, capsys, share):
    path = tmp_path / 'cut.gif'
    pictures = [Image.fromarray(random_image(32, 48, number)) for number in range(3)]
    pictures[0].save(str(path), save_all=True, append_images=pictures[1:], duration=100)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert predict(small_model, path, '--out', tmp_path / 'out', '--ids') in (0, 2)
    assert 'Traceback' not in capsys.readouterr().err


@pytest.mark.parametrize(
    'kind, names', [('labelme', ['one.json', 'town/three.json', 'town/two.json']), ('coco', ['annotations.json'])]
)
def test_polygons_are_imported_as_what_was_predicted(small_model, images, tmp_path, capsys, kind, names):
    out = str(tmp_path / 'out')
    assert predict(small_model, images, '--out', out, '--polygons', kind, '--ids') == 0
    assert [name for name in files_in(out) if name.endswith('.json')] == names
    with open(os.path.join(out, names[0]), 'a') as file:
        file.write(' ')  # which changes the file, and not what it means
    assert predict(small_model, images, '--out', out, '--polygons', kind) == 2
    refused = '{} is there already, and may hold polygons that were drawn or corrected'.format(
        os.path.join(out, names[0])
    )
    assert refused in capsys.readouterr().err
    dataset = tmp_path / 'dataset'
    command = ['import', out, str(dataset), '--images', images, '--rest', 'void', '--val-share', '0']
    assert cli.main(command) == 0
    names = LABEL_SPACES['cityscapes20'].class_names
    found_names = json.loads((dataset / 'classes.json').read_text())['class_names']
    table = np.zeros(256, np.uint8)  # void, class 0, does not count in what is imported
    table[: len(found_names)] = [names.index(name) for name in found_names]
    for name in ('one', 'town/two', 'town/three'):
        found = read_labels(str(dataset / 'labels' / 'train' / (name + '.png')))
        np.testing.assert_array_equal(table[found], read_labels(os.path.join(out, name + '_ids.png')))


def test_polygons_of_videos_and_of_unknown_formats_are_refused(tmp_path, capsys):
    for arguments, message in [
        (('camera:0', '--polygons', 'coco'), '--polygons takes images, which annotation tools open, and camera:0 is'),
        (('camera:0', '--polygons', 'svg'), "--polygons is 'svg'; choose from labelme, coco, geojson"),
        (('camera:0', '--polygon-tolerance', '1'), '--polygon-tolerance came without --polygons'),
        (('camera:0', '--polygon-tolerance', '99'), 'the tolerance of polygons is 99.0; it has to be from 0'),
    ]:
        assert predict(tmp_path / 'no_model', *arguments, '--out', tmp_path / 'out') == 2
        assert message in capsys.readouterr().err


def test_a_video_of_two_models_and_their_doubt(small_model, tmp_path):
    for number in range(3):
        write_image(str(tmp_path / 'frames' / '{}.png'.format(number)), random_image(32, 48, number))
    out = str(tmp_path / 'out.mp4')
    command = ['video', small_model, str(tmp_path / 'frames'), out, '--compare', small_model, '--confidence']
    assert cli.main(command) == 0
    with open_frames(out) as frames:
        assert frames.size == (64, 96)
        for frame in frames:
            assert np.abs(frame[20:, :48].astype(int) - frame[20:, 48:]).mean() < 8 < frame[20:].std()


def wrong_pixels(path):
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return (picture == (213, 94, 0)).all(axis=-1) | (picture == (86, 180, 233)).all(axis=-1)


@pytest.mark.parametrize('naming', ['plain', 'cityscapes', 'one file', 'a word more'])
def test_error_maps_show_where_prediction_and_label_differ(small_model, tmp_path, capsys, naming):
    names = {'cityscapes': ('x_leftImg8bit', 'x_gtFine_labelIds'), 'a word more': ('x', 'x_mask')}
    stem, label_stem = names.get(naming, ('x', 'x'))
    image = random_image(24, 36, 0)
    write_image(str(tmp_path / 'images' / (stem + '.png')), image)
    class_ids = expected_ids(small_model, image)
    labels = class_ids.copy()
    labels[5:15, 5:20] = (class_ids[5:15, 5:20] + 1) % 19 + 1
    labels[20:] = 0
    file_ids = labels if naming != 'cityscapes' else cityscapes20_to_cityscapes_ids()[labels]
    label_path = tmp_path / 'labels' / (label_stem + '.png')
    write_labels(str(label_path), file_ids)
    given = label_path if naming == 'one file' else tmp_path / 'labels'
    assert predict(small_model, tmp_path / 'images', '--out', tmp_path / 'out', '--error-map', given) == 0
    assert files_in(str(tmp_path / 'out')) == [stem + '_errors.png']
    expected = (labels != class_ids) & (labels != 0)
    np.testing.assert_array_equal(wrong_pixels(tmp_path / 'out' / (stem + '_errors.png')), expected)
    refused = {
        'cityscapes': ('--id-map', '0:1', '--id-map came, and the labels in'),
        'plain': (
            '--label-transparency',
            'road',
            "label_transparency is 'road', and is about labels that hold colours",
        ),
    }
    if naming in refused:
        *typed, message = refused[naming]
        capsys.readouterr()
        arguments = (tmp_path / 'images', '--out', tmp_path / 'out', '--error-map', given)
        assert predict(small_model, *arguments, *typed) == 2
        assert message in capsys.readouterr().err


def test_error_maps_that_cannot_be_are_refused(small_model, images, tmp_path, capsys):
    labels = tmp_path / 'labels'
    write_labels(str(labels / 'one.png'), np.zeros((5, 5), np.uint8))
    for arguments, message in [
        (('camera:0', '--error-map', labels), '--error-map takes images, which have labels, and camera:0 is none'),
        ((images, '--error-map', tmp_path / 'none'), 'none does not exist. Give the folder of the labels'),
        ((images, '--id-map', '0:1'), '--id-map is about labels, and came without --error-map'),
        ((images, '--colors', 'cityscapes'), '--colors is about labels, and came without --error-map'),
        ((os.path.join(images, 'one.png'), '--error-map', labels, '--id-map', 'x'), "--id-map is 'x'"),
        ((images, '--error-map', labels), '2 of 3 images have no label in'),
        ((images, '--error-map', labels / 'one.png'), 'is one label, for 3 images. Give a folder'),
        ((os.path.join(images, 'one.png'), '--error-map', labels), 'both must have the same size'),
    ]:
        assert predict(small_model, *arguments, '--out', tmp_path / 'out') == 2
        assert message in capsys.readouterr().err


def test_results_beside_error_maps_replace_no_label(small_model, tmp_path, capsys):
    write_image(str(tmp_path / 'in' / 'a.png'), random_image(20, 30, 0))
    write_labels(str(tmp_path / 'labels' / 'a_ids.png'), np.ones((20, 30), np.uint8))
    words = ['--ids', '--error-map', tmp_path / 'labels', '--out', tmp_path / 'labels']
    assert predict(small_model, tmp_path / 'in', *words) == 2
    assert 'a_ids.png would replace an image or a label of that name' in capsys.readouterr().err
    assert (read_labels(str(tmp_path / 'labels' / 'a_ids.png')) == 1).all()


def test_error_maps_replace_no_image(small_model, tmp_path, capsys):
    images = [str(tmp_path / name) for name in ('x.png', 'x_errors.png')]
    for image in images:
        write_image(image, random_image(8, 8, 0))
        write_labels(str(tmp_path / 'labels' / os.path.basename(image)), np.zeros((8, 8), np.uint8))
    assert predict(small_model, *images, '--out', tmp_path, '--error-map', tmp_path / 'labels') == 2
    assert 'x_errors.png would replace an image or a label of that name' in capsys.readouterr().err
    assert sorted(os.listdir(str(tmp_path))) == ['labels', 'x.png', 'x_errors.png']


def test_grey_and_alpha_images(small_model, tmp_path):
    cv2.imwrite(str(tmp_path / 'grey.png'), np.full((9, 11), 90, np.uint8))
    cv2.imwrite(str(tmp_path / 'alpha.png'), np.full((9, 11, 4), 90, np.uint8))
    assert predict(small_model, tmp_path / 'grey.png', tmp_path / 'alpha.png', '--out', tmp_path / 'out', '--ids') == 0
    assert read_labels(str(tmp_path / 'out' / 'grey_ids.png')).shape == (9, 11)


def test_a_broken_image_is_named_and_stops(small_model, images, tmp_path, capsys):
    broken = os.path.join(images, 'town', 'three.png')
    os.truncate(broken, os.path.getsize(broken) // 2)
    assert predict(small_model, images, '--out', tmp_path / 'out', '--overlay', '--polygons', 'coco') == 2
    errors = capsys.readouterr().err
    assert 'three.png' in errors and 'annotations.json.partial holds the images' in errors
    assert files_in(str(tmp_path / 'out')) == ['annotations.json.partial', 'one_overlay.png']
    part = json.loads((tmp_path / 'out' / 'annotations.json.partial').read_text())
    assert [image['file_name'] for image in part['images']] == ['one.png']
    check_no_polygons(str(tmp_path / 'out'), ['one'], 'coco')  # the same command may come again


@pytest.mark.parametrize('name', ['camera:left', 'camera:0'])
def test_a_folder_of_images_is_no_camera_whatever_its_name(small_model, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_image(os.path.join(name, 'one.png'), np.zeros((32, 32, 3), np.uint8))
    assert predict(small_model, name, '--out', 'out') == 0
    assert files_in('out') == ['one_overlay.png']


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_camera_that_is_stopped_leaves_all_its_results(small_model, tmp_path, monkeypatch, capsys, number, status):
    class Camera(StoppedCamera):
        last, signal_number = 4, number

    monkeypatch.setattr(cv2, 'VideoCapture', Camera)
    assert predict(small_model, 'camera:0', '--out', tmp_path / 'out', '--samples', 2) == status
    captured = capsys.readouterr()
    assert 'results: ' in captured.out and ('stopped by SIGTERM; the results' in captured.err) == (status == 143)
    rows = (tmp_path / 'out' / 'doubt.csv').read_text().splitlines()
    pictures = [name for name in files_in(str(tmp_path / 'out')) if name.endswith('_entropy.png')]
    assert len(rows) == len(pictures) + 1 and 0 < len(pictures) <= 4


def test_keep_going_is_about_images(small_model, tmp_path, capsys):
    assert predict(small_model, 'camera:0', '--out', tmp_path / 'out', '--keep-going') == 2
    assert '--keep-going is about images that cannot be read, and camera:0 is none' in capsys.readouterr().err


@pytest.mark.parametrize('words', [('--bands', '3', '2', '1'), ('--window', '0', '100'), ('--transparency', 'white')])
def test_how_image_files_are_read_means_nothing_to_streams(tmp_path, words, capsys):
    assert predict('no/model', 'camera:0', '--out', tmp_path / 'out', *words) == 2
    message = words[0] + ' is about how image files are read, and camera:0 is none. Leave it out.'
    assert message in capsys.readouterr().err


def test_keep_going_predicts_the_rest(small_model, images, tmp_path, capsys):
    broken = os.path.join(images, 'town', 'three.png')
    os.truncate(broken, os.path.getsize(broken) // 2)
    os.rename(broken, os.path.join(images, 'town', 'three\n\x1b[31m.png'))
    assert predict(small_model, images, '--out', tmp_path / 'out', '--keep-going') == 1
    _, _, failures = capsys.readouterr().err.partition('1 of the images could not be read:\n')
    assert 'three\\x0a\\x1b[31m.png' in failures and failures.count('\n') == 1
    assert files_in(str(tmp_path / 'out')) == ['one_overlay.png', 'town/two_overlay.png']


def test_other_files_in_the_results_folder_stay(small_model, images, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'notes.txt').write_text('mine')
    (out / 'one.png').write_text('mine')
    for _ in range(2):  # the second time replaces the results of the first
        assert predict(small_model, images, '--out', out) == 0
    assert (out / 'notes.txt').read_text() == (out / 'one.png').read_text() == 'mine'


def test_results_below_the_images_are_not_predicted_again(small_model, images):
    out = os.path.join(images, 'results')
    for _ in range(2):
        assert predict(small_model, images, '--out', out) == 0
    assert files_in(out) == ['one_overlay.png', 'town/three_overlay.png', 'town/two_overlay.png']


def test_refuses_the_folder_of_the_images(small_model, images, capsys):
    before = files_in(images)
    assert predict(small_model, images, '--out', images) == 2
    assert 'is the folder of the images and of the results' in capsys.readouterr().err
    assert files_in(images) == before


def test_refuses_to_replace_an_image(small_model, tmp_path, capsys):
    for name in ('a.png', 'a_overlay.png'):
        write_image(str(tmp_path / name), random_image(8, 8, 0))
    assert predict(small_model, tmp_path / 'a.png', tmp_path / 'a_overlay.png', '--out', tmp_path) == 2
    assert 'a_overlay.png would replace an image' in capsys.readouterr().err


def test_refuses_two_images_of_one_name(small_model, tmp_path, capsys):
    for name in ('a.png', 'a.jpg'):
        write_image(str(tmp_path / name), random_image(8, 8, 0))
    assert predict(small_model, tmp_path, '--out', tmp_path / 'out') == 2
    assert 'would have the same results, a_overlay.png' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_an_image_in_a_folder_that_looks_like_a_pattern(small_model, tmp_path):
    (tmp_path / 'dir[1]').mkdir()
    write_image(str(tmp_path / 'dir[1]' / 'a.png'), random_image(8, 8, 0))
    assert predict(small_model, tmp_path / 'dir[1]' / 'a.png', '--out', tmp_path / 'out') == 0
    assert files_in(str(tmp_path / 'out')) == ['a_overlay.png']


def test_refuses_a_video_that_cannot_be_written_before_the_model_is_opened(tmp_path, capsys):
    (tmp_path / 'o.mp4').mkdir()
    assert cli.main(['video', str(tmp_path / 'no_model'), str(tmp_path / 'no_source'), str(tmp_path / 'o.mp4')]) == 2
    assert 'o.mp4' in capsys.readouterr().err


@pytest.mark.parametrize(
    'source, options, message',
    [
        ('nowhere.mp4', (), 'nowhere.mp4 does not exist. Give a video file'),
        ('text.mp4', (), 'text.mp4 cannot be read as a video'),
        ('empty', (), 'empty'),
        ('camera:0', ('--frame-rate', '20'), 'frame_rate=20.0 came for camera:0, but only a directory of frames'),
        ('empty', ('--temperature', '2'), 'nothing of that is asked for. Add --confidence, or leave it out'),
        (
            'empty',
            ('--temperature', '2', '--confidence', '--compare', 'b'),
            '--temperature is of one network, and --compare brings another. Leave one of them out',
        ),
        ('empty', ('--frame-rate', '0'), 'frame_rate is 0.0; it has to be from 0.001'),
    ],
)
def test_a_source_is_checked_before_the_model_is_opened(tmp_path, capsys, source, options, message):
    (tmp_path / 'text.mp4').write_text('no video')
    (tmp_path / 'empty').mkdir()
    path = source if source.startswith('camera') else str(tmp_path / source)
    assert cli.main(['video', str(tmp_path / 'no_model'), path, str(tmp_path / 'o.mp4'), *options]) == 2
    assert message in capsys.readouterr().err
    if source == 'text.mp4':
        assert predict(tmp_path / 'no_model', path, '--out', tmp_path / 'out') == 2
        assert message in capsys.readouterr().err and not (tmp_path / 'out').exists()


def test_refuses_two_videos_of_one_name(small_model, tmp_path, capsys):
    for folder in ('a', 'b'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'x.mp4').write_bytes(b'no frame of it is read')
    assert predict(small_model, tmp_path / 'a' / 'x.mp4', tmp_path / 'b' / 'x.mp4', '--out', tmp_path / 'out') == 2
    assert "would both write their frames into the folder 'x'" in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--alpha', '1.5'], 'alpha is 1.5'),
        (['--ids', 'label'], "ids is 'label'; choose from class, dataset, train"),
        (['--precision', 'int8'], "precision is 'int8'"),
        (['--scales', '0'], 'positive numbers'),
        (['--tile', '64', '64'], 'tiles of 64 pixels overlap by 128'),
        (['--submission', 'cityscapes'], 'is not named like a Cityscapes image'),
        (['--overlap', '16'], '--overlap is 16, but there are no tiles; give --tile H W too'),
        (['--color', '--alpha', '0.4', '--legend'], '--alpha, --legend are about overlays, and none is asked for'),
        (['--ids', '--palette', 'color-blind'], '--palette is about the colours of classes, and nothing with them'),
        (
            ['--ids', '--palette', 'color-blind', '--tile', '512', '512'],
            '--palette is about the colours of classes, and nothing with them',
        ),
        (
            ['--temperature', '2'],
            '--temperature is 2: it changes how sure the soft-max is and no class, and nothing of',
        ),
        (['--softmax', '--temperature', 'inf'], '--temperature is inf; it has to be a number from 0.01 to 100'),
        (['--size', '0', '64'], 'size is (0, 64); it has to be (height, width), each a whole number of at least 1'),
        (['--size', '1000000', '1000000'], 'size is 1000000 x 1000000: an image of that size and the soft-max of 2'),
    ],
)
def test_refuses_options_out_of_range(small_model, images, tmp_path, capsys, arguments, message):
    assert predict(small_model, images, '--out', tmp_path / 'out', *arguments) == 2
    assert message in capsys.readouterr().err
    assert files_in(str(tmp_path / 'out')) == []


def test_refuses_missing_inputs(small_model, images, tmp_path, capsys):
    assert predict(small_model, tmp_path / 'nowhere', '--out', tmp_path / 'out') == 2
    assert 'nowhere does not exist' in capsys.readouterr().err
    assert predict(tmp_path / 'no_model', images, '--out', tmp_path / 'out') == 2
    assert 'no_model' in capsys.readouterr().err


def test_train_ids_belong_to_cityscapes():
    with pytest.raises(ValueError, match="the model has the classes of 'camvid'; train IDs belong to Cityscapes"):
        result_files.id_map(LABEL_SPACES['camvid'], 'train')
    np.testing.assert_array_equal(result_files.id_map(LABEL_SPACES['camvid'], 'dataset'), np.arange(256))


def test_a_folder_that_is_a_file_is_refused(small_model, images, tmp_path, capsys):
    (tmp_path / 'out').write_text('mine')
    assert predict(small_model, images, '--out', tmp_path / 'out') == 2
    assert 'out' in capsys.readouterr().err
    assert (tmp_path / 'out').read_text() == 'mine'


def test_a_read_only_folder_is_refused_before_predicting(tmp_path, monkeypatch):
    def refuse(source, _):
        raise PermissionError(13, 'Permission denied', source)

    monkeypatch.setattr(os, 'replace', refuse)
    message = 'Permission denied while writing {}. Choose a directory that you may write to.'.format(tmp_path)
    with pytest.raises(PermissionError, match=re.escape(message)):
        check_folder(str(tmp_path))
    assert os.listdir(str(tmp_path)) == []


def test_a_full_disk_leaves_whole_files_only(small_model, images, tmp_path, monkeypatch, capsys):
    replace, calls = os.replace, []

    def fill_up(source, target):
        calls.append(target)
        if len(calls) > 2:  # the probe, the first image
            raise OSError(28, 'No space left on device')
        replace(source, target)

    monkeypatch.setattr(os, 'replace', fill_up)
    assert predict(small_model, images, '--out', tmp_path / 'out') == 2
    assert 'Free some space or choose another directory' in capsys.readouterr().err
    assert files_in(str(tmp_path / 'out')) == ['one_overlay.png']


def test_submission(small_model, tmp_path, monkeypatch, capsys):
    from fcn8s.prediction import cityscapes_submission

    monkeypatch.setattr(cityscapes_submission, 'HEIGHT', 32)
    monkeypatch.setattr(cityscapes_submission, 'WIDTH', 64)
    image = random_image(32, 64, 5)
    write_image(str(tmp_path / 'test' / 'berlin' / 'berlin_000000_000019_leftImg8bit.png'), image)
    out = tmp_path / 'out'
    assert predict(small_model, tmp_path / 'test', '--out', out, '--submission', 'cityscapes') == 0
    name = 'berlin_000000_000019_pred_labelIds.png'
    assert files_in(str(out)) == ['cityscapes_submission.zip', 'cityscapes_submission/' + name]
    np.testing.assert_array_equal(
        read_labels(str(out / 'cityscapes_submission' / name)),
        cityscapes20_to_cityscapes_ids()[expected_ids(small_model, image)],
    )
    (out / 'cityscapes_submission' / '.DS_Store').write_text('of a file manager')
    args = argparse.Namespace(out=str(out), share=None)
    job = result_files.Job(str(tmp_path / 'test' / 'berlin' / 'berlin_000000_000019_leftImg8bit.png'), 'berlin')
    _check_submission(args, [job], [])  # the same command may come again
    (out / 'cityscapes_submission' / 'other.png').write_text('of another split')
    assert predict(small_model, tmp_path / 'test', '--out', out, '--submission', 'cityscapes') == 2
    assert 'holds 1 file of no image, the first is other.png.' in capsys.readouterr().err


def test_a_submission_that_the_server_would_refuse_ends_before_the_model_is_opened(
    small_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr('fcn8s.export.engines.open_model', None)
    for number, size in enumerate([(24, 32), (16, 16)]):
        name = 'berlin_000000_{:06d}_leftImg8bit.png'.format(number)
        write_image(str(tmp_path / 'test' / name), random_image(size[0], size[1], 5))
    arguments = ['--out', tmp_path / 'out', '--submission', 'cityscapes']
    assert predict(small_model, tmp_path / 'test', *arguments) == 2
    errors = capsys.readouterr().err
    assert 'takes predictions of 1024 x 2048 pixels only, and 2 of 2 images have another size: ' in errors
    assert '000000_leftImg8bit.png (24 x 32), ' in errors and '000001_leftImg8bit.png (16 x 16). Give' in errors
    twice = [str(tmp_path / 'twice' / folder / 'berlin_000000_000000_leftImg8bit.png') for folder in 'ab']
    for path in twice:
        write_image(path, random_image(8, 8, 5))
    assert predict(small_model, tmp_path / 'twice', *arguments) == 2
    assert 'Several images would be submitted as berlin_000000_000000' in capsys.readouterr().err
    assert not os.path.exists(str(tmp_path / 'out'))


@pytest.mark.parametrize(
    'words, message',
    [
        (['--error-map', 'LABELS'], '3 of 3 images have no label in'),
        (['--tile', '64', '64'], 'tiles of 64 pixels overlap by 128'),
        (['--scales', '0'], 'positive numbers'),
        (['--submission', 'cityscapes'], "The model predicts the classes of 'voc', which have no Cityscapes labelIds"),
    ],
)
def test_what_the_description_of_a_model_tells_is_refused_before_it_is_opened(
    small_model, images, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.setattr('fcn8s.export.engines.open_model', None)
    monkeypatch.setattr('fcn8s.prediction.cityscapes_submission.check_images', lambda paths: None)
    spaces = [LABEL_SPACES['voc']] if words[0] == '--submission' else []
    common_label_space = ensemble.common_label_space
    monkeypatch.setattr(ensemble, 'common_label_space', lambda own: common_label_space(spaces or own))
    write_labels(str(tmp_path / 'labels' / 'other.png'), np.zeros((5, 5), np.uint8))
    words = [str(tmp_path / 'labels') if word == 'LABELS' else word for word in words]
    assert predict(small_model, images, '--out', tmp_path / 'out', *words) == 2
    assert message in capsys.readouterr().err
    assert files_in(str(tmp_path / 'out')) == []


@pytest.fixture
def sized_run(small_model, tmp_path):
    """A run directory whose images are resized to 16 x 32, with crops for its training."""
    return run_of(small_model, tmp_path / 'run', size=[16, 32], crop=[8, 8])


@pytest.fixture
def small_cityscapes(tmp_path, monkeypatch):
    """The root of a dataset of the size that the evaluation server is made to take, and the labels of its images."""
    from fcn8s.prediction import cityscapes_submission

    monkeypatch.setattr(cityscapes_submission, 'HEIGHT', 32)
    monkeypatch.setattr(cityscapes_submission, 'WIDTH', 64)
    root, labels = tmp_path / 'cityscapes', {}
    for number in range(3):
        name = 'berlin_000000_{:06d}'.format(number)
        coarse = random_image(8, 16, number).repeat(4, axis=0).repeat(4, axis=1)
        write_image(str(root / 'leftImg8bit' / 'val' / 'berlin' / (name + '_leftImg8bit.png')), coarse)
        labels[name] = (np.random.RandomState(number).randint(34, size=(32, 64))).astype(np.uint8)
        write_labels(str(root / 'gtFine' / 'val' / 'berlin' / (name + '_gtFine_labelIds.png')), labels[name])
    return root, labels


@pytest.mark.parametrize(
    'options',
    [
        [],
        ['--mirror'],
        ['--size', '24', '40'],
        ['--size', '16', '32', '--scales', '0.5', '1'],
        ['--tile', '64', '64', '--overlap', '8'],
    ],
)
def test_a_submission_has_the_confusion_that_evaluate_counted(sized_run, small_cityscapes, tmp_path, options):
    root, labels = small_cityscapes
    assert (
        predict(sized_run, root / 'leftImg8bit', '--out', tmp_path / 'out', '--submission', 'cityscapes', *options) == 0
    )
    counted = np.zeros((34, 34), np.int64)
    for name, truth in labels.items():
        path = tmp_path / 'out' / 'cityscapes_submission' / (name + '_pred_labelIds.png')
        np.add.at(counted, (truth, read_labels(str(path))), 1)
    class_of = np.zeros(34, np.int64)
    class_of[cityscapes20_to_cityscapes_ids()[1:20]] = np.arange(1, 20)
    expected = np.zeros((20, 20), np.int64)
    np.add.at(expected, (class_of[:, np.newaxis], class_of), counted)
    scores = tmp_path / 'scores.json'
    arguments = ['evaluate', sized_run, '--data', root, '--json', scores] + options
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert (expected[1:].sum(axis=0) > 0).sum() > 1  # more than one class is predicted
    np.testing.assert_array_equal(json.loads(scores.read_text())['confusion_matrix'], expected)


@pytest.fixture(scope='module')
def other_model(small_model, tmp_path_factory):
    """`small_model` with other score layers."""
    with FCN8s(model_load_dir=small_model) as network:
        for variable in network.model.weights:
            if '/score_' in variable.op.name:
                value = np.random.RandomState(1).normal(0, 0.05, variable.shape.as_list())
                network.sess.run(variable.initializer, {variable.initializer.inputs[1]: value})
        return network.save(str(tmp_path_factory.mktemp('other')), saver='saved_model', name='other', force_save=True)


def test_the_mean_of_several_models(small_model, other_model, images, tmp_path):
    out, image = tmp_path / 'out', random_image(20, 30, 0)
    path = os.path.join(images, 'one.png')
    assert predict(small_model, path, '--also', other_model, '--out', out, '--ids', '--softmax') == 0
    soft_max = []
    for model_dir in (small_model, other_model):
        with frozen_network.open_model(model_dir) as model:
            soft_max.append(model.predict([image], argmax=False)[0].astype(np.float64))
    mean = np.mean(soft_max, axis=0)
    assert all((one.argmax(axis=-1) != mean.argmax(axis=-1)).any() for one in soft_max)
    np.testing.assert_array_equal(read_labels(str(out / 'one_ids.png')), mean.argmax(axis=-1))
    with np.load(str(out / 'one_softmax.npz')) as stored:
        np.testing.assert_allclose(stored['softmax'], mean, atol=1e-6)
    shared = tmp_path / 'shared'
    assert predict(small_model, images, '--also', other_model, '--out', shared, '--ids', '--workers', 2) == 0
    np.testing.assert_array_equal(read_labels(str(shared / 'one_ids.png')), mean.argmax(axis=-1))


def test_models_that_cannot_be_averaged_are_refused(small_model, other_model, sized_run, images, tmp_path, capsys):
    out = tmp_path / 'out'
    assert predict(small_model, other_model, images, '--out', out) == 2
    assert 'is a model, and images were expected. To average its soft-max' in unbroken(capsys)
    assert predict(small_model, images, '--also', sized_run, '--out', out) == 2
    assert 'evaluated at images as they are and' in unbroken(capsys)
    assert predict(small_model, images, '--also', small_model, '--out', out) == 2
    assert 'came twice' in unbroken(capsys)
    assert not out.exists()
    assert predict(small_model, images, '--also', sized_run, '--size', 16, 32, '--out', out) == 0


def unbroken(capsys):
    """What was printed to stderr, without breaks of lines."""
    return ' '.join(capsys.readouterr().err.split())


def test_a_video_of_the_mean_of_two_models(small_model, other_model, tmp_path, monkeypatch):
    calls = []
    original = frozen_network.InferenceGraph.predict

    def recording(self, images, argmax=True):
        calls.append(self.model_dir)
        return original(self, images, argmax)

    monkeypatch.setattr(frozen_network.InferenceGraph, 'predict', recording)
    write_image(str(tmp_path / 'frames' / '0.png'), random_image(32, 48, 0))
    arguments = ['video', small_model, str(tmp_path / 'frames'), str(tmp_path / 'out.mp4'), '--also', other_model]
    assert cli.main(arguments) == 0
    assert calls == [small_model, other_model]


def test_a_run_is_predicted_at_the_size_it_was_evaluated_at_and_says_so(sized_run, images, tmp_path, capsys):
    small, out = os.path.join(images, 'one.png'), tmp_path / 'out'
    assert predict(sized_run, small, '--out', out, '--ids') == 0
    printed = capsys.readouterr().out
    assert 'images are resized to 16 x 32 for the network, as fcn8s evaluate does for this run' in printed
    assert 'trained' not in printed
    at_size = read_labels(str(out / 'one_ids.png'))
    assert at_size.shape == (20, 30)
    assert predict(sized_run, small, '--out', out, '--ids', '--size', 16, 32) == 0
    assert 'resized' not in capsys.readouterr().out
    np.testing.assert_array_equal(read_labels(str(out / 'one_ids.png')), at_size)


def test_scales_take_the_images_of_a_run_as_they_are(small_model, sized_run, images, tmp_path, capsys):
    out = tmp_path / 'out'
    assert predict(sized_run, os.path.join(images, 'one.png'), '--out', out, '--ids', '--scales', 1) == 0
    np.testing.assert_array_equal(
        read_labels(str(out / 'one_ids.png')), expected_ids(small_model, random_image(20, 30, 0))
    )
    printed = capsys.readouterr().out
    assert 'note: --scales takes factors of the images as they are' in printed
    assert 'With --size 16 32, so does this command' in printed


def test_a_model_without_a_run_takes_images_as_they_are(small_model, images, tmp_path, capsys):
    assert predict(small_model, images, '--out', tmp_path / 'out') == 0
    assert capsys.readouterr().out == 'results: {}\n'.format(tmp_path / 'out')


def test_a_video_is_predicted_at_the_size_of_the_run(sized_run, tmp_path, capsys, monkeypatch):
    seen = []
    original = frozen_network.InferenceGraph.predict

    def recording(self, images, argmax=True):
        seen.append(images.shape[1:3])
        return original(self, images, argmax)

    monkeypatch.setattr(frozen_network.InferenceGraph, 'predict', recording)
    for number in range(2):
        write_image(str(tmp_path / 'frames' / '{}.png'.format(number)), random_image(32, 48, number))
    assert cli.main(['video', str(sized_run), str(tmp_path / 'frames'), str(tmp_path / 'out.mp4')]) == 0
    assert 'images are resized to 16 x 32 for the network' in capsys.readouterr().out
    assert seen == [(16, 32)] * 2


def test_video_refuses_an_overlap_without_tiles(small_model, tmp_path, capsys):
    out = str(tmp_path / 'out.mp4')
    assert cli.main(['video', small_model, str(tmp_path / 'nowhere'), out, '--overlap', '16']) == 2
    assert '--overlap is 16, but there are no tiles; give --tile H W too' in capsys.readouterr().err


@pytest.mark.parametrize('command', ['predict', 'video'])
def test_help_says_at_which_size_a_run_is_predicted(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, '--help'])
    text = ' '.join(capsys.readouterr().out.split())
    assert 'A run that was evaluated on resized images (--size of fcn8s train) is predicted at that size' in text


def test_video_command(small_model, tmp_path, capsys):
    for number in range(3):
        write_image(str(tmp_path / 'frames' / '{}.png'.format(number)), random_image(32, 48, number))
    out = tmp_path / 'out.mp4'
    assert (
        cli.main(
            [
                'video',
                small_model,
                str(tmp_path / 'frames'),
                str(out),
                '--layout',
                'stacked',
                '--legend',
                '--smoothing',
                '0.5',
                '--frame-rate',
                '5',
            ]
        )
        == 0
    )
    assert out.is_file() and '3 frames in' in capsys.readouterr().out
    assert cli.main(['video', small_model, str(tmp_path / 'frames'), str(out), '--layout', 'mosaic']) == 2
    assert "layout is 'mosaic'" in capsys.readouterr().err
    map_of_colours = ['--layout', 'map', '--contours', '--alpha', '0.3']
    assert cli.main(['video', small_model, str(tmp_path / 'frames'), str(out)] + map_of_colours) == 2
    assert '--alpha, --contours are about the frame below the colours' in capsys.readouterr().err


def test_help_does_not_load_tensorflow():
    code = (
        'import sys, fcn8s.cli\ntry:\n fcn8s.cli.main(["predict", "--help"])\nexcept SystemExit:\n pass\n'
        'sys.exit("tensorflow" in sys.modules or "cv2" in sys.modules)'
    )
    subprocess.run([sys.executable, '-c', code], check=True, stdout=subprocess.DEVNULL)


def test_what_was_converted_is_said_once(small_model, tmp_path):
    """In a process of its own: a warning is shown once a process."""
    for number in range(3):
        cv2.imwrite(str(tmp_path / 'images{}.png'.format(number)), np.full((16, 24), 60 + number, np.uint16))
    command = [sys.executable, '-m', 'fcn8s', 'predict', small_model, str(tmp_path / '*.png')]
    done = subprocess.run(
        command + ['--out', str(tmp_path / 'out')], stderr=subprocess.PIPE, universal_newlines=True, check=False
    )
    notes = [line for line in done.stderr.splitlines() if 'fcn8s predict: note: ' in line]
    assert done.returncode == 0 and len(notes) == 3, done.stderr
    for text in (
        'become three equal channels',
        '8 bits: 0 to 65535 becomes 0 to 255',
        'nearly black.*--window LOW HIGH',
    ):
        assert sum(bool(re.search(text, note)) for note in notes) == 1, done.stderr
    assert '.py' not in ''.join(notes)

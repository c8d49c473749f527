"""`fcn8s check` on small datasets as people have them; what it calls ready can be read as it is to be."""

import importlib.util
import json
import os
import shlex
import shutil
import warnings

import numpy as np
import pytest

from data_generator import BatchGenerator, DataError
from data_generator.annotations import recognise
from data_generator.annotations.documents import read_json_document
from data_generator.checking import folder_pairs
from data_generator.checking.check import check_dataset
from data_generator.checking.faults import FAULT_KINDS
from fcn8s.cli import build_parser, main
from fcn8s.cli.inputs import training as training_inputs
from fcn8s.cli.options import resolving
from helpers.images import read_labels

_spec = importlib.util.spec_from_file_location('situations', os.path.join(os.path.dirname(__file__), 'situations.py'))
situations = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(situations)

EVERY_FAULT = set(FAULT_KINDS)
# Made and tested one by one in test_checking.py.
ELSEWHERE = {'alpha_image', '16_bit_image', 'cmyk_image', 'bands_image', 'turned_image'}


@pytest.fixture(autouse=True)
def _images_tell_once():
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def check(arguments, capsys):
    """The exit status, the text, and the words behind 'fcn8s train' of the command that was printed."""
    status = main(['check', *arguments])
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if ' train --' in line and 'ENCODER' in line]
    return status, printed, shlex.split(lines[0].split(' train ', 1)[1]) if lines else None


def opened(words, encoder='ENCODER'):
    """The datasets of a training, as `fcn8s train` opens them, and its options."""
    words = [encoder if word == 'ENCODER' else word for word in words]
    parser = build_parser()
    args = parser.parse_args(['train', *words])
    typed = {name: value for name, value in vars(args).items() if name not in ('run', 'defaults', 'command')}
    options = resolving.resolve(dict(typed, run_dir='never made'), args.defaults)
    return training_inputs.open_datasets(options), options


def labels_of(data):
    with data.generate(1, shuffle=False) as batches:
        return [next(batches)[1][0] for _ in data.pairs]


@pytest.mark.parametrize('name', sorted(situations.SITUATIONS))
def test_check_names_what_is_wrong_and_what_is_ready_can_be_read(name, tmp_path, capsys):
    situation = situations.SITUATIONS[name](str(tmp_path / 'data'))
    status, text, words = check(situation.arguments(str(tmp_path / 'data')), capsys)
    assert status == (0 if situation.is_sound else 1), text
    for kind in situation.kinds:
        assert FAULT_KINDS[kind].description[1:] in text
    for kind in EVERY_FAULT - set(situation.kinds) - {'single_class', 'system_file'}:
        assert FAULT_KINDS[kind].description[1:] + ':' not in text, text
    for word in situation.words:
        assert word in text
    if not situation.is_sound:
        known = not any(FAULT_KINDS[kind].hides_classes for kind in situation.kinds)
        assert words is None or known, 'a command that guesses'
        return
    (data, val), options = opened(words)
    with training_inputs.train_batches(options, data) as batches:
        for _ in range(batches.num_batches):
            next(batches)
    for split, seed in ((data, 0), (val, 50)):
        if split is not None:
            labels = labels_of(split)
            assert all(np.isin(label, [*range(data.num_classes), data.ignore_id]).all() for label in labels)
            if situation.classes is not None:
                for number, label in enumerate(labels):
                    expected = np.asarray(situation.classes)[situations.shapes(seed + number)[1]]
                    np.testing.assert_array_equal(label, expected)


def test_there_is_a_situation_for_every_fault(tmp_path):
    named = {kind for name, made in situations.SITUATIONS.items() for kind in made(str(tmp_path / name)).kinds}
    assert named == EVERY_FAULT - ELSEWHERE
    assert len(situations.SITUATIONS) >= 40


def test_what_process_all_wrote_is_counted_by_its_class_ids_and_what_lies_beside_it_by_the_map(tmp_path):
    situations.written_by_process_all(str(tmp_path / 'ade'))
    train, val = check_dataset([str(tmp_path / 'ade')], 'ade20k', show_progress=False).splits
    for split, shift in ((train, 0), (val, 1)):
        for pixels, pair in zip(split.class_pixels, split.good_pairs):
            label = read_labels(pair.label)
            np.testing.assert_array_equal(pixels, np.bincount(label.ravel() - shift, minlength=150))


@pytest.mark.parametrize(
    'table, is_voc',
    [
        ('aeroplane\nbicycle\n', True),
        ('background\ngoat\nbicycle\n', False),
        ('background:0,0,0::\naeroplane:128,0,0::\nbicycle:0,128,0::\n', True),
        ('background:0,0,0::\naeroplane:0,128,0::\nbicycle:128,0,0::\n', False),
        ('1 2 3\n', True),
    ],
)
def test_a_table_beside_folders_of_voc_tells_whether_its_classes_are_meant(tmp_path, table, is_voc):
    situations.layout_voc(str(tmp_path / 'data'))
    (tmp_path / 'data' / 'labelmap.txt').write_text(table)
    assert check_dataset(str(tmp_path / 'data'), show_progress=False).is_known_layout == is_voc
    assert check_dataset(str(tmp_path), show_progress=False).is_known_layout == is_voc


def test_a_table_beside_folders_like_those_of_ade20k_tells_of_other_classes(tmp_path):
    """Class 0 did not count, and the others had the name of the class before theirs."""
    splits = [('training', 0, 6), ('validation', 50, 3)]
    situations.dataset(str(tmp_path), labels='annotations/{}', splits=splits, name='ADE_{}.png')
    assert check_dataset(str(tmp_path), show_progress=False).layout.name == 'ade20k'
    (tmp_path / 'classes.txt').write_text('\n'.join(situations.NAMES))
    report = check_dataset(str(tmp_path), show_progress=False)
    assert report.label_space.class_names == situations.NAMES and [split.name for split in report.splits] == [
        'train',
        'val',
    ]


def test_folders_that_fit_in_several_ways_are_named_before_anything_is_read(tmp_path, capsys):
    root = str(tmp_path / 'two versions')
    for version in ('v1', 'v2'):
        situations.dataset(root, images='{}/pictures', labels='{}/' + version + '/labels')
    situations.text(root + '/train/pictures/damaged.png', 'no image')
    assert main(['check', root]) == 2
    said = capsys.readouterr().err
    lines = [line.strip() for line in said.splitlines() if line.startswith('  fcn8s check --images')]
    assert 'Say which they are' in said and len(lines) == 2 and 'damaged' not in said
    assert [version in line for version, line in zip(('/v1/', '/v2/'), lines)] == [True, True]
    os.remove(root + '/train/pictures/damaged.png')
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0


def test_several_datasets_of_ones_own_are_checked_and_trained_on_together(tmp_path, capsys):
    roots = [str(tmp_path / name) for name in 'ab']
    situations.dataset(roots[0], splits=[('train', 0, 3), ('val', 50, 2)])
    situations.dataset(roots[1], splits=[('train', 3, 3)])
    assert main(['check', *roots]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if ' train --' in line)
    (data, val), _ = opened(shlex.split(line.split(' train ', 1)[1]))
    assert len(val.pairs) == 2
    for number, label in enumerate(labels_of(data)):
        np.testing.assert_array_equal(label, situations.shapes(number)[1])
    words = [
        word for root in roots for kind in ('images', 'labels') for word in ('--' + kind, root + '/%s/train' % kind)
    ]
    assert main(['check', *words]) == 0
    assert main(['check', *words[:-2]]) == 2
    assert '--images came 2 times and --labels 1 time' in capsys.readouterr().err


def test_palettes_of_several_datasets_are_read_by_colour_over_all_of_them(tmp_path, capsys):
    """Training reads the labels of all folders by one order of colours."""
    for root, order in (('a', (0, 1, 2)), ('b', (2, 1, 0))):
        colors = [situations.COLORS[index] for index in order]

        def write(path, label, colors=colors, order=order):
            situations.write_palette(path, np.asarray(order, np.uint8)[label], colors)

        situations.dataset(str(tmp_path / root), write, splits=[('train', 0, 3)])
    main(['check', str(tmp_path / 'a'), str(tmp_path / 'b')])
    printed = capsys.readouterr().out
    assert FAULT_KINDS['palette_order'].description[1:] in printed
    line = next(line for line in printed.splitlines() if ' train --' in line)
    (data, _), _ = opened(shlex.split(line.split(' train ', 1)[1]))
    for number, label in enumerate(labels_of(data)):
        np.testing.assert_array_equal(label, situations.shapes(number % 3)[1])


def test_tables_of_several_datasets_have_to_agree(tmp_path, capsys):
    for name, names in (('a', 'ground\nbox\ndisc\n'), ('b', 'disc\nbox\nground\n')):
        situations.dataset(str(tmp_path / name))
        (tmp_path / name / 'classes.txt').write_text(names)
    assert main(['check', str(tmp_path / 'a'), str(tmp_path / 'b')]) == 2
    assert 'name the classes differently' in capsys.readouterr().err
    assert main(['check', str(tmp_path / 'a'), str(tmp_path / 'b'), '--class-names', 'x,y,z']) == 0
    folders = [[str(tmp_path / name / kind / 'train') for name in 'ab'] for kind in ('images', 'labels')]
    with pytest.raises(DataError, match='name the classes differently'):
        BatchGenerator(folders[0], None, folders[1])
    os.remove(str(tmp_path / 'a' / 'classes.txt'))
    assert BatchGenerator(folders[0], None, folders[1]).label_space.class_names == ('disc', 'box', 'ground')


def test_folders_of_sequences_with_files_of_the_same_names(tmp_path, capsys):
    """As UAVid has them: labels of one sequence are not those of another."""
    for number, name in enumerate(('seq1', 'seq2')):
        situations.dataset(str(tmp_path), images=name + '/Shots', labels=name + '/Truth', splits=[('', 3 * number, 3)])
    assert main(['check', str(tmp_path)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('  fcn8s check')]
    assert len(lines) == 3
    assert all(line.count('seq1') in (0, 2) and line.count('seq2') in (0, 2) for line in lines)
    assert main(shlex.split(lines[-1])[1:]) == 0
    assert capsys.readouterr().out.count('train: 3 images') == 2


def test_training_reads_the_labels_of_voc_that_check_names(tmp_path):
    situations.layout_voc_with_more_labels(str(tmp_path))
    for layout, count in (('voc', 3), ('voc_aug', 6)):
        data = BatchGenerator.from_layout(layout, str(tmp_path), 'train')
        assert len(data.pairs) == count and ('Aug' in data.pairs[0].label) == (layout == 'voc_aug')


def test_what_only_looks_like_annotations_is_none(tmp_path, capsys):
    """The names of the classes, a list of numbers, and an example of answers."""
    situations.dataset(str(tmp_path), labels='labels/{}', name='a{}.png', splits=[('train', 0, 3)])
    for name in os.listdir(str(tmp_path / 'labels' / 'train')):
        os.rename(str(tmp_path / 'labels' / 'train' / name), str(tmp_path / 'labels' / 'train' / ('x9' + name[1:])))
    (tmp_path / 'classes.txt').write_text('ground\nbox\ndisc\n')
    (tmp_path / 'readme.txt').write_text('3 0.5 0.25 0.3\n')
    (tmp_path / 'sample_submission.csv').write_text('ImageId,EncodedPixels\na0.png,1 1\n')
    for _ in range(2):
        assert main(['check', str(tmp_path)]) == 1
        assert 'annotations' not in capsys.readouterr().err
        shutil.rmtree(str(tmp_path / 'labels'), ignore_errors=True)


def test_labels_of_several_kinds_are_asked_about(tmp_path, capsys):
    root = str(tmp_path / 'drives')
    for weather in ('fog', 'night'):
        for suffix in ('gt_ids', 'gt_colors'):
            names = 'rgb/{}/{{}}'.format(weather), 'gt/{}/{{}}'.format(weather), weather + '_{}_rgb.png'
            situations.dataset(root, situations.write, *names, suffix=suffix)
    assert main(['check', root]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('  fcn8s check')]
    assert [line.rpartition(' ')[2] for line in lines] == ['_gt_colors', '_gt_ids']
    assert main(shlex.split(lines[1])[1:]) == 0
    assert '--image-suffix _rgb --label-suffix _gt_ids' in capsys.readouterr().out
    assert main(['check', '--images', root + '/rgb/fog/train', '--labels', root + '/gt/fog/train']) == 2
    assert 'labels of its own name and _gt_colors, _gt_ids' in capsys.readouterr().err
    assert main(['check', root, '--label-suffix=_gt_ids']) == 2
    assert 'belong to --images' in capsys.readouterr().err


def test_annotations_in_place_of_labels_are_imported_first(tmp_path, capsys):
    root = str(tmp_path / 'my data')
    situations.dataset(root, images='images', labels='labels', splits=[('', 0, 3)])
    shutil.rmtree(root + '/labels')
    shape = {'label': 'box', 'points': [[1, 1], [20, 1], [20, 20]], 'shape_type': 'polygon'}
    for number in range(3):
        document = {'imagePath': '{}.png'.format(number), 'imageHeight': 32, 'imageWidth': 48, 'shapes': [shape]}
        situations.text('{}/images/{}.json'.format(root, number), json.dumps(document))
    assert main(['check', root]) == 2
    said = capsys.readouterr().err
    assert 'annotations of labelme' in said and '0.json' in said
    command = shlex.split(said.strip().rpartition('fcn8s ')[2].replace('OUT', shlex.quote(str(tmp_path / 'out'))))
    assert main(command) == 0
    assert main(['check', str(tmp_path / 'out')]) == 0


def test_large_files_of_coco_are_told_without_being_parsed(tmp_path, capsys, monkeypatch):
    situations.dataset(str(tmp_path), images='images', labels='labels', splits=[('', 0, 2)])
    shutil.rmtree(str(tmp_path / 'labels'))
    coco = {'images': [{'id': 1, 'file_name': '0.png'}], 'annotations': [], 'categories': [], 'info': 'x' * 2**20}
    for content, is_told in ((coco, True), ({'images': [], 'info': coco['info']}, False)):
        (tmp_path / 'a.json').write_text(json.dumps(content))
        monkeypatch.setattr(recognise, 'read_json_document', None if is_told else read_json_document)
        assert main(['check', str(tmp_path)]) == (2 if is_told else 1)
        assert ('annotations of coco' in capsys.readouterr().err) == is_told


def test_trees_of_many_folders_are_not_compared(tmp_path, monkeypatch):
    situations.dataset(str(tmp_path), images='{}/pictures', labels='{}/truth')
    assert check_dataset(str(tmp_path), show_progress=False).can_train
    monkeypatch.setattr(folder_pairs, '_MOST_FOLDERS', 3)
    faults = check_dataset(str(tmp_path), show_progress=False).all_faults
    assert [fault.kind for fault in faults if fault.is_error] == ['no_labels']

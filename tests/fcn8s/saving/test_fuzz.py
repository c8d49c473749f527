"""Damaged files: whatever the bytes, a reader answers with what it read or with one of the errors that commands print."""

import io
import json
import os
import shutil
import struct
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from thorough import THOROUGH
from workplace import working_in

from fcn8s.backend import TF_VERSION
from fcn8s.cli.options import resolving
from fcn8s.cli.terminal import Parser
from fcn8s.cli.train import add_parser
from fcn8s.saving import runs, saved_models
from fcn8s.saving.checkpoints import Checkpoints, read_state
from fcn8s.saving.descriptions import read_description
from fcn8s.saving.encoder_files import read_encoder
from fcn8s.training import recipes
from fcn8s.training.loop import TrainingState
from fcn8s.vgg16.weights.recognise import read_source

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'vgg16'))
import test_sources as weight_files  # noqa: E402

# What `fcn8s.cli.main` prints in one line; anything else is a traceback.
ERRORS = (ValueError, OSError, MemoryError)


def damage(content, rng):
    """A copy of some bytes with one kind of damage."""
    content = bytearray(content)
    kind, place = rng.randint(5), rng.randint(len(content))
    if kind == 0:  # bits turned over, most often near the beginning, where the structure is
        for _ in range(1 + rng.randint(4)):
            content[min(len(content) - 1, int(len(content) * rng.rand() ** 4))] ^= 1 << rng.randint(8)
    elif kind == 1:
        del content[place:]
    elif kind == 2:
        length = 1 + rng.randint(64)
        content[place : place + length] = bytes(rng.randint(0, 256, length).tolist())
    elif kind == 3:
        del content[place : place + 1 + rng.randint(16)]
    else:
        content[place:place] = content[place : place + 1 + rng.randint(16)] or b'\0'
    return bytes(content)


def fuzz(path, read, count, seed=0):
    """Reads `count` damaged versions of the file at `path`."""
    with open(path, 'rb') as file:
        whole = file.read()
    rng = np.random.RandomState(seed)
    refused = 0
    for number in range(count):
        damaged = damage(whole, rng)
        with open(path, 'wb') as file:
            file.write(damaged)
        try:
            read()
        except ERRORS as error:
            refused += 1
            assert str(error), 'an error without a word'
        except BaseException as error:
            raise AssertionError('damage {} of {}: {!r}'.format(number, os.path.basename(path), error)) from error
    with open(path, 'wb') as file:
        file.write(whole)
    read()
    return refused


def train_parser():
    parser = Parser()
    add_parser(parser.add_subparsers())
    return parser


def resolve(*arguments):
    args = train_parser().parse_args(['train'] + list(arguments))
    typed = {name: value for name, value in vars(args).items() if name not in ('run', 'defaults')}
    return resolving.resolve(typed, args.defaults)


def weights_case(kind):
    write = getattr(weight_files, 'write_' + kind)

    def prepare(folder, fixtures):
        path = str(folder / 'weights')
        write(path, weight_files.random_weights(divisor=64))
        target = path + '.index' if kind == 'slim' else path
        return target, lambda: read_source(path)

    return prepare


def description_case(folder, fixtures):
    model = shutil.copytree(fixtures['model'], str(folder / 'm'))
    return os.path.join(model, 'fcn8s.json'), lambda: read_description(model)


def encoder_case(name):
    def prepare(folder, fixtures):
        encoder = shutil.copytree(fixtures['encoder'], str(folder / 'e'))
        return os.path.join(encoder, *name), lambda: read_encoder(encoder)

    return prepare


def recipe_case(folder, fixtures):
    path = str(folder / 'own.json')
    shutil.copy(os.path.join(recipes.HERE, recipes.recipe_names()[0] + '.json'), path)
    return path, lambda: resolve('--recipe', path, '--data', 'D', '--encoder', 'E', '--run', str(folder / 'run'))


def config_case(folder, fixtures):
    command = dict(train_parser().parse_args(['train']).defaults, data=str(folder), encoder='E')
    command = {key: value for key, value in command.items() if key not in ('resume', 'run_dir', 'recipe')}
    config = {'command': command, 'training': {'class_weights': None}}
    run = runs.create_run(str(folder / 'run'), config)
    return run.config_path, lambda: resolve('--resume', run.directory)


def checkpoint_case(name):
    def prepare(folder, fixtures):
        checkpoints = Checkpoints(str(folder))
        state = TrainingState(step=3, best=0.5, best_step=2)
        checkpoints.save(3, lambda path: None, {'format': 1, 'loop': state.to_dict()}, best=True)

        def read():
            last = checkpoints.last()
            TrainingState.from_dict(read_state(last).get('loop'))

        return os.path.join(str(folder), name), read

    return prepare


CASES = {kind: weights_case(kind) for kind in ('npy', 'npy_protocol_2', 'npz', 'pth', 'pth_legacy', 'safetensors')}
CASES.update({'hed': weights_case('hed'), 'keras_old': weights_case('keras_old'), 'slim': weights_case('slim')})
CASES.update({'fcn8s.json': description_case, 'encoder graph': encoder_case(['saved_model.pb'])})
CASES.update({'encoder index': encoder_case(['variables', 'variables.index']), 'recipe': recipe_case})
CASES.update({'config.json': config_case, 'last.json': checkpoint_case('last.json')})
CASES['state.json'] = checkpoint_case(os.path.join('step-00000003', 'state.json'))

READ_BY_NATIVE_CODE = ('encoder graph', 'encoder index', 'slim', 'hed', 'keras_old')


@pytest.mark.parametrize('case', sorted(CASES))
def test_a_damaged_file_is_an_error_in_one_line(case, tmp_path, small_model, tiny_encoder):
    count = 300 if THOROUGH else 20
    if case in READ_BY_NATIVE_CODE and TF_VERSION < (2, 0):
        count = 6  # the libraries of Python 3.7, TensorFlow 1.15 and an old HDF5, crash on one file in some hundreds
    path, read = CASES[case](tmp_path, {'model': small_model, 'encoder': tiny_encoder})
    with working_in(str(tmp_path)):
        assert fuzz(path, read, count) > 0


def zip_of(path, members):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy_header(descr, shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {'descr': descr, 'fortran_order': False, 'shape': shape})
    return buffer.getvalue()


def bomb_pickle_memo(path):
    """A pickle that numbers an object 2^31 - 1: the reader in C takes memory for all numbers up to it."""
    with open(path, 'wb') as file:
        file.write(npy_header('|O', ()) + b'\x80\x02Nr\xff\xff\xff\x7f.')


def bomb_npy_header(path):
    with open(path, 'wb') as file:
        file.write(b'\x93NUMPY\x02\x00' + b'\xff\xff\xff\x7f' + b'{}')


def bomb_pickle_encode(path):
    """One long text, encoded again and again."""
    text = b'X' + struct.pack('<I', 1 << 20) + b'a' * (1 << 20)
    again = b'c_codecs\nencode\n(' + b'h\x00' + b'X\x06\x00\x00\x00latin1tR'
    with open(path, 'wb') as file:
        file.write(npy_header('|O', ()) + b'\x80\x02' + text + b'q\x000](' + again * 3000 + b'e.')


def bomb_npz_dtype(path):
    zip_of(path, {'conv1_1_W.npy': npy_header('|V100000000', (3, 3, 3, 64))})


def bomb_pth_pickle(path):
    zip_of(path, {'a/data.pkl': b'\x80\x02' + b'N' * (1 << 28)})


def bomb_pth_storage(path):
    weight_files.write_pth(path, weight_files.random_weights(divisor=64))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    largest = next(name for name in members if name.endswith('data/0'))
    zip_of(path, dict(members, **{largest: bytes(1 << 28)}))


@pytest.mark.parametrize(
    'bomb, message',
    [
        (bomb_pickle_memo, 'holds no dict of layers'),
        (bomb_npy_header, 'a header of 2147483647 bytes'),
        (bomb_pickle_encode, 'holds no dict of layers'),
        (bomb_npz_dtype, 'weights are floating-point numbers'),
        (bomb_pth_pickle, 'names and shapes of weights have 16777216 at the most'),
        (bomb_pth_storage, 'data/0 has 268435456 bytes, where .* values of <f4 are announced'),
    ],
)
def test_a_bomb_is_refused_before_it_takes_memory(tmp_path, bomb, message):
    path = str(tmp_path / 'file')
    bomb(path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message):
            read_source(path)
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()


def test_weights_beyond_the_free_memory_are_refused(tmp_path, monkeypatch):
    path = str(tmp_path / 'file')
    weight_files.write_npz(path, weight_files.random_weights(divisor=64))
    monkeypatch.setattr('helpers.process.memory.free_memory', lambda: 1000)
    with pytest.raises(ValueError, match='holds .* of weights, and 1.0 kB of memory are free'):
        read_source(path)


@pytest.mark.parametrize(
    'options, message',
    [
        ({'rate': 0.001}, 'rate is 0.001; it has to be a text'),
        ({'optimizer': 'sdg'}, "optimizer is 'sdg'; it has to be one of 'adam', 'sgd'"),
        ({'batch': 0}, 'batch: .0. came; it has to be a whole number of at least 1'),
        ({'batch': '4'}, "batch is '4'; it has to be a whole number"),
        ({'flip': float('nan')}, 'flip is nan; it has to be a finite number'),
        ({'size': [1]}, r'size is \[1\]; it has to be a list of 2'),
        ({'size': 7}, 'size is 7; it has to be a list'),
        ({'epochs': None}, 'epochs is None; it has to be given, or left out of the file'),
        ({'batch': None}, 'batch is None; it has to be given'),
        ({'accumulate': None}, 'accumulate is None; it has to be given'),
        ({'timeout': None}, 'timeout is None; it has to be given'),
        ({'xla': 1}, 'xla is 1; it has to be true or false'),
        (['batch'], 'no table of options'),
    ],
)
def test_a_recipe_is_held_to_the_rules_of_the_command_line(tmp_path, options, message):
    path = str(tmp_path / 'own.json')
    with open(os.path.join(recipes.HERE, recipes.recipe_names()[0] + '.json')) as file:
        recipe = dict(json.load(file), arguments=options)
    with open(path, 'w') as file:
        json.dump(recipe, file)
    with pytest.raises(ValueError, match=message if isinstance(options, dict) else 'arguments is'):
        resolve('--recipe', path, '--data', 'D', '--encoder', 'E', '--run', str(tmp_path / 'run'))


def test_what_tensorflow_says_of_a_damaged_graph_comes_with_the_name_of_the_model():
    reading = saved_models.explain_graph_damage
    damage = "^encoder SavedModel 'it.s' is damaged: ValueError: Dimension 2 in both"
    with pytest.raises(ValueError, match=damage), reading('it.s', 'encoder'):
        raise ValueError('Dimension 2 in both shapes must be equal.\nMore of it.')
    for directory in ('plain', "it's", 'a\\b'):
        with pytest.raises(ValueError, match='^encoder .* has no graph$'), reading(directory, 'encoder'):
            raise ValueError('encoder {!r} has no graph'.format(directory))


def test_a_graph_in_text_that_is_nested_without_end(tmp_path):
    path = tmp_path / 'saved_model.pbtxt'
    path.write_text('meta_graphs { graph_def { node { ' + "attr { key: 'f' value { func { " * 3000)
    with pytest.raises(ValueError, match='saved_model.pbtxt is damaged: .*recursion'):
        saved_models.parse(str(path))

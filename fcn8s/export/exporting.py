"""Exports a saved FCN-8s: checks the request, converts, runs the result again in its own runtime and certifies it."""

import importlib
import json
import os
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from fcn8s.backend import TF_VERSION, tf
from fcn8s.export import samples
from fcn8s.export.certificate import (
    CERTIFICATE_FILE,
    Comparison,
    Sample,
    digests,
    files_below,
    misses,
    seconds_in_alternation,
)
from fcn8s.export.conversion import Conversion
from fcn8s.export.formats import CALIBRATION_IMAGES, FORMATS, check_export_precision, check_packages, check_size
from fcn8s.export.names import CLASS_IDS, IMAGES, LOGITS, OUTPUTS, PROBABILITIES
from fcn8s.export.runner import Runner
from fcn8s.prediction.frozen_network import InferenceGraph, open_model
from fcn8s.prediction.predictor import check_room
from fcn8s.saving.descriptions import DEFAULT_TAGS, DESCRIPTION_FILE, read_description
from fcn8s.saving.model_files import describe, library_versions
from fcn8s.saving.packed import name_of
from fcn8s.saving.runs import input_size, open_current
from fcn8s.settings import ModelSettings
from helpers.aliases import PathLike
from helpers.counted import counted
from helpers.files import atomic_directory, atomic_write_json, check_new_directory, temporary_directory, to_json
from helpers.flags import check_flags


class _Request(NamedTuple):
    """The arguments of `export_model`."""

    model: PathLike
    out_dir: PathLike
    format: str
    precision: str
    size: Optional[Tuple[int, int]] = None
    calibration: Optional[str] = None
    calibration_images: int = CALIBRATION_IMAGES
    seed: int = 0
    verify: Optional[str] = None
    labels: Optional[str] = None
    allow_loss: bool = False
    trust: bool = False
    scenes: Optional[Sequence[np.ndarray]] = None
    progress: Callable[[str], Any] = lambda message: None


class _Export(NamedTuple):
    """The request after all checks.

    model_dir: the saved FCN-8s. source: its path, or None if it was in memory.
    input_size: the size to which images are resized for the network, as its run was evaluated.
    size: of the images, if the format takes one size only, or None. calibration: paths of images.
    digests: of the model's files, computed before they were read: a training may remove them at any moment.
    """

    model_dir: str
    source: Optional[str]
    format: str
    precision: str
    size: Optional[Tuple[int, int]]
    input_size: Optional[Tuple[int, int]]
    calibration: Sequence[str]
    description: Any
    trust: bool
    digests: Dict[str, str]


def export_model(
    model: PathLike,
    out_dir: PathLike,
    format: str = 'saved_model',
    precision: str = 'float32',
    size: Optional[Tuple[int, int]] = None,
    calibration: Optional[str] = None,
    calibration_images: int = CALIBRATION_IMAGES,
    seed: int = 0,
    verify: Optional[str] = None,
    labels: Optional[str] = None,
    allow_loss: bool = False,
    trust: bool = False,
    scenes: Optional[Sequence[np.ndarray]] = None,
    progress: Callable[[str], Any] = lambda message: None,
) -> Dict[str, Any]:
    """Exports a trained network into a new directory and returns its certificate.

    Args:
        model: a run directory (its best checkpoint) or a saved FCN-8s, of either generation of TensorFlow.
        out_dir: must not exist, or be empty.
        format, precision: see `fcn8s.export.formats.FORMATS`.
        size: (height, width) for a format that takes images of one size.
        calibration: for int8, a folder of images like those to come; `calibration_images` of them are drawn by `seed`.
        verify: a folder of images to run the export on. labels: a folder of class IDs, with the same names.
        scenes: uint8 [H, W, 3] images to run it on where there is no `verify`; None draws some.
        allow_loss: keep an export that misses the tolerance of its precision; the certificate says so.
        trust: take a model whatever ops its graph holds.
        progress: called with what happens next, in words.

    Raises:
        ValueError, FileNotFoundError, ImportError: the request cannot be carried out; before anything is written.
        ValueError: the export does not convert, does not run, or exceeds the tolerance; nothing is left of it.
    """
    request = _Request(
        model,
        out_dir,
        format,
        precision,
        size=size,
        calibration=calibration,
        calibration_images=calibration_images,
        seed=seed,
        verify=verify,
        labels=labels,
        allow_loss=allow_loss,
        trust=trust,
        scenes=scenes,
        progress=progress,
    )
    return _export_saved(request, _checked(request), input_size, lambda model_dir: os.path.abspath(name_of(model_dir)))


def _export_saved(
    request: _Request,
    checked: Tuple[Optional[Tuple[int, int]], List[str]],
    size_of: Callable[[PathLike], Optional[Tuple[int, int]]],
    source_of: Callable[[str], Optional[str]],
) -> Dict[str, Any]:
    """As `export_model`. checked: what `_checked` returned. size_of: returns the size at which a model was evaluated.
    source_of: returns its path for the certificate."""
    checked_size, calibration_paths = checked

    def export(model_dir: str) -> Dict[str, Any]:
        description = read_description(model_dir)
        _check_is_no_export(request.model, description)
        network_size = checked_size or size_of(request.model)
        check_room(network_size, description.settings.num_classes)
        check = _samples(request, description.settings, network_size)
        wanted = _Export(
            model_dir=model_dir,
            source=source_of(model_dir),
            format=request.format,
            precision=request.precision,
            size=checked_size,
            input_size=network_size,
            calibration=calibration_paths,
            description=description,
            trust=request.trust,
            digests=_digests_of(model_dir),
        )
        return _export(wanted, request.out_dir, check, request.allow_loss, request.progress)

    return open_current(request.model, export)


def _export(
    wanted: _Export, out_dir: PathLike, check: samples.Samples, allow_loss: bool, progress: Callable[[str], Any]
) -> Dict[str, Any]:
    with atomic_directory(out_dir) as temporary:
        progress('converting to {} in {}'.format(wanted.format, wanted.precision))
        _convert(wanted, temporary, next(iter(check)).image)
        _write_description(wanted, temporary)
        progress('running it again in a process of its own')
        certificate = _certify(wanted, temporary, check)
        if certificate['misses'] and not allow_loss:
            raise ValueError(_refusal(wanted, certificate))
        atomic_write_json(os.path.join(temporary, CERTIFICATE_FILE), to_json(certificate))
    return certificate


def export_open_network(
    network: Any, out_dir: PathLike, format: str = 'saved_model', precision: str = 'float32', **options: Any
) -> Any:
    """Exports an open network (`fcn8s.network.Network`), as `export_model`."""
    known = tuple(_Request._field_defaults)
    for name in options:
        if name not in known:
            raise ValueError('{}: export has no such option. It has {}.'.format(name, ', '.join(known)))
    with temporary_directory('fcn8s-export') as folder:
        model_dir = os.path.join(folder, 'model')
        request = _Request(model_dir, out_dir, format, precision, **options)
        checked = _checked(request)
        _samples(request, network.settings, checked[0] or network.input_size)
        network.write_saved_model(model_dir, DEFAULT_TAGS)
        return _export_saved(request, checked, lambda _: network.input_size, lambda _: None)


def _checked(request: _Request) -> Tuple[Optional[Tuple[int, int]], List[str]]:
    """Returns the size for a format that takes one size only, and the paths of the images to calibrate with; raises
    errors that can be found without the network."""
    check_flags(allow_loss=request.allow_loss, trust=request.trust)
    samples.check_sources(request.verify, request.labels, request.scenes)
    check_export_precision(request.format, request.precision)
    checked_size = check_size(request.format, request.size)
    _check_generation()
    check_packages(request.format, request.precision)
    check_new_directory(request.out_dir)
    return checked_size, samples.calibration_paths(
        request.format, request.precision, request.calibration, request.calibration_images, request.seed
    )


def _samples(request: _Request, settings: ModelSettings, size: Optional[Tuple[int, int]]) -> samples.Samples:
    """Returns what to run the export on. size: to which images are resized for the network."""
    takes_any_size = FORMATS[request.format].takes_any_size
    return samples.samples(request.verify, request.labels, request.scenes, settings, size, takes_any_size)


def _check_generation() -> None:
    if TF_VERSION < (2, 0):
        raise ValueError(
            'TensorFlow is {}; exports are made on TensorFlow >= 2.16 (Python 3.10 to 3.13), which opens models and '
            'runs of this one. fcn8s predict opens an exported saved_model or frozen graph here, too.'.format(
                tf.__version__
            )
        )


def _check_is_no_export(model: PathLike, description: Any) -> None:
    export = description.description.get('export')
    if export is not None:
        raise ValueError(
            '{!r} is an export itself. Export the run or the saved model that it was made of.'.format(model)
        )


def _convert(wanted: _Export, directory: str, warm_up_image: np.ndarray) -> None:
    """Writes the files of the format."""
    size, rules = wanted.size or wanted.input_size, wanted.description.settings.image_rules
    conversion = Conversion(
        wanted.model_dir,
        wanted.precision,
        wanted.size,
        warm_up_image,
        samples.read_calibration(wanted.calibration, size, rules),
        wanted.trust,
        to_json(_interface(wanted)),
    )
    importlib.import_module('fcn8s.export.' + wanted.format).write(conversion, directory)


def _write_description(wanted: _Export, directory: str) -> None:
    """Writes `fcn8s.json`, by which this library opens an export."""
    known, settings = wanted.description.description, wanted.description.settings
    export = {
        'format': wanted.format,
        'precision': wanted.precision,
        'size': wanted.size,
        'input_size': wanted.input_size,
    }
    content = describe(settings, known.get('global_step', 0), known.get('metrics', {}), {'export': export})
    with open(os.path.join(directory, DESCRIPTION_FILE), 'w', encoding='utf-8') as file:
        json.dump(to_json(content), file, indent=1)


def _certify(wanted: _Export, directory: str, check: samples.Samples) -> Dict[str, Any]:
    """Runs the export beside TensorFlow and returns the certificate."""
    label_space = wanted.description.settings.label_space
    written = files_below(directory)
    comparison = Comparison(label_space)
    with open_model(wanted.model_dir, trust=wanted.trust) as reference, Runner(directory) as runner:
        for sample in check:
            images = sample.image[np.newaxis]
            comparison.add(_reference_run(reference, images), runner.run(images, (LOGITS, CLASS_IDS)), sample)
        first: Sample = next(iter(check))
        images = first.image[np.newaxis]
        seconds = seconds_in_alternation(
            lambda: reference.predict(images), lambda: runner.seconds(images, (CLASS_IDS,))
        )
        runner_versions = runner.versions
    summary = comparison.summary()
    return {
        'export': {name: getattr(wanted, name) for name in ('format', 'precision', 'size', 'input_size')},
        'comparison': summary,
        'misses': misses(summary, wanted.precision),
        'seconds_per_image': dict(seconds, size=first.image.shape[:2]),
        'versions': dict(library_versions(), **runner_versions),
        'calibration': {'images': [os.path.basename(path) for path in wanted.calibration]},
        'source': {'path': wanted.source, 'sha256': wanted.digests},
        'result': {'sha256': digests(directory, written)},
        'interface': _interface(wanted),
    }


def _digests_of(model_dir: str) -> Dict[str, str]:
    """The SHA-256 of the files that make up a saved FCN-8s."""
    return digests(
        model_dir, [name for name in files_below(model_dir) if name.startswith(('saved_model.', 'variables', 'fcn8s.'))]
    )


def _reference_run(reference: InferenceGraph, images: np.ndarray) -> Dict[str, np.ndarray]:
    logits, class_ids = reference.run((reference.logits, reference.class_ids), {reference.images: images})
    return {LOGITS: logits, CLASS_IDS: class_ids}


def _interface(wanted: _Export) -> Dict[str, Any]:
    """What a program that runs the export has to know."""
    rules, label_space = wanted.description.settings.image_rules, wanted.description.settings.label_space
    count, height, width = (1,) + wanted.size if wanted.size else ('N', 'H', 'W')
    shapes = {
        CLASS_IDS: ('uint8', [count, height, width]),
        PROBABILITIES: ('float32', [count, height, width, label_space.num_classes]),
        LOGITS: ('float32', [count, height, width, label_space.num_classes]),
    }
    return {
        'file': FORMATS[wanted.format].file,
        'inputs': {IMAGES: {'dtype': 'uint8', 'shape': [count, height, width, rules.channels], 'layout': 'NHWC'}},
        'outputs': {name: {'dtype': shapes[name][0], 'shape': shapes[name][1]} for name in OUTPUTS},
        'colour_order': 'RGB' if rules.are_colours else None,
        'image_rules': rules.to_json(),
        'value_range': [0, 255],
        'input_size': wanted.input_size,
        'preprocessing': _preprocessing(wanted),
        'class_names': label_space.class_names,
        'colors': label_space.colors,
        'ignore_id': label_space.ignore_id,
    }


def _preprocessing(wanted: _Export) -> str:
    """What a program has to do with images first; a size that the file itself states is not mentioned."""
    if wanted.size is not None or wanted.input_size is None:
        return 'none: the mean is subtracted inside the graph'
    return (
        'resize to {} x {} (height x width), as its run was evaluated; the mean is subtracted inside the graph'.format(
            *wanted.input_size
        )
    )


def _refusal(wanted: _Export, certificate: Dict[str, Any]) -> str:
    return (
        'the export to {} in {} is not as good as it has to be: {} ({}). Nothing was written. {}--allow-loss '
        '(allow_loss=True in Python) keeps it.'.format(
            wanted.format,
            wanted.precision,
            '; '.join(certificate['misses']),
            counted(certificate['comparison']['images'], 'image'),
            'More images for --calibration, and --verify with --labels to judge it by, may help; '
            if wanted.precision == 'int8'
            else '',
        )
    )

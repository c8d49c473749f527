"""From the options of a training to data, batches, the arguments of `FCN8s`, and those of its `train`."""

import argparse
import contextlib
import os
import shlex
from typing import Any, Dict, List, Optional, Tuple

from fcn8s.cli.options import labels, resolving, training
from fcn8s.cli.options.flags import flag
from fcn8s.cli.options.folders import as_list, naming
from fcn8s.cli.options.images import image_rules, rules_to_begin_with
from fcn8s.cli.options.network import class_weights_of, frozen_blocks, optimizer_of
from fcn8s.cli.terminal import program
from fcn8s.evaluation.scores import METRICS
from fcn8s.planning.workers import epoch_steps
from fcn8s.settings import check_class_weights, resolve_label_space
from fcn8s.training.values import check_monitor_name


def check_can_begin(options: argparse.Namespace) -> None:
    """Raises ValueError and FileNotFoundError where there is nothing to begin with, or where this machine does not
    compute as asked: before data are searched. Loads TensorFlow.
    """
    check_beginning(options)
    from fcn8s.precision import check_precision, chosen_precision

    check_precision(chosen_precision(options.precision), options.xla, spell=flag)


def check_beginning(options: argparse.Namespace) -> None:
    """Raises ValueError and FileNotFoundError where there is nothing to begin with, or --data is in another layout."""
    from fcn8s.saving.descriptions import find_graph
    from fcn8s.saving.packed import is_packed
    from fcn8s.saving.runs import refuse_own_network, resolve_model

    model = _begun_model(options)
    if model is None:
        refuse_own_network(options.encoder)
        find_graph(options.encoder, 'encoder')
    elif not is_packed(model):
        resolve_model(model)
    _check_layout(options)


def _check_layout(options: argparse.Namespace) -> None:
    """Raises FileNotFoundError where --data is a directory without the folder that the layout has."""
    from data_generator.files.layouts import places_of, variants_of

    if options.data is None or not os.path.isdir(options.data):
        return  # a directory that is not there is refused when it is opened
    places = [places_of(variant, options.data, options.split).image_dir for variant in variants_of(options.layout)]
    if not any(map(os.path.isdir, places)):
        raise FileNotFoundError(
            '--data {} has no folder {}, where the layout {} (without --layout it is cityscapes) has the images of '
            '{!r}. For folders of your own, {} check {} prints the command.'.format(
                options.data, places[0], options.layout, options.split, program(), shlex.quote(options.data)
            )
        )


def open_datasets(options: argparse.Namespace) -> Tuple[Any, Optional[Any]]:
    """Opens the training data, and the validation data or None."""
    from data_generator import BatchGenerator

    rules = image_rules(options, rules_to_begin_with(options.encoder, _begun_model(options)))
    if options.data is not None:

        def split(name: str) -> Any:
            return BatchGenerator.from_layout(options.layout, options.data, name, seed=options.seed, image_rules=rules)

        if options.hold_out is not None:
            return split(options.split).hold_out(*options.hold_out)
        return split(options.split), split(options.val_split) if options.val_split else None

    return _open_folders(options, rules)


def _open_folders(options: argparse.Namespace, rules: Any) -> Tuple[Any, Optional[Any]]:
    """As `open_datasets`; validation labels are read in the same way as training labels."""
    from data_generator import BatchGenerator
    from data_generator.files.masks import spell

    said = labels.dataset_options(options, options.classes)
    train = BatchGenerator(
        as_list(options.images),
        None,
        as_list(options.labels),
        seed=options.seed,
        image_rules=rules,
        **naming(options),
        **said,
    )
    if options.resume is None:  # a resumed run keeps its settings
        labels.check_typed_of_colors(options, train)
    if options.id_map is None and train.conversion.id_map is not None:
        options.id_map = spell(train.conversion.id_map)  # so that config.json says how labels were read
    if options.hold_out is not None:
        return train.hold_out(*options.hold_out)
    if options.val_images is None:
        return train, None
    read_alike = dict(
        label_space=train.label_space,
        ignore_id=train.ignore_id,
        id_map=train.conversion.id_map,
        color_tolerance=train.color_tolerance,
        label_transparency=train.label_transparency,
        seed=options.seed,
        image_rules=rules,
    )
    return train, BatchGenerator(
        as_list(options.val_images), None, as_list(options.val_labels), **naming(options), **read_alike
    )


def _begun_model(options: argparse.Namespace) -> Optional[str]:
    """The saved network with which the training continues or begins; None if it begins with an encoder."""
    return options.fine_tune_from if _last_checkpoint(options) is None else options.resume


def _last_checkpoint(options: argparse.Namespace) -> Optional[str]:
    """The checkpoint from which a resumed run continues; None without one, and without --resume."""
    if options.resume is None:
        return None
    from fcn8s.saving import runs

    return runs.open_run(options.resume).last_checkpoint()


def train_batches(options: argparse.Namespace, data: Any) -> Any:
    """Opens the endless batches to train on."""
    return data.generate(
        options.batch,
        shuffle=True,
        workers=options.threads,
        cache_dir=options.cache,
        **training.transforms(options),
    )


def val_batches(options: argparse.Namespace, data: Optional[Any]) -> Any:
    """Opens the batches to evaluate on, one pass over the data at a time; without data, the context gives None."""
    if data is None:
        return contextlib.nullcontext()
    return data.generate(
        options.eval_batch,
        shuffle=False,
        resize=training.as_tuple(options.size),
        resize_labels=options.eval_at_input_size,
        workers=options.threads,
        cache_dir=options.cache,
    )


def network_settings(options: argparse.Namespace, data: Any) -> Dict[str, Any]:
    """Returns the arguments of `FCN8s`."""
    return dict(
        _beginning(options),
        label_space=resolve_label_space(None, _label_space(options, data), None),  # refused before labels are counted
        image_rules=data.image_rules,
        seed=options.seed,
        variant=options.variant,
        upsampling=options.upsampling,
        skip_scales=None if options.skip_scales is None else tuple(options.skip_scales),
        optimizer=optimizer_of(options),
        loss=options.loss,
        label_smoothing=options.label_smoothing,
        normalize=options.normalize,
        class_weights=_class_weights(options, data),
        freeze=frozen_blocks(options),
        head_warmup=options.head_warmup,
        precision=options.precision,
        xla=options.xla,
        trust=options.trust,
    )


def _beginning(options: argparse.Namespace) -> Dict[str, Optional[str]]:
    """A resumed run continues from its own checkpoint, which also holds the encoder: the original may be gone."""
    last = _last_checkpoint(options)
    if last is not None:
        return {'model_load_dir': last}
    return {'vgg16_dir': options.encoder, 'fine_tune_from': options.fine_tune_from}


def _label_space(options: argparse.Namespace, data: Any) -> Any:
    """The label space of the data; a resumed run keeps its own, which may have other colours."""
    last = _last_checkpoint(options)
    if last is None:
        return data.label_space
    from fcn8s.batches import check_same_classes
    from fcn8s.saving.descriptions import read_description

    return check_same_classes(read_description(last).settings.label_space, data.label_space)


def _class_weights(options: argparse.Namespace, data: Any) -> Optional[List[float]]:
    weights = class_weights_of(options)
    if isinstance(weights, str):  # 'median_frequency'
        from helpers.class_weights import median_frequency_weights

        return median_frequency_weights(data.count_class_pixels(options.threads, show_progress=True)).tolist()
    if weights is not None:
        check_class_weights(weights, data.num_classes, '--class-weights')
    return weights


def workers_of_the_run(options: argparse.Namespace, workers: int) -> int:
    """Returns how many workers the run was started with: `workers` unless it is resumed."""
    if options.resume is None:
        return workers
    from fcn8s.saving import runs

    return runs.num_workers(runs.open_run(options.resume))


def train_arguments(options: argparse.Namespace, batches: Any, val: Optional[Any], workers: int = 1) -> Dict[str, Any]:
    """Returns the arguments of `FCN8s.train`, except for the training batches and the arguments about its run."""
    from fcn8s.training.schedules import parse_schedule

    together = workers_of_the_run(options, workers)
    steps = options.steps_per_epoch or epoch_steps(batches.num_images, options.batch, options.accumulate, together)
    evaluates = val is not None
    if options.monitor is not None and options.resume is None:
        check_monitor_name(options.monitor, '--monitor', batches.label_space.class_names)
    evaluations = dict(eval_frequency=options.eval_every) if evaluates else {}
    return dict(
        evaluations,
        epochs=options.epochs,
        steps_per_epoch=steps,
        learning_rate_schedule=parse_schedule(options.rate, options.epochs * steps),
        keep_prob=options.keep_prob,
        l2_regularization=options.l2,
        eval_dataset='val' if evaluates else 'train',
        val_generator=val,
        metrics=tuple(METRICS) if evaluates else (),
        monitor=options.monitor or ('mean_iou' if evaluates else 'loss'),
        early_stopping_patience=options.patience,
    )


def run_arguments(options: argparse.Namespace, evaluates: bool) -> Dict[str, Any]:
    """Returns the arguments of `FCN8s.train` about the run that it makes; benchmarks make none."""
    return dict(
        run_dir=options.run_dir,
        resume=options.resume is not None,
        save_frequency=options.save_every,
        keep_checkpoints=options.keep_checkpoints,
        summaries_worst=options.summary_worst if evaluates else 0,
        config={'command': resolving.storable(options)},
    )

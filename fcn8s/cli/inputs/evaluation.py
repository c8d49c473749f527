"""What `evaluate` and `report` evaluate: models, data, and one pass over the data, in one process or several."""

import argparse
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from fcn8s.cli.inputs.prediction import check_models, common_input_size, models_of, open_models, sampled_predictor
from fcn8s.cli.options import labels
from fcn8s.cli.options.evaluation import check_belongings, evaluated_in_training
from fcn8s.cli.options.folders import as_list, as_text, naming
from fcn8s.cli.options.images import image_rules
from fcn8s.cli.options.prediction import temperature_of
from fcn8s.cli.options.resolving import options_of_run
from fcn8s.cli.options.workers import is_sharer, share_of


class Subject(NamedTuple):
    """One model, or several that are averaged, and the data to evaluate on.

    paths: the models as they were typed. model_dirs: where they are. data: a `BatchGenerator`.
    """

    paths: Tuple[str, ...]
    model_dirs: Tuple[str, ...]
    label_space: Any
    input_size: Optional[Tuple[int, int]]
    data: Any


def with_data_of_run(args: argparse.Namespace) -> argparse.Namespace:
    """Returns the arguments, with the validation data of the run `args.model` if no data were typed.

    Raises FileNotFoundError where these are missing.
    """
    if args.data is not None or args.images is not None:
        return args
    check_belongings(args, 'images', ('labels', 'image_suffix', 'label_suffix'))
    options = options_of_run(args.model)
    found = evaluated_in_training(options)
    for name in ('layout', 'split', 'only'):
        if getattr(args, name) is not None and name in found:
            found[name] = getattr(args, name)
    if args.split is not None and args.only is None:
        found.pop('only', None)  # it belongs to another split
    _check_found(args.model, found)
    if found and options.get('eval_at_input_size') and options.get('size'):
        found['at_input_size'] = True
    return argparse.Namespace(**dict(vars(args), **found))


def _check_found(run: str, found: Dict[str, Any]) -> None:
    """Raises FileNotFoundError where the data of the training are missing, for example after a run was copied."""
    for name in ('data', 'images', 'labels'):
        for folder in as_list(found.get(name) or []):
            if not os.path.isdir(folder):
                raise FileNotFoundError(
                    '{} was evaluated on {}, which is not there. Say where these images are now: --data ROOT, or '
                    '--images DIR --labels DIR.'.format(run, folder)
                )


def find_subjects(args: argparse.Namespace) -> Tuple[Subject, Optional[Subject]]:
    """Finds what to evaluate, and what to compare it with. Errors in either show before the first pass."""
    check_models(args)
    subject = _subject(args, models_of(args))
    if args.against is None:
        return subject, None
    against = _subject(args, [args.against])
    _check_comparable(args, subject.label_space, against.label_space)
    if args.at_input_size and subject.input_size != against.input_size:
        raise ValueError(
            '--at-input-size resizes the labels, for {} to {} and for {} to {}: scores at different sizes have no '
            'paired difference. Add --size H W, or leave --at-input-size out; a run that was trained with '
            '--eval-at-input-size brings it along unless data are given.'.format(
                args.model, _size_in_words(subject.input_size), args.against, _size_in_words(against.input_size)
            )
        )
    return subject, against


def _size_in_words(size: Optional[Tuple[int, int]]) -> str:
    return 'their own size' if size is None else '{} x {}'.format(*size)


def _subject(args: argparse.Namespace, paths: Sequence[str]) -> Subject:
    from fcn8s.batches import check_same_classes
    from fcn8s.saving import runs
    from fcn8s.saving.descriptions import read_description

    size = _input_size(args, paths)
    model_dirs = [runs.resolve_model(path) for path in paths]
    settings = read_description(model_dirs[0]).settings
    label_space = settings.label_space
    data = _open_data(args, label_space, image_rules(args, settings.image_rules), paths[0])
    if args.only is not None:
        data = data.only(*args.only)
    return Subject(tuple(paths), tuple(model_dirs), check_same_classes(label_space, data.label_space), size, data)


def _check_comparable(args: argparse.Namespace, label_space: Any, other: Any) -> None:
    from fcn8s.batches import check_same_classes

    try:
        check_same_classes(label_space, other)
    except ValueError:
        raise ValueError(
            '--against {} has other classes ({!r}, {}) than {} ({!r}, {}): their mean IoUs have no paired difference. '
            'Evaluate each by itself.'.format(
                args.against, other.name, other.num_classes, args.model, label_space.name, label_space.num_classes
            )
        ) from None
    if label_space.void_class_ids != other.void_class_ids:
        raise ValueError(
            '--against {} leaves the classes {} out of its scores, and {} the classes {}: their mean IoUs have no '
            'paired difference. Evaluate each by itself.'.format(
                args.against, list(other.void_class_ids), args.model, list(label_space.void_class_ids)
            )
        )


def image_names(data: Any) -> List[str]:
    """Returns the images' paths below the dataset, in the order of the evaluation."""
    return [os.path.relpath(pair.image, data.root_dir) for pair in data.pairs]


def evaluate_subject(
    args: argparse.Namespace, subject: Subject, observer: Optional[Any] = None
) -> Tuple[Any, Dict[str, Any]]:
    """Evaluates a subject; returns an `Evaluation` and its description: model, data and settings.

    observer: as in `fcn8s.evaluation.evaluate.evaluate_model`.
    """
    from tqdm import tqdm

    from fcn8s.saving.packed import name_of

    size, data, share = subject.input_size, subject.data, share_of(args)
    with open_models(args, subject.paths) as model:
        if share is not None:
            share.take_cores()
        predictor = _predictor(args, subject, model)
        with data.generate(
            args.batch,
            shuffle=False,
            resize=size or False,
            resize_labels=args.at_input_size,
            workers=args.threads,
            share=None if share is None else (share.number, share.processes),
        ) as batches:
            evaluation = _score(
                args,
                model,
                predictor,
                batches,
                share is None,
                workers=max(1, args.threads),
                progress=share.counted if share else lambda numbers: tqdm(numbers, desc='evaluate', unit='batch'),
                observer=observer,
                part=None if share is None else (share.number, share.processes, _num_batches(args, subject)),
            )
    if args.samples is not None and predictor is not None:
        means = [dict(zip(('entropy', 'mutual_information'), pair)) for pair in predictor.means]
        evaluation = evaluation._replace(rows=[row._replace(**mean) for row, mean in zip(evaluation.rows, means)])
    return evaluation, dict(
        _description(args, subject), model=name_of(model.model_dir), computed_in=model.precision, engine=model.engine
    )


def _score(
    args: argparse.Namespace, model: Any, predictor: Optional[Any], batches: Any, is_only_process: bool, **options: Any
) -> Any:
    from fcn8s.batches import check_same_classes
    from fcn8s.evaluation.evaluate import attach_scorer, batches_at_once, evaluate_model, evaluate_predictions

    label_space = check_same_classes(model.label_space, batches.label_space)
    if predictor is not None:
        return evaluate_predictions(
            predictor.probabilities,
            label_space,
            batches,
            batches.num_batches,
            args.boundaries,
            args.calibration,
            temperature_of(args),
            **options,
        )
    scorer = attach_scorer(model.images, model.logits, label_space, args.calibration, temperature_of(args))
    at_once = batches_at_once(model.engine) if is_only_process else 1
    return evaluate_model(model.run, scorer, batches, batches.num_batches, args.boundaries, at_once=at_once, **options)


def evaluate_subjects(args: argparse.Namespace, subjects: Sequence[Subject]) -> Iterator[Tuple[Any, Dict[str, Any]]]:
    """Evaluates several subjects, one by one, or dealt out to as many processes as the flags say."""
    if is_sharer(args):
        yield from _share_out(args, subjects)
        return
    for subject in subjects:
        yield evaluate_subject(args, subject)


def hand_back(args: argparse.Namespace, subjects: Sequence[Subject]) -> None:
    """Evaluates this process's share of the batches and hands the result to the process that deals them out."""
    from fcn8s.evaluation.parts import BatchSums, part_to_json

    share, found = share_of(args), []
    for subject in subjects:
        sums = BatchSums(args.calibration)
        evaluation, description = evaluate_subject(args, subject, sums)
        computed = {name: description[name] for name in ('computed_in', 'engine')}
        found.append(dict(part_to_json(evaluation, sums), **computed))
    assert share is not None
    share.hand_back({'subjects': found})


def _share_out(args: argparse.Namespace, subjects: Sequence[Subject]) -> List[Tuple[Any, Dict[str, Any]]]:
    from data_generator.batches.batching import warn_of_few_classes
    from fcn8s.distributed.sharing import share_out
    from fcn8s.evaluation.parts import join, part_from_json

    found: List[Dict[str, Any]] = []
    share_out(
        args.argv,
        args.workers,
        {path: directory for subject in subjects for path, directory in zip(subject.paths, subject.model_dirs)},
        _num_batches(args, subjects[0]) * len(subjects),
        description='evaluate',
        unit='batch',
        take_over=found.extend,
    )
    evaluations = []
    for number, subject in enumerate(subjects):
        parts = [of_worker['subjects'][number] for of_worker in found]
        label_space = subject.label_space
        evaluation = join([part_from_json(part) for part in parts], label_space, args.batch)
        pixels = evaluation.scores['confusion_matrix'].sum(axis=1)
        seen = [c for c in range(label_space.num_classes) if pixels[c] and c not in label_space.void_class_ids]
        warn_of_few_classes(len(seen))
        computed = {name: parts[0][name] for name in ('computed_in', 'engine')}
        evaluations.append((evaluation, dict(_description(args, subject), **computed)))
    return evaluations


def check_shares(args: argparse.Namespace, subject: Subject) -> None:
    """Raises ValueError where there are more processes than batches, or than GPUs."""
    from fcn8s.distributed.sharing import check_count

    what = 'images' if args.batch == 1 else 'batches of {} images'.format(args.batch)
    check_count(args.workers, _num_batches(args, subject), what)


def _num_batches(args: argparse.Namespace, subject: Subject) -> int:
    return -(-subject.data.get_num_files() // args.batch)


def _description(args: argparse.Namespace, subject: Subject) -> Dict[str, Any]:
    from fcn8s.saving.packed import name_of

    names = [name_of(directory) for directory in subject.model_dirs]
    return {
        'model': ' + '.join(names),
        'models': names if len(names) > 1 else None,
        'data': args.data or as_text(args.images),
        'split': None if args.data is None else _split(args),
        'only': args.only,
        'num_images': subject.data.get_num_files(),
        'fingerprint': subject.data.fingerprint,
        'input_size': subject.input_size,
        'at_input_size': args.at_input_size,
        'tile': args.tile,
        'overlap': args.overlap,
        'scales': args.scales,
        'mirror': args.mirror,
        'samples': args.samples,
        'temperature': getattr(args, 'temperature', None),
    }


def _split(args: argparse.Namespace) -> str:
    return 'val' if args.split is None else args.split


def _predictor(args: argparse.Namespace, subject: Subject, model: Any) -> Optional[Any]:
    """Returns a predictor as the flags ask, by the code of `fcn8s predict`; None if the plain network is enough."""
    options = {'tile': args.tile and tuple(args.tile), 'overlap': args.overlap, 'scales': args.scales}
    given = {name: value for name, value in options.items() if value is not None}
    if args.samples is not None:
        return sampled_predictor(args, subject.paths[0], model, mirror=args.mirror, **given)
    are_several = len(subject.paths) > 1
    if args.tile is None and args.scales in (None, [1.0]) and not args.mirror and not are_several:
        return None
    from fcn8s.prediction.predictor import Predictor

    return Predictor(model.predict, model.num_classes, mirror=args.mirror, averages=are_several, **given)


def _open_data(args: argparse.Namespace, label_space: Any, rules: Any, path: str) -> Any:
    from data_generator import BatchGenerator
    from data_generator.files.layouts import LAYOUTS
    from helpers.label_spaces import is_nameless

    if args.data is not None:
        if args.layout is None and label_space.name not in LAYOUTS:
            raise ValueError(
                'the classes of {} {}, so that it does not say what layout --data {} is in. Give --layout NAME '
                '(fcn8s check recognises it).'.format(
                    path, 'have no names' if is_nameless(label_space) else 'are those of no layout', args.data
                )
            )
        return BatchGenerator.from_layout(args.layout or label_space.name, args.data, _split(args), image_rules=rules)
    data = BatchGenerator(
        as_list(args.images),
        image_file_extension=None,
        ground_truth_dirs=as_list(args.labels),
        **naming(args),
        image_rules=rules,
        **labels.read_as_trained(args, options_of_run(path), label_space),
    )
    labels.check_typed_of_colors(args, data)
    return data


def _input_size(args: argparse.Namespace, paths: Sequence[str]) -> Optional[Tuple[int, int]]:
    """(height, width) to resize images to: as asked for, else as the runs' evaluations were, else None."""
    from fcn8s.prediction.predictor import check_room

    size = common_input_size(paths) if args.size is None else args.size
    if size is None and args.at_input_size:
        raise ValueError(
            '--at-input-size: images are not resized, so the network works at the size of the ground '
            'truth already. Leave it out, or give --size H W.'
        )
    check_room(size, 2)  # the fewest classes: their number is known only once the model is open
    return None if size is None else (size[0], size[1])

"""Opens the models with which a command predicts, and makes a predictor of images from them."""

import argparse
import contextlib
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from fcn8s.cli.options.images import image_rules
from fcn8s.cli.options.prediction import temperature_of
from fcn8s.cli.options.workers import model_path, share_of


def models_of(args: argparse.Namespace) -> List[str]:
    """Returns the models that are averaged, as they were typed."""
    return [args.model] + list(getattr(args, 'also', None) or [])


def check_models(args: argparse.Namespace) -> None:
    """Raises ValueError or FileNotFoundError where the models cannot be averaged, before any is opened."""
    paths = models_of(args)
    if len(paths) == 1:
        return
    from fcn8s.prediction.ensemble import Member, check_members
    from fcn8s.saving.descriptions import read_description
    from fcn8s.saving.runs import resolve_model

    repeated = [path for path in paths if paths.count(path) > 1]
    if repeated:
        raise ValueError('{} came twice; the mean of a model with itself is that model.'.format(repeated[0]))
    if getattr(args, 'samples', None) is not None:
        raise ValueError('--samples are of one network, and {} are averaged. Leave one out.'.format(len(paths)))
    members = []
    for path in paths:
        own = read_description(resolve_model(path)).settings
        # `video` has no flags about images: it takes frames.
        rules = image_rules(args, own.image_rules) if hasattr(args, 'bands') else own.image_rules
        members.append(Member(path, own.label_space, rules))
    check_members(members)
    if args.size is None and args.scales is None:
        common_input_size(paths)


def common_input_size(paths: Sequence[str]) -> Optional[Tuple[int, int]]:
    """Returns (height, width) at which the runs were evaluated; None where images were not resized.

    Raises ValueError where they differ.
    """
    from fcn8s.saving.runs import input_size

    sizes = [input_size(path) for path in paths]
    for path, size in zip(paths, sizes):
        if size != sizes[0]:
            told = ['images as they are' if one is None else '{} x {}'.format(*one) for one in (sizes[0], size)]
            raise ValueError(
                'networks that are averaged need one input size, but {} was evaluated at {} and {} at {}. Give one for '
                'all: --size H W.'.format(paths[0], told[0], path, told[1])
            )
    return sizes[0]


def open_models(args: argparse.Namespace, paths: Sequence[str]) -> Any:
    """Opens a model, or the `Ensemble` of several, as the flags say."""
    from fcn8s.export.engines import open_model
    from fcn8s.saving.runs import open_current

    def open_one(path: str) -> Any:
        return open_current(
            model_path(args, path),
            lambda found: open_model(found, precision=args.precision, engine=args.engine, trust=args.trust),
        )

    if len(paths) == 1:
        return open_one(paths[0])
    from fcn8s.prediction.ensemble import Ensemble

    with contextlib.ExitStack() as opened:
        models = [opened.enter_context(open_one(path)) for path in paths]
        opened.pop_all()
    return Ensemble(models)


def check_sampling_arguments(args: argparse.Namespace) -> None:
    """Raises ValueError where the samples that the flags ask for cannot be drawn, before a model is opened."""
    if args.samples is None:
        if args.sample_seed is not None:
            raise ValueError('--sample-seed is {}, but there are no --samples N.'.format(args.sample_seed))
        return
    from fcn8s.prediction.sampling import MAX_SAMPLES

    if not 2 <= args.samples <= MAX_SAMPLES:
        raise ValueError('--samples is {}; it has to be from 2 to {}, for example 8.'.format(args.samples, MAX_SAMPLES))
    if not 0 <= (args.sample_seed or 0) < 2**31:
        raise ValueError('--sample-seed is {}; it has to be from 0 to {}.'.format(args.sample_seed, 2**31 - 1))
    if args.engine not in (None, 'tensorflow'):
        raise ValueError('--samples are drawn by TensorFlow, and --engine is {}. Leave one out.'.format(args.engine))
    against = getattr(args, 'against', None)
    for path in [args.model] + ([] if against is None else [against]):
        _check_dropout(path, is_told=getattr(args, 'share', None) is None)


def _check_dropout(path: str, is_told: bool) -> None:
    """Raises ValueError for a run that was trained without dropout; prints what is taken where that is not known."""
    from fcn8s.saving.runs import keep_prob

    kept = keep_prob_of(path)
    if not kept < 1:
        raise ValueError(
            '--samples: {} was trained without dropout (--keep-prob 1), so there is nothing to sample.'.format(path)
        )
    if is_told and keep_prob(path) is None:
        print(
            'note: --samples: {} does not say with which dropout it was trained; samples keep a share of {:g} of fc6 '
            'and fc7, as VGG-16 does. A run, or a network packed from one, says it.'.format(path, kept)
        )


def keep_prob_of(path: str) -> float:
    """Returns the keep probability of dropout of the run at `path`; that of VGG-16 for a model of unknown training."""
    from fcn8s.prediction.sampling import KEEP_PROB
    from fcn8s.saving.runs import keep_prob

    known = keep_prob(path)
    return KEEP_PROB if known is None else known


def sampled_predictor(args: argparse.Namespace, path: str, model: Any, **options: Any) -> Any:
    """Returns the `SampledPredictor` that the flags ask for.

    path: run or model, as it was typed. options: keywords of `Predictor`.
    """
    from fcn8s.prediction.frozen_network import InferenceGraph
    from fcn8s.prediction.sampling import SampledPredictor, Sampler

    if not isinstance(model, InferenceGraph):
        raise ValueError(
            '--samples: {} is an export, which has no dropout any more. Give the run or model that it was made '
            'of.'.format(path)
        )
    sampler = Sampler(model, args.samples, keep_prob_of(path), args.sample_seed or 0, args.trust)
    return SampledPredictor(sampler, temperature_of(args), **options)


@contextlib.contextmanager
def open_predictor(args: argparse.Namespace) -> Iterator[Tuple[Any, Any]]:
    """Opens the model and the `fcn8s.prediction.predictor.Predictor` that the flags ask for.

    If there are several models, `check_models` has to come first.
    """
    from fcn8s.prediction.predictor import Predictor

    options, share, paths = predictor_options(args), share_of(args), models_of(args)
    with open_models(args, paths) as model:
        if share is not None:
            share.take_cores()
        if getattr(args, 'samples', None) is not None:
            yield model, sampled_predictor(args, args.model, model, **options)
        else:
            yield model, Predictor(model.predict, model.num_classes, averages=len(paths) > 1, **options)


def predictor_options(args: argparse.Namespace) -> Dict[str, Any]:
    """Returns the keywords of `Predictor` that the flags ask for.

    Prints how images get to the network, as `_network_size`.
    """
    from fcn8s.prediction.predictor import DEFAULT_OVERLAP, check_room

    size = _network_size(args)
    check_room(size, 2)  # the fewest classes: their number is known only once the model is open
    return {
        'tile': None if args.tile is None else tuple(args.tile),
        'overlap': DEFAULT_OVERLAP if args.overlap is None else args.overlap,
        'scales': (1.0,) if args.scales is None else args.scales,
        'mirror': args.mirror,
        'size': size,
    }


def _network_size(args: argparse.Namespace) -> Optional[Tuple[int, int]]:
    """(height, width) to which images are resized: as asked for, else as in the run's evaluations, else None.

    Prints how images get to the network if that comes from the run and not from the command.
    """
    from fcn8s.saving.runs import input_size

    if args.size is not None:
        return args.size[0], args.size[1]
    size = common_input_size(models_of(args)) if args.scales is None else input_size(args.model)
    if size is None:
        return None
    if args.scales is None:
        print(
            'images are resized to {} x {} for the network, as fcn8s evaluate does for this run; results have the size '
            'of the image. --scales 1 predicts at that size instead.'.format(*size)
        )
        return size
    print(
        'note: --scales takes factors of the images as they are; fcn8s evaluate resizes them to {0} x {1} for this run '
        'and takes factors of that. With --size {0} {1}, so does this command.'.format(*size)
    )
    return None

"""`fcn8s train`: trains on a dataset and leaves a run directory."""
import argparse
import os
from typing import Any, Dict, List, Optional, Tuple

DESCRIPTION = '''Trains FCN-8s and leaves a run directory: config.json, checkpoints/, events/ for TensorBoard, metrics.jsonl.
Ctrl-C and SIGTERM finish the step and save; go on with --resume RUN.'''

# What --resume may change about a run.
RESUMABLE = ('epochs', 'workers', 'cache', 'report')


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('train', help='train on a dataset', description=DESCRIPTION)
    parser.add_argument('--resume', metavar='RUN', help='go on with an interrupted run, with the settings it was started with')
    parser.add_argument('--recipe', metavar='NAME|FILE', help='take the defaults of all other options from a recipe (--list-recipes)')
    parser.add_argument('--list-recipes', action='store_true', help='print the recipes with their scores, and end')
    parser.add_argument('--run', dest='run_dir', metavar='DIR', help='the run directory to make (default: runs/DATE-TIME)')
    parser.add_argument('--seed', type=int, default=0, help='of shuffling, augmentation and dropout (default: 0)')
    _add_data_arguments(parser.add_argument_group('data'))
    _add_augmentation_arguments(parser.add_argument_group('augmentation'))
    _add_network_arguments(parser.add_argument_group('network'))
    _add_training_arguments(parser.add_argument_group('training'))
    parser.set_defaults(run=run, parser=parser)


def _add_data_arguments(group: Any) -> None:
    group.add_argument('--data', metavar='ROOT', help='root directory of a dataset in a layout that is known by name')
    group.add_argument('--layout', default='cityscapes', metavar='NAME',
                       help='cityscapes, cityscapes20, camvid, camvid32, kitti_road, voc or ade20k (default: cityscapes)')
    group.add_argument('--split', default='train', help='what to train on (default: train)')
    group.add_argument('--val-split', default='val', help="what to evaluate on; '' for no evaluation (default: val)")
    group.add_argument('--images', metavar='DIR', help='instead of --data: a directory of images')
    group.add_argument('--labels', metavar='DIR', help='with --images: the labels, called like their images')
    group.add_argument('--val-images', metavar='DIR', help='with --images: images to evaluate on')
    group.add_argument('--val-labels', metavar='DIR', help='with --val-images: their labels')
    group.add_argument('--classes', type=int, metavar='N', help='with --images: the number of classes')
    group.add_argument('--ignore-id', type=int, metavar='ID', help='label of pixels that never count (default: 255, or that of the layout)')
    group.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='resize images to this size')
    group.add_argument('--workers', type=int, default=2, help='threads that read and augment (default: 2)')
    group.add_argument('--cache', metavar='DIR', help='keep decoded and resized pairs in this directory')


def _add_augmentation_arguments(group: Any) -> None:
    group.add_argument('--crop', type=int, nargs=2, metavar=('H', 'W'), help='train on random crops of this size')
    group.add_argument('--max-class-share', type=float, metavar='SHARE', help='draw a crop again in which one class fills more than this')
    group.add_argument('--random-scale', type=float, nargs=2, metavar=('MIN', 'MAX'), help='scale before cropping, for example 0.5 2')
    group.add_argument('--flip', type=float, default=0.5, metavar='P', help='mirror with this probability (default: 0.5)')
    group.add_argument('--brightness', type=float, nargs=3, metavar=('MIN', 'MAX', 'P'), help='for example 0.7 1.4 0.5')
    group.add_argument('--color-jitter', type=float, nargs=4, metavar=('CONTRAST', 'SATURATION', 'HUE', 'P'), help='for example 0.3 0.3 10 0.5')


def _add_network_arguments(group: Any) -> None:
    group.add_argument('--encoder', metavar='DIR', help='encoder SavedModel; write one with: fcn8s vgg16 OUT --weights SOURCE')
    group.add_argument('--fine-tune-from', metavar='MODEL', help='instead of --encoder: start from a run or saved FCN-8s')
    group.add_argument('--variant', choices=['8s', '16s', '32s'], help='default: 8s')
    group.add_argument('--upsampling', choices=['learned', 'bilinear'], help='default: learned, from bilinear kernels')
    group.add_argument('--skip-scales', type=float, nargs=2, metavar=('POOL3', 'POOL4'), help='default: 1 1 with adam, 1e-4 1e-2 with sgd')
    group.add_argument('--freeze', metavar="N|encoder", help='do not train the first N encoder blocks, or the whole encoder')


def _add_training_arguments(group: Any) -> None:
    group.add_argument('--epochs', type=int, default=20, help='default: 20')
    group.add_argument('--batch', type=int, default=4, metavar='N', help='images per batch (default: 4)')
    group.add_argument('--accumulate', type=int, default=1, metavar='K', help='batches per step (default: 1)')
    group.add_argument('--steps-per-epoch', type=int, metavar='N', help='default: one pass over the data')
    group.add_argument('--optimizer', choices=['adam', 'sgd'], default='adam', help='default: adam')
    group.add_argument('--momentum', type=float, help='of sgd (default: 0.99)')
    group.add_argument('--weight-decay', type=float, help='default: 0 with adam, 5e-4 with sgd')
    group.add_argument('--clip-norm', type=float, help='scale gradients down to this norm')
    group.add_argument('--rate', default='poly:1e-4', metavar='SCHEDULE',
                       help='constant:R, poly:R[:POWER], cosine:R[:END], steps:R:STEP,...[:FACTOR], each with +warmup:STEPS (default: poly:1e-4)')
    group.add_argument('--keep-prob', type=float, default=0.5, help='of dropout; 1 turns it off (default: 0.5)')
    group.add_argument('--l2', type=float, default=0.0, metavar='RATE', help='rate x 1/2 sum(w^2) over decoder kernels (default: 0)')
    group.add_argument('--normalize', choices=['mean', 'sum'], default='mean', help='loss over pixels (default: mean)')
    group.add_argument('--class-weights', metavar='median_frequency|W,W,...', help='weights of the classes in the loss')
    group.add_argument('--precision', choices=['float32', 'bfloat16', 'mixed_float16'], default='float32', help='default: float32')
    group.add_argument('--xla', action='store_true', help='compile with XLA')
    group.add_argument('--eval-every', type=int, default=1, metavar='EPOCHS', help='default: 1')
    group.add_argument('--eval-batch', type=int, default=1, metavar='N', help='images per evaluation batch (default: 1)')
    group.add_argument('--eval-at-input-size', action='store_true', help="score at the network's size instead of the ground truth's")
    group.add_argument('--monitor', help="score that 'best' is about: loss, mean_iou, accuracy, iou:CLASS (default: mean_iou)")
    group.add_argument('--patience', type=int, metavar='N', help='stop after N evaluations without a better score')
    group.add_argument('--save-every', type=int, default=1, metavar='EPOCHS', help='default: 1')
    group.add_argument('--keep-checkpoints', type=int, default=2, metavar='N', help='newest checkpoints to keep besides the best (default: 2)')
    group.add_argument('--report', action='store_true', help='write report.html into the run directory')


def run(args: argparse.Namespace) -> int:
    from fcn8s import recipes
    if args.list_recipes:
        print(recipes.format_recipes())
        return 0
    train_run(args)
    return 0


def train_run(args: argparse.Namespace) -> str:
    """Trains as the arguments say; returns the run directory."""
    from fcn8s import FCN8s
    args = resolve_arguments(args)
    train_data, val_data = open_datasets(args)
    settings = _model_arguments(args, train_data)
    with FCN8s(**settings) as model, _train_batches(args, train_data) as batches, _val_batches(args, val_data) as val_batches:
        train_arguments = _train_arguments(args, model, batches, val_batches)
        _announce(args, model, train_data, val_data, train_arguments)
        try:
            history = model.train(batches, run_dir=args.run_dir, resume=args.resume is not None, **train_arguments)
        finally:
            _after_training(args, model)
    _print_diagnosis(history, model)
    print('\nThe run is in {0}\n  evaluate  fcn8s evaluate {0} {1}\n  predict   fcn8s predict {0} IMAGE_OR_FOLDER --out DIR\n  look      '
          'tensorboard --logdir {0}/events'.format(args.run_dir, _data_flags(args)))
    return args.run_dir


def resolve_arguments(args: argparse.Namespace) -> argparse.Namespace:
    """The arguments after --resume (those of the run) or --recipe (its defaults) had their say. Raises ValueError."""
    import datetime
    if args.resume is not None:
        return _resumed_arguments(args)
    if args.recipe is not None:
        args = _with_recipe(args)
    if (args.data is None) == (args.images is None):
        raise ValueError('say what to train on: either --data ROOT --layout NAME, or --images DIR --labels DIR --classes N.')
    if args.images is not None and (args.labels is None or args.classes is None):
        raise ValueError('--images needs --labels DIR and --classes N.')
    if (args.encoder is None) == (args.fine_tune_from is None):
        raise ValueError('give either --encoder DIR (write one with: fcn8s vgg16 OUT --weights hed) or --fine-tune-from MODEL.')
    if args.run_dir is None:
        args.run_dir = os.path.join('runs', datetime.datetime.now().strftime('%Y%m%d-%H%M%S'))
    return args


def _explicit(args: argparse.Namespace) -> Dict[str, Any]:
    """The options that were typed: those that differ from the defaults."""
    return {name: value for name, value in vars(args).items() if value != args.parser.get_default(name)}


def _resumed_arguments(args: argparse.Namespace) -> argparse.Namespace:
    from fcn8s import runs
    stored = runs.read_config(runs.open_run(args.resume)).get('command')
    if stored is None:
        raise ValueError('{!r} was not started by fcn8s train, so its options are not known. Go on from Python with '
                         'resume=True.'.format(args.resume))
    changed = {name: value for name, value in _explicit(args).items() if name in RESUMABLE}
    refused = sorted(set(_explicit(args)) - set(RESUMABLE) - {'resume', 'run', 'parser', 'command'})
    if refused:
        raise ValueError('--resume goes on with the settings that the run was started with; leave out {}. Only {} may '
                         'change.'.format(', '.join('--' + name.replace('_', '-') for name in refused),
                                          ', '.join('--' + name for name in RESUMABLE)))
    merged = argparse.Namespace(**vars(args))
    for name, value in dict(stored, **changed).items():
        setattr(merged, name, value)
    merged.resume, merged.run_dir = args.resume, args.resume
    return merged


def _with_recipe(args: argparse.Namespace) -> argparse.Namespace:
    """Options that were typed win over the recipe, and the recipe over the defaults."""
    from fcn8s import recipes
    recipe = recipes.read_recipe(args.recipe)
    unknown = sorted(set(recipe.arguments) - set(vars(args)))
    if unknown:
        raise ValueError('the recipe {!r} has options that fcn8s train does not: {}.'.format(args.recipe, ', '.join(unknown)))
    merged = argparse.Namespace(**vars(args))
    typed = _explicit(args)
    for name, value in recipe.arguments.items():
        if name not in typed:
            setattr(merged, name, value)
    return merged


def open_datasets(args: argparse.Namespace) -> Tuple[Any, Optional[Any]]:
    """The training data, and the validation data or None."""
    from data_generator import BatchGenerator
    if args.data is not None:
        train = BatchGenerator.from_layout(args.layout, args.data, args.split, seed=args.seed)
        val = BatchGenerator.from_layout(args.layout, args.data, args.val_split, seed=args.seed) if args.val_split else None
        return train, val
    options = dict(image_file_extension=None, num_classes=args.classes, ignore_id=args.ignore_id, seed=args.seed)
    train = BatchGenerator([args.images], ground_truth_dirs=[args.labels], **options)
    val = BatchGenerator([args.val_images], ground_truth_dirs=[args.val_labels], **options) if args.val_images else None
    return train, val


def _train_batches(args: argparse.Namespace, data: Any) -> Any:
    def as_tuple(value):
        return False if value is None else tuple(value)
    options = dict(random_crop=as_tuple(args.crop), resize=as_tuple(args.size), brightness=as_tuple(args.brightness),
                   flip=args.flip or False, color_jitter=as_tuple(args.color_jitter), random_scale=as_tuple(args.random_scale),
                   max_class_share=args.max_class_share or False)
    return data.generate(args.batch, shuffle=True, workers=args.workers, cache_dir=args.cache, **options)


class _NoBatches:
    """Stands for the validation batches where there are none."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: Any) -> None:
        return None


def _val_batches(args: argparse.Namespace, data: Optional[Any]) -> Any:
    if data is None:
        return _NoBatches()
    return data.generate(args.eval_batch, shuffle=False, resize=False if args.size is None else tuple(args.size),
                         resize_labels=args.eval_at_input_size, workers=args.workers, cache_dir=args.cache)


def _model_arguments(args: argparse.Namespace, data: Any) -> Dict[str, Any]:
    freeze = int(args.freeze) if args.freeze is not None and str(args.freeze).isdigit() else args.freeze
    return dict(vgg16_dir=args.encoder, fine_tune_from=args.fine_tune_from, label_space=data.label_space, seed=args.seed,
                variant=args.variant, upsampling=args.upsampling,
                skip_scales=None if args.skip_scales is None else tuple(args.skip_scales),
                optimizer=_optimizer(args), normalize=args.normalize, class_weights=_class_weights(args, data), freeze=freeze,
                precision=args.precision, xla=args.xla)


def _optimizer(args: argparse.Namespace) -> Any:
    from fcn8s.model import OPTIMIZERS
    given = {'momentum': args.momentum, 'weight_decay': args.weight_decay, 'gradient_clip_norm': args.clip_norm}
    given = {name: value for name, value in given.items() if value is not None}
    return OPTIMIZERS[args.optimizer]._replace(accumulate_batches=args.accumulate, **given)


def _class_weights(args: argparse.Namespace, data: Any) -> Optional[List[float]]:
    if args.class_weights is None:
        return None
    if args.class_weights == 'median_frequency':
        from fcn8s.losses import median_frequency_weights
        return median_frequency_weights(_class_histogram(args, data)).tolist()
    try:
        return [float(weight) for weight in args.class_weights.split(',')]
    except ValueError:
        raise ValueError("--class-weights is {!r}; it has to be 'median_frequency', or one number per class with commas "
                         'between.'.format(args.class_weights)) from None


def _class_histogram(args: argparse.Namespace, data: Any) -> Any:
    """Pixels per class of every training image, int64 [num_images, C]; one pass over the data."""
    import numpy as np
    from tqdm import tqdm
    with data.generate(1, shuffle=False, workers=args.workers) as batches:
        counts = [np.bincount(next(batches)[1].reshape(-1), minlength=256)
                  for _ in tqdm(range(batches.num_batches), desc='class frequencies', unit='image')]
    return np.stack(counts)[:, :data.num_classes]


def _train_arguments(args: argparse.Namespace, model: Any, batches: Any, val_batches: Optional[Any]) -> Dict[str, Any]:
    from fcn8s.schedules import parse_schedule
    steps = args.steps_per_epoch or max(1, batches.num_batches // args.accumulate)
    evaluates = val_batches is not None
    return dict(epochs=args.epochs, steps_per_epoch=steps, learning_rate_schedule=parse_schedule(args.rate, args.epochs * steps),
                keep_prob=args.keep_prob, l2_regularization=args.l2, eval_dataset='val' if evaluates else 'train',
                eval_frequency=args.eval_every, val_generator=val_batches, val_steps=val_batches.num_batches if evaluates else None,
                metrics=('loss', 'mean_iou', 'accuracy') if evaluates else (),
                monitor=args.monitor or ('mean_iou' if evaluates else 'loss'), save_frequency=args.save_every,
                keep_checkpoints=args.keep_checkpoints, early_stopping_patience=args.patience,
                config={'command': _storable(args)})


def _storable(args: argparse.Namespace) -> Dict[str, Any]:
    """The options as config.json keeps them, with absolute paths, so that --resume works from anywhere."""
    stored = {name: value for name, value in vars(args).items() if name not in ('run', 'parser', 'command', 'resume', 'run_dir',
                                                                               'list_recipes', 'recipe')}
    for name in ('data', 'images', 'labels', 'val_images', 'val_labels', 'encoder', 'fine_tune_from', 'cache'):
        if stored[name] is not None:
            stored[name] = os.path.abspath(stored[name])
    return stored


def _announce(args: argparse.Namespace, model: Any, train: Any, val: Optional[Any], arguments: Dict[str, Any]) -> None:
    print('{} training images{}, {} classes ({}), FCN-{}, {} epochs of {} steps, run directory {}'.format(
        train.get_num_files(), '' if val is None else ' and {} to evaluate on'.format(val.get_num_files()), model.num_classes,
        model.label_space.name, model.settings.variant, args.epochs, arguments['steps_per_epoch'], args.run_dir))


def _after_training(args: argparse.Namespace, model: Any) -> None:
    """Also after an interruption: the report shows what there is."""
    if args.report:
        from fcn8s.report import write_report
        print('Report: {}'.format(write_report(args.run_dir)))


def _print_diagnosis(history: List[Dict[str, Any]], model: Any) -> None:
    from fcn8s.diagnosis import diagnose_history
    for message in diagnose_history(history, model.label_space):
        print('note: ' + message)


def _data_flags(args: argparse.Namespace) -> str:
    if args.data is None:
        return '--images {} --labels {}'.format(args.val_images or args.images, args.val_labels or args.labels)
    return '--data {} --layout {}'.format(args.data, args.layout)



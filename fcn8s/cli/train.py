"""`fcn8s train`: trains on a dataset and leaves a run directory."""

import argparse
import contextlib
import os
import shlex
import warnings
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from fcn8s.cli import cross_validation, time_budget
from fcn8s.cli.inputs.training import (
    check_beginning,
    check_can_begin,
    network_settings,
    open_datasets,
    run_arguments,
    train_arguments,
    train_batches,
    val_batches,
    workers_of_the_run,
)
from fcn8s.cli.inputs.training_plan import describe_plan, print_faster_precision
from fcn8s.cli.options import resolving, training
from fcn8s.cli.options.folders import as_words
from fcn8s.cli.options.prediction import trust_words
from fcn8s.cli.options.workers import check_workers, silent_output
from fcn8s.cli.terminal import READER_IS_GONE, program, tensorboard
from fcn8s.distributed.cluster import cluster_from_environment
from helpers.counted import counted

DESCRIPTION = """Trains FCN-8s and leaves a run directory: config.json, checkpoints/, events/ for TensorBoard,
metrics.jsonl. Ctrl-C, SIGTERM and a closed terminal finish the step and save; go on with --resume RUN."""

_NOT_OF_ONE_BATCH = resolving.NOT_OF_STEPS + ('keep_prob', 'run_dir', 'workers', 'wire', 'timeout')


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser('train', help='train on a dataset', description=DESCRIPTION)
    parser.add_argument(
        '--resume',
        metavar='RUN',
        help='resume an interrupted run with its own settings; say with --data, or --images ..., where data have moved',
    )
    parser.add_argument(
        '--recipe', metavar='NAME|FILE', help='take the defaults of all other options from a recipe (--list-recipes)'
    )
    parser.add_argument(
        '--overfit-one-batch',
        type=int,
        nargs='?',
        const=200,
        metavar='STEPS',
        help='only test whether the network learns one batch by heart (default: in 200 steps); try this first if '
        'nothing is learned. Without dropout, at --rate; leaves no run; exit status 1 if the batch is not learned',
    )
    parser.add_argument('--list-recipes', action='store_true', help='print the recipes with their scores, and exit')
    parser.add_argument(
        '--run', dest='run_dir', metavar='DIR', help='the run directory to make (default: runs/DATE-TIME)'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of shuffling, augmentation and dropout (default: 0)')
    data = parser.add_argument_group('data')
    training.add_data_arguments(data)
    cross_validation.add_arguments(data)
    training.add_augmentation_arguments(parser.add_argument_group('augmentation'))
    training.add_network_arguments(parser.add_argument_group('network'))
    training.add_training_arguments(parser.add_argument_group('training'))
    training.add_cluster_arguments(parser.add_argument_group('several workers'))
    parser.set_defaults(run=run, defaults=training.take_defaults(parser))


def run(args: argparse.Namespace) -> int:
    from fcn8s.training import recipes

    typed = {name: value for name, value in vars(args).items() if name not in training.NO_OPTIONS}
    if 'list_recipes' in typed:
        print(recipes.format_recipes())
        return 0
    if 'overfit_one_batch' in typed and not {'resume', 'folds', 'fold'} & set(typed):
        return _overfit(typed, args.defaults)
    cluster = cluster_from_environment(os.environ)
    if cluster is None and typed.get('workers', 1) == 1:
        resolving.refuse_workers_of_one(typed)
    if cluster is not None or typed.get('workers', 1) > 1 or cross_validation.is_asked_for(typed):
        resolving.refuse(typed, ['minutes'], '{is_} for a single training by a single process. Give --epochs instead.')
    if typed.get('workers', 1) > 1 and 'of_cluster' not in typed:
        if cross_validation.is_asked_for(typed) and 'fold' not in typed:
            raise ValueError(cross_validation.ONE_AFTER_THE_OTHER)
        return _launch(args.argv, typed, args.defaults, cluster)
    workers, is_first = (1, True) if cluster is None else (cluster.size, cluster.is_first)

    def train(options: argparse.Namespace) -> None:
        with _saying_how_to_go_on(typed):
            train_run(options, workers, is_first, _recipe_watchers(options, args.defaults, workers))

    with _silent_unless(is_first):
        if cross_validation.is_asked_for(typed):
            cross_validation.cross_validate(typed, args.defaults, cluster is not None, is_first, train)
            return 0
        options = resolving.resolve(typed, args.defaults, writes=is_first)
        if options.minutes is not None:
            options.epochs, options.minutes = time_budget.epochs_that_fit(options), None
            resolving.check_epochs(options)
        train(options)
    return 0


@contextlib.contextmanager
def _saying_how_to_go_on(typed: Dict[str, Any]) -> Iterator[None]:
    """Completes the command with which an interrupted training goes on, unless that is the very same, as with --folds.
    typed: the options of this command.
    """
    from fcn8s.stopping import GO_ON_WITH, TrainingInterrupted

    try:
        yield
    except TrainingInterrupted as error:
        if cross_validation.is_asked_for(typed):
            raise
        workers = ' --workers {}'.format(typed['workers']) if 'of_cluster' in typed else ''
        said = str(error).replace(GO_ON_WITH, GO_ON_WITH.replace('fcn8s', program(), 1), 1)
        words = workers + trust_words(typed.get('trust', False))
        raise TrainingInterrupted(said + words, error.signal_name) from None


@contextlib.contextmanager
def _silent_unless(is_first: bool) -> Iterator[None]:
    """Lets only the first worker print and warn: the others have the same options and data."""
    if is_first:
        yield
        return
    with silent_output(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


def _launch(argv: List[str], typed: Dict[str, Any], defaults: Dict[str, Any], cluster: Any) -> int:
    """Starts the workers of one training on this machine, and waits for them."""
    from fcn8s.distributed import launching
    from fcn8s.distributed.cluster import free_addresses, tf_config
    from fcn8s.distributed.watch import EXIT_STATUS, WorkerLostError

    workers = typed['workers']
    check_workers(workers)
    if cluster is not None:
        raise ValueError(
            '--workers is {}, and {} names a cluster of {} already. Give one of the two.'.format(
                workers, cluster.source, counted(cluster.size, 'worker')
            )
        )
    options = _checked_before_launch(typed, defaults)
    gpus, cores = launching.gpu_environments(workers), launching.core_shares(workers)
    addresses = free_addresses(workers)
    command = launching.fcn8s_command(argv + ['--of-cluster'])
    started = [
        launching.Worker(
            'worker {}'.format(number),
            command,
            dict(gpus[number], TF_CONFIG=tf_config(addresses, number)),
            cores[number],
            speaks=number == 0,
        )
        for number in range(workers)
    ]
    try:
        launching.run_workers(started, timeout=options.timeout)
    except launching.WorkerEndedError as error:
        if error.status == READER_IS_GONE:  # worker 0 has saved
            raise BrokenPipeError from None
        if error.was_killed or error.status == EXIT_STATUS:
            raise WorkerLostError('{} {}'.format(error, _how_to_go_on(typed))) from None
        raise
    return 0


def _checked_before_launch(typed: Dict[str, Any], defaults: Dict[str, Any]) -> argparse.Namespace:
    """The options with which all workers will train, so that what is wrong with them is said once."""
    from fcn8s.saving import runs

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # the first worker warns
        if cross_validation.is_asked_for(typed):
            options = cross_validation.checked_options(typed, defaults, is_one_of_several=True)
            resolving.check_workers_train(options, typed['workers'])
            return options  # folds that are done need no encoder
        options = resolving.resolve(typed, defaults, writes=False)
        if 'run_dir' in typed:
            runs.check_free(typed['run_dir'])
        resolving.check_workers_train(options, typed['workers'])
        check_beginning(options)
    return options


def _how_to_go_on(typed: Dict[str, Any]) -> str:
    """What to do once a worker was lost. typed: the options that started the workers."""
    from fcn8s.saving import runs

    if cross_validation.is_asked_for(typed):
        return 'The same command goes on from the last checkpoint.'
    run, which = typed.get('resume', typed.get('run_dir')), ''
    if run is None:
        run, which = 'RUN', ', where RUN is the run directory that worker 0 has named'
    elif not runs.is_run(run):
        return 'There is no run yet: start the same command again.'
    return 'Go on from the last checkpoint with: {} train --resume {} --workers {}{}{}'.format(
        program(), shlex.quote(run), typed['workers'], trust_words(typed.get('trust', False)), which
    )


def _overfit(typed: Dict[str, Any], defaults: Dict[str, Any]) -> int:
    """Overfits one batch and prints whether that worked; leaves no run."""
    from fcn8s.training.probes import ENOUGH, check_steps_of_one_batch, overfit_one_batch
    from fcn8s.training.schedules import parse_schedule

    steps = typed['overfit_one_batch']
    check_steps_of_one_batch(steps)
    resolving.refuse(
        typed,
        _NOT_OF_ONE_BATCH,
        '{means} nothing to --overfit-one-batch, which learns one batch and keeps nothing. Leave {it} out.',
    )
    options = resolving.without_validation(resolving.resolve_steps(typed, defaults))
    resolving.refuse_size_of_evaluations(typed, options)
    schedule = parse_schedule(options.rate, steps)
    check_can_begin(options)
    data, _ = open_datasets(options)
    with train_batches(options, data) as batches:
        settings = network_settings(options, data)
        from fcn8s import FCN8s

        with FCN8s(distributed=False, **settings) as model:
            found = overfit_one_batch(
                model.train, model.run_evaluation, next(batches), steps, schedule, l2_regularization=options.l2
            )
    print(
        'one batch of {}, {}: loss {:.4g} -> {:.4g}, {:.2f} % of its pixels right'.format(
            options.batch, counted(steps, 'step'), found.first_loss, found.last_loss, 100 * found.accuracy
        )
    )
    if found.learned:
        print('The network learns one batch by heart: data, loss and optimiser work together.')
        return 0
    print(
        'Below {:.0f} %, so it has not been learned by heart. Try more steps (--overfit-one-batch {}), then another '
        '--rate ({} find-rate); if neither helps, look at the labels: {} check --preview.'.format(
            100 * ENOUGH, 5 * steps, program(), program()
        )
    )
    return 1


def train_run(options: argparse.Namespace, workers: int, writes: bool, callbacks: Sequence[Any]) -> None:
    """Trains as the options say, and prints where the run is and what to do with it.

    workers: how many train together. writes: whether this one makes the run and its report. callbacks: for
    `FCN8s.train`.
    """
    resolving.check_workers_train(options, workers)
    check_can_begin(options)
    if options.resume is not None and writes:
        from fcn8s.saving import runs

        runs.check_no_writer(runs.open_run(options.resume))
    train_data, val_data = open_datasets(options)
    with train_batches(options, train_data) as batches, val_batches(options, val_data) as val:
        arguments = dict(train_arguments(options, batches, val, workers), **run_arguments(options, val is not None))
        settings = network_settings(options, train_data)
        from fcn8s import FCN8s
        from fcn8s.distributed.workers import DistributedSettings
        from fcn8s.planning.memory import process_memory

        base_memory = process_memory()
        distributed = DistributedSettings(timeout=options.timeout, wire=options.wire)
        with FCN8s(distributed=distributed, **settings) as model:
            _announce(options, model, train_data, val_data, arguments['steps_per_epoch'])
            print(describe_plan(options, model, train_data, base_memory))
            _print_mean_loss(options, workers)
            print_faster_precision(options)
            _train(model, options, batches, dict(arguments, callbacks=callbacks), writes)
    try:
        if options.report and writes:
            _report(options)
    finally:  # even if the report is interrupted, the run is there
        print(_closing_lines(options))


def _recipe_watchers(options: argparse.Namespace, defaults: Dict[str, Any], workers: int) -> List[Any]:
    """Returns the callbacks that report when a run falls behind its recipe; prints why if there are none."""
    if options.recipe is None:
        return []
    from fcn8s.training import recipe_curves, recipes

    try:
        recipe = recipes.read_recipe(options.recipe)
        if not recipe.measured:
            return []
        if not resolving.evaluates(options):
            raise ValueError('there are no data to evaluate on.')
        recipe = recipe._replace(arguments=resolving.recipe_arguments(options.recipe, defaults))
        settings = dict(vars(options), workers=workers_of_the_run(options, workers))
        curve = recipe_curves.lay_over(recipe, settings, dict(defaults, workers=1))
    except (ValueError, OSError) as error:
        print('The curve of the recipe {!r} is not compared: {}'.format(options.recipe, error))
        return []

    def watch(event: Any) -> None:
        if event.kind == 'evaluation':
            line = recipe_curves.remark(curve, _scores_so_far(options.run_dir))
            if line is not None:
                print(line)

    return [watch]


def _scores_so_far(run_dir: str) -> List[Tuple[int, Optional[float]]]:
    """(epoch, mean IoU) of every evaluation of a run, including those before it was resumed."""
    from fcn8s.saving import runs

    records = runs.read_metrics(runs.open_run(run_dir))
    evaluated = [record for record in records if isinstance(record.get('evaluation'), dict)]
    return [(record.get('epoch', 0), record['evaluation'].get('mean_iou')) for record in evaluated]


def _closing_lines(options: argparse.Namespace) -> str:
    run_dir, fcn8s = shlex.quote(options.run_dir), program()
    evaluate = ''
    # Names of single images, which cross-validation may have drawn, are too many to type.
    if resolving.evaluates(options) and len(options.hold_out or []) <= 8:
        evaluate = 'evaluate:\n  {} evaluate {} {}\n'.format(fcn8s, run_dir, _data_flags(options))
        best = _evaluation_of_recipe(options)
        if best:
            evaluate += 'evaluate for the highest score, which takes longer:\n  {} evaluate {} {} {}\n'.format(
                fcn8s, run_dir, _data_flags(options), best
            )
    return (
        '\nThe run is in {run}\n{evaluate}predict:\n  {fcn8s} predict {run} IMAGE '
        '--out DIR{trust}\nlook at curves:\n  {curves}'.format(
            run=run_dir,
            trust=trust_words(options.trust),
            fcn8s=fcn8s,
            evaluate=evaluate,
            curves=tensorboard(os.path.join(options.run_dir, 'events')),
        )
    )


def _evaluation_of_recipe(options: argparse.Namespace) -> str:
    """The options of `fcn8s evaluate` in the recipe; '' without a recipe that can still be read."""
    from fcn8s.training import recipes

    words: Sequence[str] = ()
    with contextlib.suppress(ValueError, OSError):
        words = recipes.read_recipe(options.recipe).evaluation if options.recipe else ()
    return ' '.join(shlex.quote(word) for word in words)


def _train(model: Any, options: argparse.Namespace, batches: Any, arguments: Dict[str, Any], writes: bool) -> None:
    from fcn8s.stopping import TrainingInterrupted

    try:
        model.train(batches, **arguments)
    except (TrainingInterrupted, FloatingPointError):
        if options.report and writes:
            from fcn8s.report.run_report import write_report

            _print_report(options, lambda: write_report(options.run_dir))
        raise


def _print_mean_loss(options: argparse.Namespace, workers: int) -> None:
    """Prints that a new training does not minimise the loss of its recipe, if it takes more batches a step than that
    and the loss does not add up over batches.
    """
    from fcn8s.settings import LOSSES, loss_name
    from fcn8s.training import recipes

    if options.recipe is None or options.resume is not None or LOSSES[loss_name(options.loss)].adds_up:
        return
    batches = options.accumulate * workers
    if batches > recipes.read_recipe(options.recipe).arguments.get('accumulate', 1):
        print(
            'The loss {} of a step is the mean over its {}, which is not that of one large batch: scores may differ '
            'from those of the recipe {!r}.'.format(options.loss, counted(batches, 'batch'), options.recipe)
        )


def _announce(options: argparse.Namespace, model: Any, train: Any, val: Optional[Any], steps_per_epoch: int) -> None:
    from helpers.label_spaces import is_of_a_table

    print(
        '{}{}, {} classes{}, FCN-{}, {} of {}, run directory {}'.format(
            counted(train.get_num_files(), 'training image'),
            '' if val is None else ' and {} to evaluate on'.format(val.get_num_files()),
            model.num_classes,
            '' if is_of_a_table(model.label_space) else ' ({})'.format(model.label_space.name),
            model.settings.variant,
            counted(options.epochs, 'epoch'),
            counted(steps_per_epoch, 'step'),
            options.run_dir,
        )
    )


def _report(options: argparse.Namespace) -> None:
    """Evaluates the best checkpoint and writes the report. If that fails, the finished training is still kept."""
    from fcn8s.cli import build_parser, report

    args = build_parser().parse_args(['report', 'RUN'])
    args.model, args.trust = options.run_dir, options.trust
    _print_report(options, lambda: report.write(args, _report_command(options)))


def _report_command(options: argparse.Namespace) -> str:
    return '{} report {}{}'.format(program(), shlex.quote(options.run_dir), trust_words(options.trust))


def _print_report(options: argparse.Namespace, write: Callable[[], str]) -> None:
    """Writes a report and prints its path, or why there is none."""
    try:
        path = write()
    except (ValueError, OSError, MemoryError) as error:
        print(
            'There is no report: {} Write it with: {}'.format(str(error) or 'out of memory.', _report_command(options))
        )
    else:
        print('Report: {}'.format(path))


def _data_flags(options: argparse.Namespace) -> str:
    """The flags with which `fcn8s evaluate` scores as the evaluations of the run did."""
    from fcn8s.cli.options.evaluation import evaluated_in_training

    found = evaluated_in_training(vars(options))
    words = [word for name, value in found.items() for word in as_words(name, value)]
    flags = ' '.join(map(shlex.quote, words))
    flags += ' --at-input-size' if options.eval_at_input_size and options.size is not None else ''
    return flags + trust_words(options.trust)

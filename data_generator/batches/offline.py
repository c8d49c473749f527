"""Writing a processed dataset: every pair once, as PNG, in the same tree below another directory.

Before the first file is written, `processing.json` in that directory records which files belong to which settings. So
an interrupted run continues where it stopped, files that exist are known to come from the same settings, and files from
elsewhere are never touched.
"""

import hashlib
import json
import os
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence

from data_generator.batches.batching import Made, Sample
from data_generator.batches.parallel import map_in_threads
from data_generator.batches.samples import Dataset, SampleMaker
from data_generator.files.discovery import Pair
from data_generator.files.processed import CONVERTED_BEFORE, MANIFEST_NAME, read_manifest
from data_generator.transforms.augmentations import AUGMENTATIONS, KEEPS
from helpers.aliases import PathLike
from helpers.counted import counted
from helpers.files import atomic_write_json, check_home, make_directory
from helpers.flags import checked_whole
from helpers.ground_truth import one_hot_to_ids
from helpers.image_rules import RGB_RULES
from helpers.image_search import taken_for_one
from helpers.images import write_image, write_labels
from helpers.process.cores import MAX_THREADS
from helpers.process.locks import directory_locked
from helpers.process.termination import termination_delayed


class ProcessedDataset(NamedTuple):
    """What `process_all` did: how many pairs it wrote, and how many it skipped, since an earlier run wrote them."""

    export_dir: str
    num_written: int
    num_skipped: int


def process_all(
    dataset: Dataset, make: SampleMaker, export_dir: Optional[PathLike], workers: int = 0, show_progress: bool = True
) -> ProcessedDataset:
    """Writes every pair once, as `make` makes it.

    Images become `export_dir`/<path relative to root_dir>.png; labels likewise, uint8 or uint16 without loss. A run
    after an interrupted one writes the missing pairs; the result is the same as without the interruption. A pair that
    exists is not written again, even if its source files have changed since: delete it, or the directory.
    `export_dir` also gets `.lock`, an empty file that stays.

    Args:
        make: Its seed determines everything random: pair k always gets the same draw.
        workers: Number of threads.

    Raises:
        ValueError: No `export_dir`; a file would be written outside `export_dir`, over a file of the dataset, among its
            images or over another file; images share a label, and a transform moves each at random; the directory holds
            files from other settings.
        OSError: `export_dir` cannot be made or written to. The message has its path and what to do.
        DataError: A file of the dataset cannot be used. Files written before stay, and the next run continues.
    """
    workers = checked_whole('workers', workers, 0, MAX_THREADS)
    targets = _claimed_targets(dataset, make, False, export_dir)
    unfinished = [index for index, target in enumerate(targets.pairs) if not _is_finished(target)]

    def process(index: int) -> None:
        _write(make(Sample(index, index)), targets.pairs[index], dataset.ignore_id)

    with termination_delayed():
        map_in_threads(process, unfinished, workers, 'Writing', show_progress)
    return ProcessedDataset(targets.export_dir, len(unfinished), len(targets.pairs) - len(unfinished))


def writing_to_disk(
    dataset: Dataset, make: SampleMaker, export_dir: Optional[PathLike], shuffle: bool
) -> Callable[[Sample], Made]:
    """Wraps `make` so that it also writes the samples of the first pass, as `process_all` does: every pair once.

    Raises:
        ValueError: As `process_all`, at once and not at the first sample.
    """
    targets = _claimed_targets(dataset, make, shuffle, export_dir)

    def make_and_write(sample: Sample) -> Made:
        made = make(sample)
        if sample.number < len(targets.pairs) and not _is_finished(targets.pairs[sample.pair_index]):
            _write(made, targets.pairs[sample.pair_index], dataset.ignore_id)
        return made

    return make_and_write


def _claimed_targets(dataset: Dataset, make: SampleMaker, shuffle: bool, export_dir: Optional[PathLike]) -> 'Targets':
    if dataset.image_rules.channels != 3:
        raise ValueError(
            'images are read with {}, and processed datasets hold RGB. Train from the files as they are; '
            'cache_dir of generate() keeps what was decoded.'.format(counted(dataset.image_rules.channels, 'channel'))
        )
    targets = plan_targets(dataset.pairs, dataset.root_dir, export_dir)
    _check_apart(targets.export_dir, dataset.image_dirs)
    _check_written_once(targets, dataset.pairs, make.pipeline.settings)
    settings = dict(make.pipeline.settings, seed=make.seed, shuffle=shuffle, dataset=_hash_of_names(dataset))
    settings[CONVERTED_BEFORE] = dataset.was_converted
    if dataset.image_rules != RGB_RULES:
        settings['image_rules'] = dataset.image_rules.to_json()
    claim_targets(targets, settings)
    return targets


def _hash_of_names(dataset: Dataset) -> str:
    # Without sizes, unlike the fingerprint: a broken file may be replaced before an interrupted run goes on.
    names = sorted(os.path.relpath(name, dataset.root_dir) for pair in dataset.pairs for name in pair if name)
    return hashlib.sha256('\n'.join(names).encode('utf-8', 'surrogateescape')).hexdigest()


def _check_apart(export_dir: str, image_dirs: Sequence[str]) -> None:
    for image_dir in image_dirs:
        real = os.path.realpath(image_dir)
        if (export_dir + os.sep).startswith(os.path.join(real, '')):
            raise ValueError(
                'export_dir={} lies in {}, where the images of the dataset are: what is written there would be found '
                'as images of it. Set export_dir to a directory beside it.'.format(export_dir, image_dir)
            )


def _check_written_once(targets: 'Targets', pairs: Sequence[Pair], settings: Mapping[str, Any]) -> None:
    """Refuses random transforms of files that several pairs write: a shared label, or an image that is listed twice."""
    drawn = [name for name in AUGMENTATIONS if settings[name] not in (None, False)]
    moving = [name for name in drawn if AUGMENTATIONS[name].labels != KEEPS]
    writer: Dict[str, str] = {}
    for pair, target in zip(pairs, targets.pairs):
        for path, names in ((target.label, moving), (target.image, drawn)):
            if path is not None and names and path in writer:
                raise ValueError(
                    '{} would be written for {} and again for {}, and {} draws something else for each, so that it '
                    'would fit one of them. Process each folder of images by itself, into an export_dir of its '
                    'own.'.format(path, writer[path], pair.image, ', '.join(names))
                )
            if path is not None:
                writer[path] = pair.image


class Targets(NamedTuple):
    """Where each pair of a dataset is written; `export_dir` is an absolute path without links."""

    export_dir: str
    pairs: List[Pair]

    @property
    def files(self) -> List[str]:
        """The paths of all images and labels that are written."""
        return [path for pair in self.pairs for path in pair if path is not None]


def plan_targets(pairs: Sequence[Pair], root_dir: str, export_dir: Optional[PathLike]) -> Targets:
    """Plans where to write each pair.

    Raises ValueError unless all files stay below `export_dir`, differ from each other and overwrite no source.
    """
    if export_dir is None:
        raise ValueError(
            'export_dir is None; processed datasets need a directory. Pass export_dir=... to BatchGenerator.'
        )
    check_home(export_dir)
    export_dir = os.path.realpath(os.fspath(export_dir))
    if os.path.exists(export_dir) and not os.path.isdir(export_dir):
        raise ValueError('export_dir={} is a file. Give a directory.'.format(export_dir))
    sources = {os.path.realpath(path): path for pair in pairs for path in pair if path is not None}
    source_of: Dict[str, str] = {}
    targets = []
    for pair in pairs:
        target = Pair(
            _target(pair.image, root_dir, export_dir),
            None if pair.label is None else _target(pair.label, root_dir, export_dir),
        )
        for source, path in zip(pair, target):
            if source is not None and path is not None:
                _check_target(source, path, export_dir, sources, source_of)
        targets.append(target)
    same = taken_for_one(source_of, export_dir)
    if same is not None:
        raise _written_to_one(source_of[same[0]], source_of[same[1]], same[1])
    return Targets(export_dir, targets)


def _target(path: str, root_dir: str, export_dir: str) -> str:
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(root_dir))
    if _leads_out(relative):  # maybe only one of the two paths goes through a link
        relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root_dir))
    if _leads_out(relative):
        raise ValueError(
            '{} does not lie below root_dir={}, so its place below export_dir is unknown. Set root_dir to '
            'a directory that holds all files.'.format(path, root_dir)
        )
    return os.path.join(export_dir, os.path.splitext(relative)[0] + '.png')


def _leads_out(relative: str) -> bool:
    return relative.split(os.sep)[0] == os.pardir or os.path.isabs(relative)


def _check_target(
    source: str, target: str, export_dir: str, sources: Mapping[str, str], source_of: Dict[str, str]
) -> None:
    real = os.path.realpath(target)
    if real in sources:
        raise ValueError(
            '{} would be written over the source {}. Set export_dir to a directory outside the dataset.'.format(
                target, sources[real]
            )
        )
    if os.path.commonpath([real, export_dir]) != export_dir:
        raise ValueError(
            '{} would be written to {}, outside export_dir={}, through a link. Remove the link, or set '
            'export_dir to an empty directory.'.format(target, real, export_dir)
        )
    if source_of.setdefault(real, source) != source:
        raise _written_to_one(source_of[real], source, target)


def _written_to_one(source: str, other: str, target: str) -> ValueError:
    return ValueError(
        '{} and {} would both be written to {}. Keep images and labels in directories of their own, '
        'and names different in more than the extension and letter case.'.format(source, other, target)
    )


def claim_targets(targets: Targets, settings: Mapping[str, Any]) -> None:
    """Records that these files come from these settings. Raises ValueError if one exists that does not."""
    settings = json.loads(json.dumps(settings))  # the types that reading it back gives
    manifest_path = os.path.join(targets.export_dir, MANIFEST_NAME)
    if not _unclaimed(targets, read_manifest(manifest_path), settings):
        return
    make_directory(targets.export_dir)
    with directory_locked(targets.export_dir):  # another process may record its files meanwhile
        runs = read_manifest(manifest_path)
        new = _unclaimed(targets, runs, settings)
        if new:
            atomic_write_json(manifest_path, {'format': 1, 'runs': runs + [{'settings': settings, 'files': new}]})


def _unclaimed(targets: Targets, runs: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> List[str]:
    """The files that no run has recorded yet. Raises ValueError if one exists, or is recorded with other settings."""
    names = [os.path.relpath(path, targets.export_dir) for path in targets.files]
    owners = {name: run['settings'] for run in runs for name in run['files']}
    for name, path in zip(names, targets.files):
        if owners.get(name, settings) != settings:
            raise ValueError(
                '{} holds files from other settings: {}. Set export_dir to another directory, or take the '
                'same settings to go on with what was interrupted.'.format(
                    targets.export_dir, _differences(owners[name], settings)
                )
            )
        if name not in owners and os.path.lexists(path):
            raise ValueError(
                '{} exists and was not written by this function. Set export_dir to an empty directory.'.format(path)
            )
    return [name for name in names if name not in owners]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = sorted(name for name in set(before) | set(now) if before.get(name) != now.get(name))
    return ', '.join(
        '{} was {} and is now {}'.format(name, _short(before.get(name)), _short(now.get(name))) for name in names
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + '...'


def _is_finished(target: Pair) -> bool:
    return all(os.path.exists(path) for path in target if path is not None)


def _write(made: Made, target: Pair, ignore_id: int) -> None:
    # Each file is written whole or not at all, so a pair is finished once both files exist.
    write_image(target.image, made.image)
    if target.label is not None and made.label is not None:
        is_one_hot = made.label.ndim == 3
        write_labels(target.label, one_hot_to_ids(made.label, ignore_id) if is_one_hot else made.label)

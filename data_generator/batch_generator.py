"""Batches of images and labels from a dataset on disk."""

import copy
import functools
import hashlib
import inspect
import os
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union, cast

import numpy as np

from data_generator.arguments import check_names
from data_generator.batches.batching import BatchIterator, BatchOrder, stack
from data_generator.batches.offline import ProcessedDataset, process_all, writing_to_disk
from data_generator.batches.samples import (
    Dataset,
    SampleMaker,
    build_sample_maker,
    has_conversion,
    mean_color,
)
from data_generator.errors import DataError
from data_generator.files.choosing import FileArguments, check_file_arguments, choose_files, given_pairs
from data_generator.files.counting import class_pixels
from data_generator.files.discovery import Pair, Paths, read_once
from data_generator.files.label_meaning import LabelArguments, LabelMeaning, check_id_map
from data_generator.files.layouts import Layout, find_layout, places_of, variants_of
from data_generator.files.masks import Conversion
from data_generator.files.splits import Folds, begin_with, divide
from data_generator.transforms.options import TRANSFORM_NAMES, check_options
from data_generator.transforms.values import is_off, plain_options
from helpers.aliases import PathLike
from helpers.counted import counted
from helpers.files import path_of
from helpers.flags import check_flags, checked_whole, is_whole
from helpers.image_rules import RGB_RULES, ImageRules, checked_rules
from helpers.label_spaces import LabelSpace
from helpers.names_of_2017 import OF_BATCH_GENERATOR, with_replacements
from helpers.process.cores import MAX_THREADS
from helpers.progress import bar_options
from helpers.user_warnings import warn_user

Function = TypeVar('Function', bound=Callable[..., Any])
Result = TypeVar('Result')


def _naming_unknown_options(method: Function) -> Function:
    """Makes a method refuse unknown keywords with a message that lists the known ones."""
    known = tuple(inspect.signature(method).parameters)[1:]

    @functools.wraps(method)
    def checked(*args: Any, **options: Any) -> Any:
        check_names(options, known, method.__name__)
        return method(*args, **options)

    return cast(Function, checked)


@with_replacements(OF_BATCH_GENERATOR)
class BatchGenerator:
    """A dataset: which images and labels belong together, and what the labels mean.

    >>> from data_generator.street_scenes import write_dataset
    >>> write_dataset('scenes', 2, 1, 0, size=(64, 96))
    >>> train = BatchGenerator.from_layout('cityscapes', 'scenes', 'train')
    >>> with train.generate(batch_size=2, random_crop=(32, 48), flip=0.5) as batches:
    ...     images, labels = next(batches)
    >>> images.shape, labels.shape, train.num_classes, train.ignore_id
    ((2, 32, 48, 3), (2, 32, 48), 19, 255)

    Name the directories, a list of pairs, or (with `from_layout`) a known layout.

    Args:
        image_dirs: A directory, or several, below which the images lie, nested or not.
        image_file_extension: Extension of the images, or several, in any letter case; None for every readable format.
            A layout has its own.
        ground_truth_dirs: For each of `image_dirs` the directory of its labels; None for a dataset without labels. A
            label has the same relative path as its image, and may have another extension.
        image_name_split_separator: Where the name of an image is split. The name of its label is the part before the
            separator plus `ground_truth_suffix`. None if the names are the same but for the suffix.
        ground_truth_suffix: See above; '{rest}' in it stands for the part behind the separator.
        check_existence: Refuse images without labels. If False they are left out.
        num_classes: The number of classes, by which labels are checked; None leaves them unchecked.
        root_dir: The directory below which all files lie: written datasets have the same tree, and relative paths in a
            list of pairs start here. None for the common parent directory of all images and labels.
        export_dir: Where processed datasets are written.
        layout: The name of a layout or a `data_generator.files.layouts.Layout`: how labels are called, and their ID map
            and label space.
        label_space: The classes, if no layout defines them; replaces `num_classes`.
        ignore_id: The ID of pixels that never count; None for that of the label space, which is 255 by default.
        id_map: From the IDs in the files to class IDs, a dict or an array; it is applied to all labels. Labels that
            `process_all` wrote with a map hold class IDs already; a layout does not apply its own map to them again.
            Without `id_map`, labels of two classes that hold only 0 and 255 (or 65535) are background and foreground.
        color_tolerance: For colour labels: how far a colour may be from that of a class, as the largest difference in
            any channel. 0 refuses other colours; about 40 accepts borders that are anti-aliased or went through JPEG.
            Two classes without colours are black and white; 127 then accepts all greys.
        label_transparency: For colour labels: what transparent pixels are, the name of a class, or 'void' for pixels
            that never count. None refuses them.
        pairs: A list of (image, label) or of images, or the path of a text or CSV file that lists them. Replaces
            `image_dirs` and all arguments that say which files belong together. `Pair`s, such as those of another
            BatchGenerator, are used unchanged; `root_dir` does not matter for them.
        seed: An integer of at least 0, for everything random.
        image_rules: How images that are not 8-bit RGB are read, see `helpers.image_rules.ImageRules`: by default grey
            becomes three equal channels, alpha is laid over black, 16 bits are scaled to 8.

    Attributes:
        pairs: List of `data_generator.files.discovery.Pair`, in natural order of the images. A part of it may replace
            it, `data.pairs = data.pairs[:10]`: labels are read as before.
        image_rules: As above.
        label_space: `helpers.label_spaces.LabelSpace`; None if neither arguments nor a layout nor files beside the data
            define the classes.
        num_classes, ignore_id, root_dir, export_dir, seed: As above.
        has_labels: Whether the dataset has labels.
        image_dirs: The directories that were searched for images; none if a list names the images.
        conversion: From what label files hold to class IDs.
        was_converted: Whether `process_all` wrote the labels, so that they hold class IDs, unlike their originals.

    Raises:
        ValueError: An argument is wrong, or two cannot be combined.
        FileNotFoundError: A directory, a list or a file that it names does not exist.
        DataError: No images; images without labels; an image whose label is ambiguous.
    """

    def __init__(
        self,
        image_dirs: Optional[Paths] = None,
        image_file_extension: Optional[Paths] = 'png',
        ground_truth_dirs: Optional[Paths] = None,
        image_name_split_separator: Optional[str] = None,
        ground_truth_suffix: Optional[str] = None,
        check_existence: bool = True,
        num_classes: Optional[int] = None,
        root_dir: Optional[PathLike] = None,
        export_dir: Optional[PathLike] = None,
        *,
        layout: Optional[Union[str, Layout]] = None,
        label_space: Optional[LabelSpace] = None,
        ignore_id: Optional[int] = None,
        id_map: Optional[Union[Mapping[int, int], np.ndarray]] = None,
        color_tolerance: int = 0,
        label_transparency: Optional[str] = None,
        pairs: Optional[Union[PathLike, Sequence]] = None,
        seed: int = 0,
        image_rules: ImageRules = RGB_RULES,
    ) -> None:
        files = FileArguments(
            image_dirs=read_once(image_dirs),
            image_file_extension=read_once(image_file_extension),
            ground_truth_dirs=read_once(ground_truth_dirs),
            image_name_split_separator=image_name_split_separator,
            ground_truth_suffix=ground_truth_suffix,
            check_existence=check_existence,
            root_dir=root_dir,
            layout=layout,
            pairs=pairs,
        )
        check_id_map(id_map)
        check_file_arguments(files, label_space=label_space, id_map=id_map)
        self.seed = checked_whole('seed', seed, 0)
        color_tolerance = checked_whole('color_tolerance', color_tolerance, 0, 255)
        self.image_rules = checked_rules(image_rules)
        chosen = choose_files(files, self.image_rules)
        self._pairs, self.image_dirs = chosen.pairs, chosen.image_dirs
        self._meaning = LabelMeaning(
            chosen, LabelArguments(label_space, num_classes, ignore_id, id_map, color_tolerance, label_transparency)
        )
        self.was_converted = self._meaning.was_converted
        self.label_space, self.ignore_id = self._meaning.label_space, self._meaning.ignore_id
        self.num_classes = self.label_space.num_classes if self.label_space else None
        self.root_dir = _common_root(self.pairs) if root_dir is None else path_of(root_dir)
        self.export_dir = export_dir
        self.color_tolerance, self.label_transparency = color_tolerance, label_transparency
        self._of_pairs: Dict[str, Tuple[Tuple[Pair, ...], Any]] = {}

    @property
    def pairs(self) -> List[Pair]:
        """The images, each with its label."""
        return self._pairs

    @pairs.setter
    def pairs(self, pairs: Union[PathLike, Sequence]) -> None:
        self._pairs = given_pairs(pairs, self.root_dir)

    @property
    def conversion(self) -> Conversion:
        """Says how the content of label files becomes class IDs: by the layout, by `id_map`, or by a look at files.

        Raises:
            DataError: Label files can be read in two ways.
        """
        return self._meaning.conversion

    @classmethod
    def from_layout(
        cls,
        layout: Union[str, Layout],
        root: PathLike,
        split: str = 'train',
        with_labels: bool = True,
        check_existence: bool = True,
        export_dir: Optional[PathLike] = None,
        seed: int = 0,
        image_rules: ImageRules = RGB_RULES,
    ) -> 'BatchGenerator':
        """Returns a split of a dataset that has its original directory structure.

        Args:
            layout: 'cityscapes', 'foggy_cityscapes', 'cityscapes20' (void as class 0), 'camvid', 'camvid32',
                'kitti_road', 'voc', 'voc_aug', 'ade20k', or a `data_generator.files.layouts.Layout`.
            root: The directory of the dataset.
            split: 'train', 'val' or another split of the dataset.
            with_labels: False for the images alone, for example of a test split.
            check_existence: Refuse images without labels, and names in a list without an image. If False they are left
                out.
        """
        check_flags(with_labels=with_labels, check_existence=check_existence)
        _check_split(split)
        if not (with_labels or check_existence or any(variant.list_file for variant in variants_of(layout))):
            raise ValueError(
                'check_existence is False and with_labels is False: without labels no image lacks one. Leave '
                'check_existence out.'
            )
        variant, pairs = find_layout(layout, path_of(root), split, with_labels, check_existence)
        made = cls(
            pairs=pairs, layout=variant, root_dir=root, export_dir=export_dir, seed=seed, image_rules=image_rules
        )
        made.image_dirs = [places_of(variant, path_of(root), split).image_dir]
        return made

    @property
    def has_labels(self) -> bool:
        """Whether the dataset has labels: all its images, or none."""
        return self.pairs[0].label is not None

    def hold_out(self, *prefixes: str) -> Tuple['BatchGenerator', 'BatchGenerator']:
        """Divides the dataset: the other images, and those whose file names begin with one of `prefixes`.

        Labels of both parts are read the same way. Images of one drive or film are too similar for a random division:
        if file names begin with the name of the drive, hold out a whole drive.

        Raises:
            ValueError: No prefix, or an empty one.
            DataError: No file name begins with one of the prefixes, or every file name begins with some prefix.
        """
        is_held = begin_with(self.pairs, prefixes)
        if all(is_held):
            raise DataError(
                'All of {} images have names that begin with {}: none is left to train on. Hold out fewer.'.format(
                    len(is_held), ' or '.join(repr(prefix) for prefix in prefixes)
                )
            )
        return self._part(not held for held in is_held), self._part(is_held)

    def folds(self, number: int, seed: int = 0) -> Folds:
        """Divides the dataset for cross-validation, into parts of about the same size.

        `for prefixes in data.folds(5).prefixes: train, held = data.hold_out(*prefixes)` gives the data of each fold.

        Args:
            number: How many parts, at least 2.
            seed: Seed of the division, which is the same on every machine.

        Returns:
            `prefixes` of each part; and `unit`, what is never divided: 'folders' if there are at least `number` of
            them, else 'sequences' (images whose names are equal up to the first underscore), else 'images'.

        Raises:
            ValueError: `number` is below 2 or larger than the number of images; `seed` is not 0 or a positive integer.
            DataError: The unit is 'images', and one path is the end of another, as 1.png is of sub/1.png.
        """
        return divide(self.pairs, number, seed)

    def only(self, *prefixes: str) -> 'BatchGenerator':
        """Keeps the images whose file names begin with one of `prefixes`, which may be all of them.

        Raises:
            ValueError, DataError: As `hold_out` for prefixes that are missing, empty or match no name.
        """
        return self._part(begin_with(self.pairs, prefixes))

    def _part(self, is_chosen: Iterable[bool]) -> 'BatchGenerator':
        """The same dataset with some of its pairs."""
        part = copy.copy(self)
        part._pairs = [pair for pair, chosen in zip(self.pairs, is_chosen) if chosen]
        part._of_pairs = {}
        return part

    def _remembered(self, name: str, make: Callable[[], Result]) -> Result:
        """What `make` returns for the pairs as they are now: the list can be changed."""
        pairs = tuple(self.pairs)
        if name not in self._of_pairs or self._of_pairs[name][0] != pairs:
            self._of_pairs[name] = pairs, make()
        return self._of_pairs[name][1]

    def get_num_files(self) -> int:
        """Counts the images."""
        return len(self.pairs)

    @property
    def fingerprint(self) -> str:
        """Hashes the sizes of the files of all pairs, and their names relative to `root_dir`."""
        return self._remembered('fingerprint', lambda: _fingerprint(self.pairs, self.root_dir))

    @property
    def mean_color(self) -> Tuple[float, ...]:
        """Mean (red, green, blue), or the mean of each channel, 0 to 255, over up to 16 images at equal distances.

        It is the default colour of padding.
        """
        return self._remembered('mean_color', lambda: mean_color(self.pairs, image_rules=self.image_rules))

    @_naming_unknown_options
    def generate(
        self,
        batch_size: int,
        convert_colors_to_ids=False,
        convert_ids_to_ids=False,
        convert_to_one_hot: bool = False,
        void_class_id: Optional[int] = None,
        random_crop=False,
        crop=False,
        resize=False,
        brightness=False,
        flip=False,
        translate=False,
        scale=False,
        gray: bool = False,
        to_disk: bool = False,
        shuffle: bool = True,
        *,
        rotate=False,
        color_jitter=False,
        random_scale=False,
        max_class_share=False,
        crop_on_classes=False,
        blur=False,
        resize_labels: bool = True,
        pad_value=None,
        workers: int = 0,
        prefetch: int = 2,
        cache_dir: Optional[PathLike] = None,
        seed: Optional[int] = None,
        share: Optional[Tuple[int, int]] = None,
    ) -> BatchIterator:
        """Returns an endless iterator over batches, each a function of the seed and its number alone.

        Args:
            batch_size: Images per batch. Shuffled, every batch is full: the last batch of a pass takes its missing
                images from the next pass. Not shuffled, the last batch may be short, so that a pass holds every image
                once.
            convert_to_one_hot: Labels uint8 `[N, H, W, C]`, zeros for `ignore_id`, instead of `[N, H, W]` class IDs.
            to_disk: Also write the samples of the first pass below `export_dir`, as `process_all` does.
            shuffle: A new random order for each pass.
            pad_value: (red, green, blue) of padding; None for the mean colour of the dataset.
            workers: Threads that read and transform in the background, at most 1024; 0 to make each batch when it is
                asked for. One per core is best. While they run, each call of OpenCV uses one thread
                (cv2.setNumThreads).
            prefetch: How many batches the workers make ahead at most.
            cache_dir: A directory for decoded pairs, which are also cropped and resized unless a random crop comes
                first. The next pass, or another process, maps them into memory. It grows by the decoded size of the
                pairs; those of 2 GiB and more are not kept.
            seed: Replaces the seed of the dataset.
            share: (i, n) with 0 <= i < n, not shuffled: the batches of each pass are dealt out to n processes, and this
                iterator gets batches i, i + n, ... A pass needs at least n batches.
            All others: See `data_generator.transforms.pipeline.build_pipeline`.

        Raises:
            ValueError: An option is wrong, or two cannot be combined. Raised before any image is read.
            DataError: Raised at once if labels can be read in two ways; by `next` for the batch that contains a file
                that cannot be used. Names the file.
        """
        given = dict(locals())  # besides its entry in AUGMENTATIONS, an augmentation is named only in the signature
        transforms = {name: given[name] for name in TRANSFORM_NAMES}
        check_flags(convert_to_one_hot=convert_to_one_hot, to_disk=to_disk, shuffle=shuffle)
        batch_size = checked_whole('batch_size', batch_size, 1)
        workers = checked_whole('workers', workers, 0, MAX_THREADS)
        prefetch = checked_whole('prefetch', prefetch, 1)
        _check_share(share, shuffle, -(-len(self.pairs) // batch_size))
        _check_cache(cache_dir)
        seed = self.seed if seed is None else checked_whole('seed', seed, 0)
        dataset = self._dataset(transforms)
        make: Any = self._maker(dataset, transforms, convert_to_one_hot, cache_dir, seed)
        if to_disk:
            make = writing_to_disk(dataset, make, self.export_dir, shuffle)
        order = BatchOrder(len(self.pairs), batch_size, shuffle, seed, share)
        return BatchIterator(
            order,
            make,
            stack,
            workers=workers,
            prefetch=prefetch,
            label_space=self.label_space,
            fingerprint=self.fingerprint,
            image_rules=self.image_rules,
            options=dict(plain_options(transforms), seed=seed, shuffle=shuffle),
        )

    def count_class_pixels(self, workers: int = 2, show_progress: bool = False) -> np.ndarray:
        """Counts the valid pixels of every image by class, int64 [N, C], at the size of the labels on disk.

        Reads every pair once. The counts are what `helpers.class_weights.median_frequency_weights` takes.

        Raises:
            ValueError: There are no labels, or the number of classes is not known.
            DataError: A label holds an ID that is no class.
        """
        check_flags(show_progress=show_progress)
        if self.num_classes is None or not self.has_labels:
            raise ValueError(
                'class pixels are counted by labels and num_classes, and this BatchGenerator lacks them. Pass '
                'ground_truth_dirs=... and num_classes=... to it.'
            )
        from tqdm import tqdm

        with self.generate(1, shuffle=False, workers=workers) as batches:
            numbers = tqdm(
                range(batches.num_batches), desc='class frequencies', unit='image', **bar_options(show_progress)
            )
            rows = []
            for _ in numbers:
                ids, pixels = np.unique(next(batches)[1], return_counts=True)
                values = dict(zip(ids.tolist(), pixels.tolist()))
                rows.append(class_pixels(values, self.num_classes, self.ignore_id))
        return np.stack(rows)

    def process_all(
        self, workers: int = 0, seed: Optional[int] = None, show_progress: bool = True, **transforms: Any
    ) -> ProcessedDataset:
        """Writes every pair once, transformed, as PNG in the same tree below `export_dir`.

        Takes the transforms of `generate` by name. See `data_generator.batches.offline.process_all`. Other keywords of
        the 2017 version are accepted if they match what this method does: `to_disk=True`, `convert_to_one_hot=False`,
        and `shuffle` and `batch_size`, which do not affect files.
        """
        transforms = _without_writing_options(transforms)
        check_names(transforms, TRANSFORM_NAMES + ('workers', 'seed', 'show_progress'), 'process_all')
        check_flags(show_progress=show_progress)
        workers = checked_whole('workers', workers, 0, MAX_THREADS)

        def exact_mean() -> Tuple[float, ...]:
            return mean_color(self.pairs, exact=True, image_rules=self.image_rules)

        seed = self.seed if seed is None else checked_whole('seed', seed, 0)
        dataset = self._dataset(transforms)
        make = build_sample_maker(dataset, transforms, exact_mean, seed=seed)
        return process_all(dataset, make, self.export_dir, workers, show_progress)

    def sample_maker(
        self,
        transforms: Mapping[str, Any],
        convert_to_one_hot: bool = False,
        cache_dir: Optional[PathLike] = None,
        seed: int = 0,
    ) -> SampleMaker:
        """Returns a function that reads and transforms one pair. `transforms` are those of `generate`."""
        return self._maker(self._dataset(transforms), transforms, convert_to_one_hot, cache_dir, seed)

    def _maker(self, dataset: Dataset, transforms: Mapping[str, Any], *options: Any) -> SampleMaker:
        return build_sample_maker(dataset, transforms, lambda: self.mean_color, *options)

    def _dataset(self, transforms: Mapping[str, Any]) -> Dataset:
        # Wrong options are refused before labels are read to see what they hold.
        check_options(transforms, self.ignore_id, self.num_classes, self.has_labels)
        conversion = self._meaning.said_conversion if has_conversion(transforms) else self.conversion
        if conversion.color_map is None and is_off(transforms.get('convert_colors_to_ids')):
            self._warn_of_ids()
        return Dataset(
            pairs=self.pairs,
            root_dir=self.root_dir,
            image_dirs=self.image_dirs,
            num_classes=self.num_classes,
            ignore_id=self.ignore_id,
            id_map=conversion.id_map,
            color_map=conversion.color_map,
            was_converted=self.was_converted,
            color_rule=self._meaning.color_rule,
            space=self._meaning.named_space(conversion),
            image_rules=self.image_rules,
            palette_labels=self._meaning.labels,
            color_table=self._meaning.color_table(conversion),
        )

    def _warn_of_ids(self) -> None:
        """Warns of options for colour labels when labels hold IDs, which is known only after a look at some files."""
        said = {'color_tolerance': self.color_tolerance or None, 'label_transparency': self.label_transparency}
        for name in (name for name, value in said.items() if value is not None):
            warn_user(
                '{} is {!r}, and is about labels that hold colours; these hold IDs, which are read as they are, so it '
                'changes nothing.'.format(name, said[name])
            )


def _without_writing_options(options: Mapping[str, Any]) -> Dict[str, Any]:
    """Drops options of the 2017 version that are no transforms; refuses values that `process_all` cannot honour."""
    if not options.get('to_disk', True):
        raise ValueError(
            'to_disk is {!r}, but process_all writes files. Iterate over generate(...) for samples in memory.'.format(
                options['to_disk']
            )
        )
    if options.get('convert_to_one_hot', False):
        raise ValueError(
            'convert_to_one_hot is {!r}, but process_all writes labels as PNG, which hold class IDs. Write those, and '
            'convert when they are read: generate(convert_to_one_hot=True).'.format(options['convert_to_one_hot'])
        )
    accepted = ('to_disk', 'convert_to_one_hot', 'shuffle', 'batch_size')
    return {name: value for name, value in options.items() if name not in accepted}


def _check_share(share: Optional[Tuple[int, int]], shuffle: bool, num_batches: int) -> None:
    if share is None:
        return
    if shuffle:
        raise ValueError('share is {!r}; it is of batches in their order. Pass shuffle=False.'.format(share))
    is_pair = isinstance(share, (tuple, list)) and len(share) == 2 and all(map(is_whole, share))
    if not is_pair or not 0 <= share[0] < share[1] <= num_batches:
        raise ValueError(
            'share is {!r}; it has to be (i, n) with 0 <= i < n, and n at most the {} of a pass.'.format(
                share, counted(num_batches, 'batch')
            )
        )


def _check_cache(cache_dir: Any) -> None:
    if cache_dir is not None and not path_of(cache_dir):
        raise ValueError("cache_dir is ''; it has to be a directory. Leave it out to keep nothing.")


def _check_split(split: Any) -> None:
    """Raises ValueError unless it names folders below that of all splits, so that '' does not stand for all of them."""
    if not isinstance(split, str) or not {'', '.', '..'}.isdisjoint(split.rstrip('/').split('/')):
        raise ValueError("split is {!r}; it has to be the name of one, such as 'train'.".format(split))


def _fingerprint(pairs: Sequence[Pair], root_dir: str) -> str:
    names = [name for pair in pairs for name in pair if name is not None]
    lines = sorted('{} {}'.format(os.path.relpath(name, root_dir), os.stat(name).st_size) for name in names)
    return hashlib.sha256('\n'.join(lines).encode('utf-8', 'surrogateescape')).hexdigest()


def _common_root(pairs: Sequence[Pair]) -> str:
    folders = {os.path.dirname(os.path.abspath(name)) for pair in pairs for name in pair if name is not None}
    return os.path.commonpath(sorted(folders))

"""Which files a `BatchGenerator` reads: pairs in directories, by a layout or a naming rule, or pairs in a list."""

import os
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

from data_generator.arguments import check_strings
from data_generator.errors import DataError
from data_generator.files.discovery import (
    NameRule,
    Pair,
    Paths,
    as_path_list,
    check_files_exist,
    check_pairs,
    find_pairs,
    read_pair_list,
)
from data_generator.files.layouts import Layout, variants_of
from helpers.aliases import PathLike
from helpers.flags import check_flags
from helpers.image_rules import ImageRules
from helpers.image_search import extensions_for
from helpers.user_warnings import warn_user


class FileArguments(NamedTuple):
    """The arguments of `BatchGenerator` that choose its files."""

    image_dirs: Optional[Paths]
    image_file_extension: Optional[Paths]
    ground_truth_dirs: Optional[Paths]
    image_name_split_separator: Optional[str]
    ground_truth_suffix: Optional[str]
    check_existence: bool
    root_dir: Optional[PathLike]
    layout: Optional[Union[str, Layout]]
    pairs: Optional[Union[PathLike, Sequence]]


class ChosenFiles(NamedTuple):
    """The files of a dataset. layout: the variant by which they were found; None without a layout."""

    image_dirs: List[str]
    label_dirs: List[str]
    pairs: List[Pair]
    layout: Optional[Layout]

    @property
    def labels(self) -> List[str]:
        """The label files, in the order of their images."""
        return [pair.label for pair in self.pairs if pair.label is not None]


def check_file_arguments(given: FileArguments, **others: Any) -> None:
    """Raises ValueError for arguments that are wrong or cannot be combined.

    others: further arguments, by name, that a layout replaces.
    """
    _check_source(given.image_dirs, given.pairs)
    names = {
        'image_name_split_separator': given.image_name_split_separator,
        'ground_truth_suffix': given.ground_truth_suffix,
    }
    # The default value cannot be distinguished from an argument that was left out.
    extension = None if given.image_file_extension == 'png' else given.image_file_extension
    if given.layout is not None:
        _check_not_beside_layout(**names, **others, image_file_extension=extension)
    check_flags(check_existence=given.check_existence)
    check_strings(**names)
    if given.pairs is not None:
        refuse_given(
            ' and pairs: a list of pairs names its files itself. Leave {0} out, or give image_dirs in place of pairs.',
            ground_truth_dirs=given.ground_truth_dirs,
            image_file_extension=extension,
            **names,
            check_existence=None if given.check_existence else given.check_existence,
        )


def _check_source(image_dirs: Optional[Paths], pairs: Optional[Union[PathLike, Sequence]]) -> None:
    if image_dirs is None and pairs is None:
        raise ValueError(
            'image_dirs and pairs are both None. Give the directories of the images, or a list of pairs; '
            'BatchGenerator.from_layout finds a dataset that is known by name.'
        )
    if image_dirs is not None and pairs is not None:
        raise ValueError(
            'image_dirs is {!r} and pairs is {!r}; one of the two has to be None. Give the directories of the images, '
            'or a list of pairs.'.format(image_dirs, pairs)
        )
    if image_dirs is not None and not as_path_list(image_dirs, 'image_dirs'):
        raise ValueError('image_dirs is empty; give the directories of the images.')


def _check_not_beside_layout(**others: Any) -> None:
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise ValueError(
            'layout says already what {} would. Leave {} out, or change the layout with layout._replace(...).'.format(
                ' and '.join(given), 'it' if len(given) == 1 else 'them'
            )
        )


def refuse_given(why: str, **arguments: Any) -> None:
    """Raises ValueError for the first argument that was given, that is not None. In `why`, {0} stands for its name."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError('{}={!r}'.format(name, value) + why.format(name))


def choose_files(given: FileArguments, image_rules: ImageRules) -> ChosenFiles:
    """Finds the files that checked arguments name. Raises as `BatchGenerator`."""
    variants = variants_of(given.layout) if given.layout is not None else ()
    image_dirs = as_path_list(given.image_dirs, 'image_dirs')
    if given.pairs is not None:
        pairs = given_pairs(given.pairs, None if given.root_dir is None else os.fspath(given.root_dir))
        return ChosenFiles(image_dirs, [], pairs, variants[0] if variants else None)
    label_dirs = as_path_list(given.ground_truth_dirs, 'ground_truth_dirs')
    if not label_dirs:
        _warn_of_labels(given.ground_truth_suffix, given.check_existence)
    if variants:
        variant, pairs = _by_layout(variants, image_dirs, label_dirs, given.check_existence)
        return ChosenFiles(image_dirs, label_dirs, pairs, variant)
    extensions = extensions_for(image_rules) if given.image_file_extension is None else given.image_file_extension
    rule = NameRule(given.image_name_split_separator, given.ground_truth_suffix)
    pairs = find_pairs(image_dirs, label_dirs, extensions, rule, given.check_existence)
    return ChosenFiles(image_dirs, label_dirs, pairs, None)


def _warn_of_labels(suffix: Optional[str], check_existence: bool) -> None:
    """Warns of arguments about labels if there are none. No error, since scripts of 2017 may pass them."""
    said = ['ground_truth_suffix'] * (suffix is not None) + ['check_existence'] * (not check_existence)
    for name in said:
        warn_user(
            '{} is about labels, and these images have none, so it changes nothing. Give their directories as '
            'ground_truth_dirs, or leave it out.'.format(name)
        )


def given_pairs(pairs: Union[PathLike, Sequence], root_dir: Optional[str]) -> List[Pair]:
    """Returns the pairs of a list or of a file with one. Raises as `BatchGenerator` does for `pairs`."""
    if isinstance(pairs, (str, os.PathLike)):
        return read_pair_list(os.fspath(pairs), root_dir)
    made = check_pairs(pairs, root_dir=root_dir)
    check_files_exist(made, root_dir)
    return made


def _by_layout(
    variants: Sequence[Layout], image_dirs: Sequence[str], label_dirs: Sequence[str], check_existence: bool
) -> Tuple[Layout, List[Pair]]:
    """The pairs in these directories, and the first variant of the layout by which they are found."""
    errors = []
    for variant in variants:
        try:
            return variant, find_pairs(
                image_dirs, label_dirs, variant.image_file_extension, variant.name_rule, check_existence
            )
        except DataError as error:
            errors.append(error)
    raise errors[0]

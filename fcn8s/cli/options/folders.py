"""The options that name folders of images and of their labels, which may be repeated."""

import argparse
import os
from typing import Any, Dict, List, Union

from fcn8s.cli.options.flags import flag
from helpers.counted import counted

#: A folder, or several.
Folders = Union[str, List[str]]

_PAIRS = (('images', 'labels'), ('val_images', 'val_labels'))


class AddFolder(argparse.Action):
    """Keeps one folder as text, and several, if the option is repeated, as a list."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Adds a folder to those that came before."""
        before = getattr(namespace, self.dest, None)
        setattr(namespace, self.dest, values if before is None else as_list(before) + [values])


class TakeDataset(argparse.Action):
    """Keeps the root directory of a dataset, and refuses a second one, which would silently replace the first."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Takes the directory, or ends the program with status 2."""
        before = getattr(namespace, self.dest, None)
        if before not in (None, self.default, values):
            parser.error(
                '{0} came twice, with {1} and {2}; it takes one dataset. Folders of several go together with '
                '--images and --labels, which may be repeated.'.format(option_string, before, values)
            )
        setattr(namespace, self.dest, values)


def add_folder_arguments(group: Any, owner: str, with_val: bool = True) -> None:
    """Adds the options. owner: the option that they replace, such as '--data'."""
    wanted = [
        ('--images', 'instead of {}: a directory of images; may be repeated, with --labels'.format(owner)),
        ('--labels', 'with --images: directory of labels, named like their images'),
    ]
    if with_val:
        wanted += [
            ('--val-images', 'with --images: images to evaluate on'),
            ('--val-labels', 'with --val-images: their labels'),
        ]
    for option, text in wanted:
        group.add_argument(option, action=AddFolder, metavar='DIR', help=text)
    group.add_argument(
        '--image-suffix', metavar='TEXT', help='with --images: what image names have behind the part that labels share'
    )
    group.add_argument(
        '--label-suffix',
        metavar='TEXT',
        help='with --images: what label names have behind it, such as _gt_labelIds; other files are passed over',
    )


def naming(options: Any) -> Dict[str, Any]:
    """Returns the keywords of `BatchGenerator` that say how label files are named."""
    return {'image_name_split_separator': options.image_suffix, 'ground_truth_suffix': options.label_suffix}


def as_list(folders: Folders) -> List[str]:
    """Returns one folder or several as a list."""
    return [folders] if isinstance(folders, str) else list(folders)


def as_absolute(folders: Folders) -> Folders:
    """Returns the absolute path of a folder, or those of several."""
    return os.path.abspath(folders) if isinstance(folders, str) else [os.path.abspath(folder) for folder in folders]


def as_text(folders: Folders) -> str:
    """Returns one folder or several for a message."""
    return ', '.join(as_list(folders))


def as_words(name: str, values: Union[str, List[str]]) -> List[str]:
    """Returns the words of a command that give one value or several. name: of the option, without dashes."""
    from data_generator.checking.folder_pairs import option_words

    return [word for value in as_list(values) for word in option_words(flag(name), value)]


def check_counts(given: Dict[str, Any]) -> None:
    """Raises ValueError where folders of images have no folder of labels, or the reverse."""
    for images, labels in _PAIRS:
        counts = [len(as_list(given[name])) if given.get(name) else 0 for name in (images, labels)]
        if all(counts) and counts[0] != counts[1]:
            raise ValueError(
                '{} came {} and {} {}; they go together, in their order. Repeat a folder that two share.'.format(
                    flag(images), counted(counts[0], 'time'), flag(labels), counted(counts[1], 'time')
                )
            )

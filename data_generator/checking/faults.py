"""The faults that a dataset can have, and which of them prevent training."""

from typing import NamedTuple


class Fault(NamedTuple):
    """A file and what is wrong with it: a key of `FAULT_KINDS`, and details if the kind does not say everything."""

    kind: str
    path: str
    detail: str = ''

    @property
    def is_error(self) -> bool:
        """Whether training refuses such a file."""
        return FAULT_KINDS[self.kind].is_error


class FaultKind(NamedTuple):
    """A kind of fault. `is_error`: whether training refuses such a file; other faults are only worth knowing. `remedy`
    is a sentence. `hides_classes`: whether the meaning of the labels is unknown until the fault is fixed.
    """

    is_error: bool
    description: str
    remedy: str
    hides_classes: bool = False


FAULT_KINDS = {
    'no_labels': FaultKind(
        True,
        'no labels found',
        'Put images and labels into directories called images and labels, name the layout with --layout, or the '
        'directories: --images DIR --labels DIR',
    ),
    'other_program': FaultKind(
        True,
        'annotations of a program whose files are not read',
        'Make labels of what it exports: fcn8s import SOURCE OUT',
    ),
    'other_folders': FaultKind(
        False,
        'folders that fit together, too, and look like pictures of the labels, instances or depth',
        'They are passed over; to take them, fcn8s check and one of these lines',
    ),
    'no_train_split': FaultKind(True, 'no images to train on', 'Add a train split'),
    'image_without_label': FaultKind(True, 'images without a label', 'Add the labels or take the images out'),
    'further_label': FaultKind(
        True,
        'files that are called like a label with a number behind, and may be further masks of its image',
        'Paint them into the label, without which their objects are background there, or take the images out with them',
    ),
    'thumbnail': FaultKind(True, 'thumbnails beside the images', 'Move them out of the directory of the images'),
    'file_per_class': FaultKind(
        True,
        'labels in several files an image, one for each class',
        'Make one label of them, pixels numbered by class: fcn8s import SOURCE OUT. If one of several directories has '
        'whole labels, name it: --images DIR --labels DIR',
        hides_classes=True,
    ),
    'label_without_image': FaultKind(False, 'labels without an image', 'They are passed over'),
    'further_mask': FaultKind(
        False,
        'labels without an image that are called like another label with a number behind',
        'They are passed over. If they are further masks of its image, paint them into it, in which their objects are '
        'background',
    ),
    'ambiguous_label': FaultKind(True, 'images with several labels', 'Keep one of them'),
    'listed_but_missing': FaultKind(
        True, 'images that the list of the split names and that are not there', 'Add them or shorten the list'
    ),
    'unreadable_list': FaultKind(
        True, 'lists of a split that cannot be read', 'Save them as text in UTF-8, one name a line'
    ),
    'unreadable_image': FaultKind(
        True,
        'images that cannot be read (truncated, damaged or no images)',
        'Replace them by whole copies or take them out',
    ),
    'grey_image': FaultKind(False, 'grey images', 'They become three equal channels'),
    'alpha_image': FaultKind(
        False, 'images with an alpha channel', 'They are laid over black; --transparency says otherwise'
    ),
    'cmyk_image': FaultKind(False, 'images in printing inks (CMYK)', 'They become RGB'),
    '16_bit_image': FaultKind(
        False, 'images of more than 8 bits a channel', 'Their whole range becomes 0 to 255; --window says otherwise'
    ),
    'bands_image': FaultKind(
        False, 'images of other bands than red, green and blue', '--bands names those that are taken'
    ),
    'animated_image': FaultKind(
        False,
        'images that move (GIF, PNG or WebP of several frames)',
        'Their first frame is taken; save further ones as images of their own',
    ),
    'unreadable_label': FaultKind(
        True, 'labels that cannot be read, or are no label maps', 'Replace them by PNG files of class IDs'
    ),
    'lossy_label': FaultKind(
        True,
        'labels in JPEG or the like, which changes their values',
        'Write them as PNG, or have them read by the nearest colour: --colors FILE --color-tolerance 40, or of masks '
        'in black and white --classes 2 --color-tolerance 127',
        hides_classes=True,
    ),
    'transparent_label': FaultKind(
        True,
        'labels with transparent pixels',
        'Say what these are: --label-transparency void if they do not count, or --label-transparency CLASS if they are '
        'a class such as the background',
        hides_classes=True,
    ),
    'like_cityscapes': FaultKind(
        False,
        'labels that look like those of Cityscapes, in its numbers or colours',
        'If they are, these options of fcn8s check and fcn8s train give its 19 classes with their names, and leave out '
        'what its evaluation leaves out',
    ),
    'color_label': FaultKind(
        True,
        'labels that hold colours',
        'Say what these are, a line NAME RED GREEN BLUE for each class: --colors FILE',
        hides_classes=True,
    ),
    'palette_differs': FaultKind(
        True,
        'labels whose colours and those of others contradict each other',
        'Say what the colours are: --colors FILE',
    ),
    'palette_order': FaultKind(
        False, 'labels whose palette has its colours in another order than others', 'They are read by colour'
    ),
    'ambiguous_values': FaultKind(True, 'labels that can be read in two ways', 'Say which it is', hides_classes=True),
    'one_class': FaultKind(
        True,
        'fewer than two classes',
        'Add labels with other classes, or say how many there are with --classes',
        hides_classes=True,
    ),
    'nothing_counts': FaultKind(
        True,
        'labels to train on of which no pixel counts, as where they are in the numbers of another dataset',
        'Say what they hold: --images DIR --labels DIR with an --id-map, or another --layout or --ignore-id',
    ),
    'unused_legend': FaultKind(
        False,
        'tables of classes that are not used',
        'Mend them, or name the classes with --class-names or --colors',
    ),
    'size_mismatch': FaultKind(
        True, 'labels of another size than their image', 'Bring both to one size, labels without interpolation'
    ),
    'turned_image': FaultKind(
        False,
        'images that their Exif orientation turns, with labels that may lie as the image is stored',
        'Labels are not turned, and their size does not tell: look at --preview FILE.png',
    ),
    'illegal_label': FaultKind(
        True, 'labels with values that are no class', 'Map them to class IDs, or to the ignored ID'
    ),
    'shifted_labels': FaultKind(
        False, 'labels that do not lie where their images are', 'Move them: borders of classes then fall on edges'
    ),
    'swapped_colors': FaultKind(
        False, 'images whose red and blue look swapped', 'OpenCV writes BGR: convert before imwrite, or write them anew'
    ),
    'mixed_case': FaultKind(
        False,
        'labels that differ from their image in upper and lower case, or in how accents are written',
        'They are taken, where it is clear which',
    ),
    'renamed_label': FaultKind(
        False,
        'labels whose names have other words than those of their images',
        'They are taken, as all names have them',
    ),
    'beside_images': FaultKind(
        False,
        'files beside photographs that are called like these with a word behind, and have no labels',
        'They are passed over',
    ),
    'unread_format': FaultKind(
        False,
        'files in formats of images that are not looked for',
        'They are passed over; save what is an image as PNG or JPEG, and what is a label as PNG',
    ),
    'system_file': FaultKind(False, 'files that systems leave beside data', 'They are passed over'),
    'further_split': FaultKind(
        False,
        'folders of images beside train and val',
        'They are passed over here and in training; fcn8s evaluate scores on one that has labels',
    ),
    'split_without_labels': FaultKind(
        False, 'parts of which no image has a label', 'They are passed over here and in training'
    ),
    'unused_list': FaultKind(
        False,
        'lists of the images of a part, in a layout that is not known by name',
        'They are not used: give each part folders of its own, or hold images out of training by name: --hold-out',
    ),
    'unusual_size': FaultKind(False, 'images of another size than most', 'Train with a random crop or a resize'),
    'only_void': FaultKind(False, 'labels in which no pixel counts', 'Nothing is learnt from them'),
    'single_class': FaultKind(
        False, 'splits whose labels hold a single class', 'Nothing is told apart there: a score on them says nothing'
    ),
    'in_train_and_val': FaultKind(
        False, 'val images that are in train too, pixel by pixel', 'Take them out of one: scores on them say nothing'
    ),
}

"""Small datasets as people have them, one for each situation and for each fault that `fcn8s check` knows.

`SITUATIONS` names them: name -> a function that makes the dataset below a root and returns a `Situation`. The pictures
are toy shapes, which a network learns in seconds.
"""

import os
import shutil
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
from PIL import Image

from data_generator import BatchGenerator
from helpers.cityscapes_labels import CITYSCAPES_LABELS
from helpers.label_spaces import CAMVID32, VOC

SIZE = (32, 48)
NUM_TRAIN, NUM_VAL = 6, 3
#: Background, box, disc: what they look like in images, and in labels that are colours.
SHADES = np.array([(70, 90, 80), (220, 60, 50), (50, 80, 230)])
COLORS = ((10, 10, 10), (200, 0, 30), (0, 60, 250))
NAMES = ('ground', 'box', 'disc')


class Situation(NamedTuple):
    """What `check` has to say: kinds of faults, whether training can start, and with which options it is asked.

    `classes` are what labels hold once they are read, in the order of the shapes 0, 1, 2; None where they are not
    compared. `words` have to be in the text.
    """

    kinds: Sequence[str] = ()
    is_sound: bool = True
    options: Sequence[str] = ()
    classes: Optional[Sequence[int]] = (0, 1, 2)
    words: Sequence[str] = ()

    def arguments(self, root: str) -> Sequence[str]:
        """The words behind `fcn8s check`: the root, unless folders are named, and the options."""
        return [*([] if '--images' in self.options else [root]), '--workers', '1', *self.options]


def shapes(seed: int, size: Optional[Tuple[int, int]] = None) -> Tuple[np.ndarray, np.ndarray]:
    """An image of a box and a disc on noisy ground, uint8 [H, W, 3], and its label with the classes 0, 1, 2."""
    rng = np.random.default_rng(seed)
    height, width = size = SIZE if size is None else size
    unit = height // 32
    label = np.zeros(size, np.uint8)
    top, left = rng.integers(1, height - 16 * unit), rng.integers(1, width // 2 - 15 * unit)
    label[top : top + 13 * unit, left : left + 13 * unit] = 1
    center = (
        int(rng.integers(width // 2 + 8 * unit, width - 8 * unit)),
        int(rng.integers(8 * unit, height - 8 * unit)),
    )
    cv2.circle(label, center, 7 * unit, 2, -1)
    noise = rng.integers(-15, 16, size + (3,))
    return (SHADES[label] + noise).clip(0, 255).astype(np.uint8), label


def write(path: str, array: np.ndarray) -> str:
    """Writes an array, RGB where it has three channels; the folder is made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def write_palette(path: str, indices: np.ndarray, colors: Sequence[Tuple[int, ...]]) -> str:
    image = Image.fromarray(np.asarray(indices, np.uint8), 'P')
    image.putpalette([channel for color in colors for channel in color])
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image.save(path)
    return path


Writer = Callable[[str, np.ndarray], Any]


def dataset(
    root: str,
    write_label: Writer = write,
    images: str = 'images/{}',
    labels: str = 'labels/{}',
    name: str = '{}.png',
    splits: Sequence[Tuple[str, int, int]] = (('train', 0, NUM_TRAIN), ('val', 50, NUM_VAL)),
    suffix: str = '',
) -> str:
    """Images and labels of toy shapes; `write_label` is given the path of a label and its classes.

    A label is called like its image, but for a `suffix` in place of what stands behind the number.
    """
    for split, seed, count in splits:
        for number in range(count):
            image, label = shapes(seed + number)
            write(os.path.join(root, images.format(split), name.format(number)), image)
            label_name = name[: name.index('}') + 1] + '_{}.png'.format(suffix) if suffix else name
            write_label(os.path.join(root, labels.format(split), label_name.format(number)), label)
    return root


def values(*table: Any, dtype: Any = np.uint8) -> Writer:
    """Writes labels with `table[class]` in place of the class: values, or colours."""
    return lambda path, label: write(path, np.asarray(table, dtype)[label])


def text(path: str, content: str, encoding: str = 'utf-8') -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding=encoding) as file:
        file.write(content)
    return path


def label_path(root: str, number: int = 0, split: str = 'train') -> str:
    return os.path.join(root, 'labels', split, '{}.png'.format(number))


def image_path(root: str, number: int = 0, split: str = 'train') -> str:
    return os.path.join(root, 'images', split, '{}.png'.format(number))


def legend(root: str, name: str = 'legend.txt') -> str:
    return text(os.path.join(root, name), ''.join('{} {} {} {}\n'.format(*(c + (n,))) for n, c in zip(NAMES, COLORS)))


# ---- Sound ----


def class_ids(root: str) -> Situation:
    dataset(root)
    return Situation()


def without_splits(root: str) -> Situation:
    dataset(root, images='img', labels='masks', splits=[('', 0, NUM_TRAIN)])
    return Situation()


def splits_first(root: str) -> Situation:
    dataset(root, images='{}/rgb', labels='{}/gt')
    return Situation()


def masks_0_255(root: str) -> Situation:
    dataset(root, values(0, 255, 255))
    return Situation(classes=(0, 1, 1), words=['0:0,255:1', '--id-map 0:0,255:1'])


def masks_of_one_bit(root: str) -> Situation:
    dataset(root, lambda path, label: Image.fromarray(label > 0).save(_made(path)))
    return Situation(classes=(0, 1, 1))


def _made(path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def masks_0_1_255_said(root: str) -> Situation:
    dataset(root, values(0, 1, 255))
    return Situation(options=['--ignore-id', '255'], classes=(0, 1, 255))


def masks_0_1_255_mapped(root: str) -> Situation:
    dataset(root, values(0, 1, 255))
    return Situation(options=['--id-map', '0:0,1:1,255:1'], classes=(0, 1, 1))


def void_is_255(root: str) -> Situation:
    dataset(root)
    label = shapes(0)[1]
    label[0] = 255
    write(label_path(root), label)
    return Situation(classes=None)


def gaps_mapped(root: str) -> Situation:
    dataset(root, values(3, 40, 9))
    return Situation(options=['--id-map', '3:0,40:1,9:2'])


def palettes(root: str) -> Situation:
    dataset(root, lambda path, label: write_palette(path, label, COLORS))
    return Situation()


def palettes_of_greys(root: str) -> Situation:
    """As zopfli or oxipng leave grey files of the values 0, 2 and 1."""
    dataset(root, lambda path, label: write_palette(path, label, [(0,) * 3, (2,) * 3, (1,) * 3]))
    return Situation(classes=(0, 2, 1))


def palettes_that_give_two_classes_a_colour(root: str) -> Situation:
    """As GTA5 has them: the car and the licence plate."""
    dataset(root, lambda path, label: write_palette(path, label, [COLORS[0], COLORS[1], COLORS[0]]))
    return Situation()


def palettes_beside_colors(root: str) -> Situation:
    """What an optimiser makes of colours, where it takes only the files that become smaller."""

    def some(path: str, label: np.ndarray) -> None:
        if path.endswith(('0.png', '4.png')):
            write_palette(path, 2 - label, COLORS[::-1])
        else:
            write(path, np.asarray(COLORS, np.uint8)[label])

    dataset(root, some)
    return Situation(options=['--colors', legend(root)])


def grey_beside_palettes(root: str) -> Situation:
    """Class 0, or black, which here is class 2?"""
    dataset(root, lambda path, label: write_palette(path, label, [*COLORS[1:], (0, 0, 0)]))
    write(label_path(root, 1), np.zeros_like(shapes(1)[1]))
    return Situation(['palette_differs'], False, words=['--colors', '--id-map'])


def palettes_in_another_order(root: str) -> Situation:
    dataset(root, lambda path, label: write_palette(path, label, COLORS))
    write_palette(label_path(root, 2), 2 - shapes(2)[1], COLORS[::-1])
    return Situation(['palette_order'])


def labels_like_cityscapes(root: str) -> Situation:
    """Road, building and car, below a row of sky."""

    def colored(path: str, label: np.ndarray) -> None:
        colors = np.array([(128, 64, 128), (70, 70, 70), (0, 0, 142)], np.uint8)[label]
        colors[0] = 70, 130, 180
        write(path, colors)

    dataset(root, colored)
    return Situation(['color_label', 'like_cityscapes'], False, words=['labels/train: --colors cityscapes'])


def layout_foggy_cityscapes(root: str) -> Situation:
    """Images in fog of two densities have one label; the thicker one is taken."""
    for fog in ('0.01', '0.02'):
        name = '{}_leftImg8bit_foggy_beta_' + fog + '.png'
        dataset(root, values(7, 11, 26), 'leftImg8bit_foggy/{}', 'gtFine/{}', name, suffix='gtFine_labelIds')
    words = ['Recognised: foggy_cityscapes', 'train: {} images'.format(NUM_TRAIN), '--layout foggy_cityscapes']
    return Situation(classes=(0, 2, 13), words=words)


def cityscapes_label_ids(root: str) -> Situation:
    dataset(root, values(7, 11, 3))
    options = ['--class-names', 'cityscapes', '--id-map', 'cityscapes']
    return Situation(options=options, classes=(0, 2, 255), words=['by --id-map cityscapes', 'vegetation'])


def cityscapes_train_ids(root: str) -> Situation:
    dataset(root, values(0, 18, 255))
    return Situation(options=['--class-names', 'cityscapes'], classes=(0, 18, 255), words=['bicycle'])


def cityscapes_colors(root: str) -> Situation:
    dataset(root, values((70, 70, 70), (111, 74, 0), (0, 0, 142)))
    return Situation(options=['--colors', 'cityscapes'], classes=(2, 255, 13), words=['--colors cityscapes'])


def cityscapes_label_ids_with_palettes(root: str) -> Situation:
    """As in GTA5: licence plates have the colour of cars."""
    colors = [one.color for one in CITYSCAPES_LABELS]
    dataset(root, lambda path, label: write_palette(path, np.asarray((26, 34, 18), np.uint8)[label], colors))
    options = ['--class-names', 'cityscapes', '--id-map', 'cityscapes']
    return Situation(options=options, classes=(13, 255, 255))


def colors_with_legend(root: str) -> Situation:
    dataset(root, values(*COLORS))
    return Situation(options=['--colors', legend(root)])


def colors_with_legend_beside(root: str) -> Situation:
    dataset(root, values(*COLORS))
    text(os.path.join(root, 'classes.json'), '{"ground": [10, 10, 10], "box": "#c8001e", "disc": [0, 60, 250]}')
    return Situation(words=['classes.json', 'box'])


def colors_with_alpha(root: str) -> Situation:
    dataset(root, values(*(color + (255,) for color in COLORS)))
    return Situation(options=['--colors', legend(root)])


def _with_transparent_ground(root: str) -> None:
    dataset(root, values((255, 255, 255, 0), *(color + (255,) for color in COLORS[1:])))


def colors_on_transparent_ground(root: str) -> Situation:
    _with_transparent_ground(root)
    options = ['--colors', legend(root), '--label-transparency', 'ground']
    return Situation(options=options, words=['--label-transparency ground'])


def colors_on_transparent_void(root: str) -> Situation:
    _with_transparent_ground(root)
    table = text(os.path.join(root, 'table.txt'), 'box 200 0 30\ndisc 0 60 250\nvoid 0 0 0')
    return Situation(options=['--colors', table, '--label-transparency', 'void'], classes=(255, 0, 1))


def imported_annotations(root: str) -> Situation:
    """As `fcn8s import` writes it: 255 is void, and classes.json says so."""
    dataset(root, values(0, 1, 255))
    content = '{"class_names": ["ground", "box"], "colors": [[0, 0, 0], [200, 0, 30]], "ignore_id": 255}'
    text(os.path.join(root, 'classes.json'), content)
    return Situation(classes=(0, 1, 255))


def smoothed_colors(root: str) -> Situation:
    def smooth(path: str, label: np.ndarray) -> None:
        write(path, cv2.GaussianBlur(np.asarray(COLORS, np.uint8)[label], (0, 0), 0.4))

    dataset(root, smooth)
    options = ['--colors', legend(root), '--color-tolerance', '120']
    return Situation(options=options, words=['got that of the nearest'], classes=None)


def jpeg_masks(root: str) -> Situation:
    def jpeg(path: str, label: np.ndarray) -> None:
        large = np.asarray(COLORS, np.uint8)[label]
        Image.fromarray(large).save(_made(path.replace('.png', '.jpg')), quality=95, subsampling=0)

    dataset(root, jpeg)
    return Situation(options=['--colors', legend(root), '--color-tolerance', '120'], classes=None)


def _smoothed_masks(root: str) -> None:
    def smooth(path: str, label: np.ndarray) -> None:
        write(path, cv2.GaussianBlur(np.where(label > 0, 255, 0).astype(np.uint8), (0, 0), 0.7))

    dataset(root, smooth)


def smoothed_masks_said(root: str) -> Situation:
    _smoothed_masks(root)
    options = ['--classes', '2', '--color-tolerance', '127']
    return Situation(
        options=options, classes=None, words=['got that of the nearest', '--classes 2 --color-tolerance 127']
    )


def jpeg_masks_in_black_and_white(root: str) -> Situation:
    def jpeg(path: str, label: np.ndarray) -> None:
        Image.fromarray(np.where(label > 0, 255, 0).astype(np.uint8)).save(
            _made(path.replace('.png', '.jpg')), quality=95
        )

    dataset(root, jpeg)
    return Situation(options=['--classes', '2', '--color-tolerance', '127'], classes=(0, 1, 1))


def labels_with_a_word_behind(root: str) -> Situation:
    dataset(root, suffix='mask')
    return Situation(['renamed_label'], words=['0_mask.png is the label of 0.png'])


def labels_with_another_word_before(root: str) -> Situation:
    dataset(root, name='image_{}.png')
    for split, count in (('train', NUM_TRAIN), ('val', NUM_VAL)):
        for number in range(count):
            folder = os.path.join(root, 'labels', split)
            os.rename(*(os.path.join(folder, '{}_{}.png'.format(word, number)) for word in ('image', 'label')))
    return Situation(['renamed_label'], words=['label_0.png is the label of image_0.png'])


def a_folder_val_among_images(root: str) -> Situation:
    dataset(root, splits=[('', 0, NUM_TRAIN), ('val', 50, NUM_VAL)])
    return Situation(classes=None, words=['all: 9 images'])


def labels_beside_their_images(root: str) -> Situation:
    dataset(root, images='{}', labels='{}', suffix='mask')
    return Situation(['renamed_label'])


def labels_beside_their_images_and_a_part_for_test(root: str) -> Situation:
    """As Roboflow exports masks. All in one folder would train on what the test is."""
    parts = [('train', 0, NUM_TRAIN), ('valid', 50, NUM_VAL), ('test', 80, 9)]
    dataset(root, images='{}', labels='{}', suffix='mask', splits=parts)
    for part, _, _ in parts:
        with open(os.path.join(root, part, '_classes.csv'), 'w') as file:
            file.write('Pixel Value, Class\n0, background\n1, car\n2, tree\n')
    words = ['train/_classes.csv)', 'val: ', '0  background', '2  tree', '--val-images', 'valid --val-labels']
    return Situation(['renamed_label', 'further_split'], words=words)


def labels_beside_their_images_of_two_words(root: str) -> Situation:
    """As DeepGlobe has them, with the table of colours that Kaggle adds."""
    dataset(root, values(*COLORS), images='{}', labels='{}', name='{}_sat.png', suffix='mask')
    table = ''.join('{},{},{},{}\n'.format(name, *color) for name, color in zip(NAMES, COLORS))
    text(os.path.join(root, 'class_dict.csv'), 'name,r,g,b\n' + table)
    return Situation(['renamed_label'], words=['train: ', 'val: ', '2  disc'])


def a_val_part_without_labels(root: str) -> Situation:
    """As DeepGlobe has it: labels of val are with those who score."""
    dataset(root, images='{}/images', labels='{}/masks')
    shutil.rmtree(os.path.join(root, 'val/masks'))
    return Situation(['split_without_labels'], words=['val/images'])


def folders_called_otherwise(root: str) -> Situation:
    """As KITTI has them, beside pictures of the labels and instances."""
    only_train = [('training', 0, NUM_TRAIN)]
    dataset(root, images='{}/image_2', labels='{}/semantic', splits=only_train)
    dataset(root, values(*COLORS), '{}/image_2', '{}/semantic_rgb', splits=only_train)
    dataset(root, values(0, 256, 513, dtype=np.uint16), '{}/image_2', '{}/instance', splits=only_train)
    dataset(root, images='{}/image_2', labels='{}/semantic', splits=[('testing', 80, 3)])
    words = ['--images', 'training/image_2', 'training/semantic_rgb', 'training/instance']
    return Situation(['other_folders', 'further_split'], words=words)


def pictures_made_of_the_images_beside_them(root: str) -> Situation:
    """As ISIC 2017 has them."""
    folders = ('ISIC_{}_Data', 'ISIC_{}_GroundTruth')
    dataset(root, images=folders[0], labels=folders[1], suffix='segmentation')
    for split, seed, count in (('train', 0, NUM_TRAIN), ('val', 50, NUM_VAL)):
        for number in range(count):
            place = os.path.join(root, folders[0].format(split), str(number))
            cv2.imwrite(place + '.jpg', shapes(seed + number)[0][..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
            os.rename(place + '.png', place + '_superpixels.png')
    words = ['0_superpixels.png', 'train: 6 images', 'val: 3 images']
    return Situation(['beside_images', 'renamed_label'], words=words)


def folders_that_lie_deep(root: str) -> Situation:
    """As BDD100K has them."""
    dataset(root, images='images/10k/{}', labels='labels/sem_seg/masks/{}')
    dataset(root, values(*COLORS), images='images/10k/{}', labels='labels/sem_seg/colormaps/{}')
    return Situation(['other_folders'], words=['train: ', 'val: '])


def labels_of_several_kinds(root: str) -> Situation:
    """As ACDC has them; which of them is said."""
    for suffix, table in (('gt_ids', (0, 1, 2)), ('gt_other', (2, 1, 0))):
        dataset(root, values(*table), 'rgb/{}', 'gt/{}', 'shot_{}_rgb.png', suffix=suffix)
    words = ['--images', root + '/rgb/train', '--labels', root + '/gt/train', '--image-suffix=_rgb']
    return Situation(options=[*words, '--label-suffix=_gt_other'], classes=(2, 1, 0))


def folders_that_name_their_split_twice(root: str) -> Situation:
    """As FloodNet has them."""
    dataset(root, images='{0}/{0}-org-img', labels='{0}/{0}-label-img', suffix='lab')
    return Situation(['renamed_label'], words=['train: ', 'val: '])


def folders_of_depth_and_infrared_beside_the_images(root: str) -> Situation:
    """As the Freiburg forest has them; its only labels are called by their colours."""
    for kind in ('rgb', 'nir_color', 'depth_color'):
        dataset(root, values(*COLORS), images='{}/' + kind, labels='{}/GT_color')
    return Situation(['color_label', 'other_folders'], False, words=['train/rgb, ', 'train/nir_color'])


def masks_for_machines_and_for_people(root: str) -> Situation:
    dataset(root, images='pictures', labels='masks_machine', splits=[('', 0, 3)])
    dataset(root, values(*COLORS), images='pictures', labels='masks_human', splits=[('', 0, 3)])
    return Situation(['other_folders'], words=['masks_machine'])


def folders_of_cities_in_unknown_folders(root: str) -> Situation:
    """Half of the images lie in one city, half in another."""
    for city, start in (('ulm', 0), ('jena', 4)):
        parts = [('train', start, 4), ('val', 50 + start, 4)]
        names = 'picture data/{}/' + city, 'truth {{}}/{}/' + city, city + '_{}.png'
        dataset(root, write, *names, splits=parts)
    return Situation(words=['train: 8 images', 'val: 8 images'], classes=None)


def splits_with_a_year(root: str) -> Situation:
    dataset(root, images='images/{}2017', labels='annotations/{}2017')
    return Situation(words=['train: ', 'val: '])


def images_and_labels_of_unknown_words(root: str) -> Situation:
    """As tools of the OpenMMLab lay them out, in a folder of an archive. Those for tests are many."""
    parts = [('train', 0, NUM_TRAIN), ('val', 50, NUM_VAL), ('test', 80, 20)]
    dataset(os.path.join(root, 'archive (1)'), images='img_dir/{}', labels='ann_dir/{}', splits=parts)
    return Situation(['further_split'], words=['train: 6 images', 'val: 3 images'])


def a_named_layout_in_a_folder_of_an_archive(root: str) -> Situation:
    layout_voc(os.path.join(root, 'VOC2012'))
    return Situation(words=['VOC2012 --layout voc'], classes=None)


def folders_of_voc_with_other_classes(root: str) -> Situation:
    """As CVAT exports masks of parts that it calls Train and Validation: its label map tells the colours."""
    places = ('JPEGImages', 'SegmentationClass')
    dataset(root, values(*COLORS), *places, splits=[('', 0, 9)])
    table = ''.join('{}:{},{},{}::\n'.format(name, *color) for name, color in zip(NAMES, COLORS))
    text(os.path.join(root, 'labelmap.txt'), '# label:color_rgb:parts:actions\n' + table)
    for split, names in (('Train', '0\n1\n2\n3\n4\n5'), ('Validation', '6\n7\n8')):
        text(os.path.join(root, 'ImageSets/Segmentation', split + '.txt'), names)
    return Situation(['unused_list'], words=['all: 9 images', '--colors', 'Validation.txt'])


def folders_of_camvid_with_other_classes(root: str) -> Situation:
    """As CVAT and Datumaro write colours and their table into the folders of CamVid."""
    dataset(root, values(*COLORS), '{}', '{}annot')
    rows = ['{} {} {} {}'.format(*color, name) for name, color in zip(NAMES, COLORS)]
    text(os.path.join(root, 'label_colors.txt'), '\n'.join(rows))
    return Situation(words=['train: 6 images', 'val: 3 images', '--colors'])


def folders_of_cityscapes_with_other_classes(root: str) -> Situation:
    """As CVAT and Datumaro write them: the numbers are the lines of the table, and not those of Cityscapes."""
    places = ('leftImg8bit/{}/ulm', 'gtFine/{}/ulm', 'ulm_{}_leftImg8bit.png')
    dataset(root, values(7, 8, 11), *places, suffix='gtFine_labelIds')
    names = [*('fog', 'hail', 'ice', 'mist', 'mud', 'rain', 'sand', 'ground', 'box', 'sleet', 'slush', 'disc')]
    rows = ['{} {} {} {}'.format(number, 9, 9, name) for number, name in enumerate(names)]
    text(os.path.join(root, 'label_colors.txt'), '\n'.join(rows))
    return Situation(['renamed_label'], classes=(7, 8, 11), words=['label_colors.txt'])


def what_the_converter_of_labelme_writes(root: str) -> Situation:
    """Labels in NumPy files, in which -1 does not count, and as PNGs beside these."""

    def write_both(path: str, label: np.ndarray) -> None:
        label = label.astype(np.int32)
        label[0] = -1
        np.save(_made(path).replace('.png', '.npy'), label)
        write(path.replace('SegmentationClass', 'SegmentationClassPNG'), label.astype(np.uint8))

    dataset(root, write_both, 'JPEGImages', 'SegmentationClass', splits=[('', 0, NUM_TRAIN)])
    text(os.path.join(root, 'class_names.txt'), '_background_\nbox\ndisc\n')
    return Situation(classes=None, words=['class_names.txt', '2  disc', 'void: 3.1%'])


def layout_voc_with_more_labels(root: str) -> Situation:
    """The labels of SBD lie beside those of VOC, as does their list."""
    layout_voc(root)
    shutil.copytree(os.path.join(root, 'SegmentationClass'), os.path.join(root, 'SegmentationClassAug'))
    os.remove(os.path.join(root, 'SegmentationClass', '5.png'))
    text(os.path.join(root, 'ImageSets/Segmentation/train.txt'), '0\n1\n2')
    text(os.path.join(root, 'ImageSets/Segmentation/val.txt'), '6\n7\n8')
    text(os.path.join(root, 'ImageSets/Segmentation/train_aug.txt'), '0\n1\n2\n3\n4\n5')
    return Situation(words=['--layout voc_aug', 'train: 6 images', 'val: 3 images'], classes=None)


def folders_of_scenes_with_the_same_names(root: str) -> Situation:
    """A label is that of the image at its place."""
    for number, scene in enumerate('abc'):
        dataset(root, write, 'shots/' + scene, 'truth/' + scene, splits=[('', 3 * number, 3)])
    return Situation(words=['all: 9 images', 'truth --classes'])


def labelled_tests_beside_train_and_val(root: str) -> Situation:
    dataset(
        root, images='d/pics/{}', labels='d/classmap/{}', splits=[('train', 0, 6), ('val', 50, 3), ('test', 80, 30)]
    )
    return Situation(['further_split'], words=['train: 6 images', 'val: 3 images'])


def a_damaged_label_in_a_folder_of_its_own(root: str) -> Situation:
    dataset(root, images='x/pics', labels='x/maps', splits=[('', 0, 9)])
    with open(os.path.join(root, 'x/maps/0.png'), 'r+b') as file:
        file.truncate(60)
    return Situation(['unreadable_label'], False, words=['x/maps/0.png', 'all: 9 images'])


def images_for_tests_alone(root: str) -> Situation:
    dataset(root, images='data/test', labels='data/test', splits=[('', 0, 3)])
    return Situation(['no_labels', 'grey_image'], False)


def labels_beside_images_in_jpeg(root: str) -> Situation:
    dataset(root, images='{}', labels='{}', suffix='mask')
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith('_mask.png'):
                os.replace(path, path.replace('_mask', ''))  # where the image was
            else:
                Image.open(path).save(path.replace('.png', '.jpg'), quality=95, subsampling=0)
    return Situation()


def folders_in_capitals(root: str) -> Situation:
    dataset(root, images='Images/{}', labels='MASKS/{}')
    return Situation()


def folders_of_splits(root: str) -> Situation:
    dataset(root, images='{}_images', labels='{}_masks')
    return Situation()


def a_split_called_valid_and_one_for_test(root: str) -> Situation:
    dataset(root, splits=[('train', 0, NUM_TRAIN), ('valid', 50, NUM_VAL), ('test', 80, NUM_VAL)])
    return Situation(['further_split'], words=['images/valid', 'images/test'])


def grey_in_three_channels(root: str) -> Situation:
    dataset(root, values(*((v,) * 3 for v in range(3))))
    return Situation()


def labels_of_16_bits(root: str) -> Situation:
    dataset(root, values(0, 1, 2, dtype=np.uint16))
    return Situation()


def labels_of_32_bits(root: str) -> Situation:
    dataset(root, lambda p, label: Image.fromarray(label.astype(np.int32)).save(_made(p.replace('.png', '.tif'))))
    return Situation()


def labels_of_whole_floats(root: str) -> Situation:
    dataset(root, lambda p, label: Image.fromarray(label.astype(np.float32)).save(_made(p.replace('.png', '.tif'))))
    return Situation()


def labels_in_numpy_files(root: str) -> Situation:
    dataset(root, lambda path, label: np.save(_made(path).replace('.png', '.npy'), label.astype(np.int64)))
    return Situation()


def names_in_text(root: str) -> Situation:
    dataset(root)
    text(os.path.join(root, 'classes.txt'), '\n'.join(NAMES))
    return Situation(words=['classes.txt', 'disc'])


def names_in_label_map(root: str) -> Situation:
    dataset(root)
    text(os.path.join(root, 'label_map.pbtxt'), 'item { id: 1 name: "box" }\nitem { id: 2 name: "disc" }\n')
    return Situation(words=['label_map.pbtxt', 'background', 'box'])


def names_typed(root: str) -> Situation:
    dataset(root)
    return Situation(options=['--class-names', 'ground,box,disc'], words=['--class-names ground,box,disc'])


def names_in_a_damaged_file(root: str) -> Situation:
    dataset(root)
    text(os.path.join(root, 'classes.json'), '[' * 10000 + ']' * 10000)
    return Situation(['unused_legend'], words=['classes.json is no table of classes'])


def names_in_mixed_case(root: str) -> Situation:
    dataset(root)
    for number in range(NUM_TRAIN):
        os.rename(image_path(root, number), os.path.join(root, 'images/train/IMG_{}.PNG'.format(number)))
        os.rename(label_path(root, number), os.path.join(root, 'labels/train/img_{}.png'.format(number)))
    return Situation(['mixed_case'])


def files_of_systems(root: str) -> Situation:
    dataset(root)
    for name in ('images/train/.DS_Store', 'images/train/Thumbs.db', 'images/__MACOSX/train/._0.png'):
        text(os.path.join(root, name), 'no image')
    write(os.path.join(root, 'images/train/@eaDir/0.png/SYNOPHOTO_THUMB_M.png'), shapes(0)[0])
    return Situation(['system_file'])


def links_to_images(root: str) -> Situation:
    dataset(root)
    os.makedirs(os.path.join(root, 'pool'))
    for number in range(NUM_TRAIN):
        target = os.path.join(root, 'pool', '{}.png'.format(number))
        shutil.move(image_path(root, number), target)
        os.symlink(target, image_path(root, number))
    return Situation()


def images_of_many_sizes(root: str) -> Situation:
    dataset(root)
    for number in range(3):
        image, label = shapes(number, (SIZE[0] + 4 + number, SIZE[1] + 4))
        write(image_path(root, number), image)
        write(label_path(root, number), label)
    return Situation(words=['--crop 32 48'], classes=None)


def a_small_image_among_many(root: str) -> Situation:
    dataset(root, splits=[('train', 0, 10), ('val', 50, NUM_VAL)])
    image, label = shapes(3, (SIZE[0] // 2, SIZE[1] // 2))
    write(image_path(root, 3), image)
    write(label_path(root, 3), label)
    return Situation(['unusual_size'], words=['--crop {} {}'.format(*SIZE)], classes=None)


def photographs_in_a_format_that_is_not_looked_for(root: str) -> Situation:
    dataset(root)
    text(os.path.join(root, 'images/train/IMG_1.HEIC'), '?')
    return Situation(['unread_format'], words=['IMG_1.HEIC'])


def images_in_grey(root: str) -> Situation:
    dataset(root)
    write(image_path(root), shapes(0)[0][..., 0])
    return Situation(['grey_image'])


def images_that_move(root: str) -> Situation:
    dataset(root)
    first, second = (Image.fromarray(shapes(seed)[0]) for seed in (0, 1))
    first.save(image_path(root), save_all=True, append_images=[second])
    return Situation(['animated_image'], words=['Their first frame is taken'])


def a_label_that_moves(root: str) -> Situation:
    dataset(root)
    first, second = (Image.fromarray(shapes(seed)[1]) for seed in (0, 1))
    first.save(label_path(root), save_all=True, append_images=[second])
    return Situation(['unreadable_label'], False, words=['holds several frames'])


def stacks_of_which_bands_are_chosen(root: str) -> Situation:
    """NumPy files of five bands: green, nothing, red, nothing, blue."""

    def stack(path: str, label: np.ndarray) -> None:
        place = path.replace('labels', 'images')
        image = np.asarray(Image.open(place))
        os.remove(place)
        bands = np.zeros(image.shape[:2] + (5,), np.uint8)
        bands[..., [2, 0, 4]] = image
        np.save(place.replace('.png', '.npy'), bands)
        write(path, label)

    dataset(root, stack)
    return Situation(options=['--bands', '3', '1', '5'], words=['--bands 3 1 5'])


def layout_camvid(root: str) -> Situation:
    dataset(root, images='{}', labels='{}annot')
    return Situation(words=['--layout camvid'])


def folders_of_ade20k_with_other_images(root: str) -> Situation:
    """Their names are not those of ADE20K, in which 0 is no class and others count from 1."""
    splits = [('training', 0, NUM_TRAIN), ('validation', 50, NUM_VAL)]
    dataset(root, labels='annotations/{}', splits=splits)
    return Situation(words=['--classes 3'])


def layout_voc(root: str) -> Situation:
    colors = [VOC.colors[index] for index in range(3)]
    places = ('JPEGImages', 'SegmentationClass')
    dataset(root, lambda path, label: write_palette(path, label, colors), *places, splits=[('', 0, 9)])
    for split, names in (('train', '0\n1\n2\n3\n4\n5'), ('val', '6\n7\n8')):
        text(os.path.join(root, 'ImageSets/Segmentation', split + '.txt'), names, 'utf-16')
    return Situation(words=['--layout voc'], classes=None)


def layout_cityscapes(root: str) -> Situation:
    """Road, sky and car, as the files of `labelIds` number them."""
    dataset(
        root,
        values(7, 23, 26),
        'leftImg8bit/{}/ulm',
        'gtFine/{}/ulm',
        'ulm_{}_leftImg8bit.png',
        suffix='gtFine_labelIds',
    )
    return Situation(words=['--layout cityscapes'], classes=None)


def layout_camvid32(root: str) -> Situation:
    colors = [CAMVID32.colors[index] for index in range(3)]
    dataset(root, values(*colors), '{}', '{}_labels', suffix='L')
    return Situation(words=['--layout camvid32'])


def layout_kitti_road(root: str) -> Situation:
    """Published without a split: a sixth of the images validates."""
    dataset(
        root,
        values((255, 0, 0), (255, 0, 255), (0, 0, 0)),
        'training/image_2',
        'training/gt_image_2',
        'um_{:06d}.png',
        [('', 0, NUM_TRAIN)],
    )
    folder = os.path.join(root, 'training/gt_image_2')
    for name in os.listdir(folder):
        os.rename(os.path.join(folder, name), os.path.join(folder, name.replace('um_', 'um_road_')))
    return Situation(words=['--layout kitti_road'], classes=None)


def written_by_process_all(root: str) -> Situation:
    """One split of ADE20K processed, the raw other one copied beside it: each is read as what it is."""
    places = ('images/{}', 'annotations/{}', 'ADE_{}.png')
    raw = dataset(root + '_raw', values(1, 2, 3), *places, splits=[('training', 0, NUM_TRAIN), ('validation', 50, 3)])
    data = BatchGenerator.from_layout('ade20k', raw, 'train', export_dir=root)
    data.process_all(show_progress=False)
    for folder in ('images', 'annotations'):
        shutil.copytree(os.path.join(raw, folder, 'validation'), os.path.join(root, folder, 'validation'))
    return Situation(words=['--layout ade20k'])


# ---- With faults ----


def masks_0_1_255(root: str) -> Situation:
    dataset(root, values(0, 1, 255))
    return Situation(['ambiguous_values'], False, words=['--id-map 0:0,1:1,255:1', '--ignore-id 255'])


def masks_0_128_255(root: str) -> Situation:
    dataset(root, values(0, 128, 255))
    return Situation(['ambiguous_values'], False, words=['--id-map 0:0,128:1,255:2', '--id-map 0:0,128:1,255:255'])


def values_beyond_8_bits(root: str) -> Situation:
    dataset(root, values(0, 300, 60000, dtype=np.uint16))
    return Situation(['ambiguous_values'], False, words=['--id-map 0:0,300:1,60000:2'])


def black_and_white_of_16_bits(root: str) -> Situation:
    dataset(root, values(0, 65535, 65535, dtype=np.uint16))
    return Situation(classes=(0, 1, 1), words=['0:0,65535:1', '--id-map 0:0,65535:1'])


def a_single_class(root: str) -> Situation:
    dataset(root, values(0, 0, 0))
    return Situation(['one_class'], False)


def numbers_of_another_dataset(root: str) -> Situation:
    """Void of Cityscapes, in its folders."""
    places = ('leftImg8bit/{}/ulm', 'gtFine/{}/ulm', 'ulm_{}_leftImg8bit.png')
    dataset(root, values(0, 1, 2), *places, suffix='gtFine_labelIds')
    return Situation(['nothing_counts', 'only_void'], False, classes=None)


def a_split_of_a_single_class(root: str) -> Situation:
    dataset(root)
    for number in range(NUM_VAL):
        write(label_path(root, number, 'val'), np.zeros(SIZE, np.uint8))
    return Situation(['single_class'], classes=None)


def colors_without_legend(root: str) -> Situation:
    dataset(root, values(*COLORS))
    return Situation(['color_label'], False, words=['--colors FILE', '(10, 10, 10)'])


def colors_on_transparent_what(root: str) -> Situation:
    _with_transparent_ground(root)
    return Situation(
        ['transparent_label'],
        False,
        ['--colors', legend(root)],
        words=['79.3% of the pixels', '--label-transparency void'],
    )


def smoothed_masks(root: str) -> Situation:
    _smoothed_masks(root)
    return Situation(['ambiguous_values'], False, words=['--classes 2 --color-tolerance 127'])


def smoothed_colors_without_tolerance(root: str) -> Situation:
    return smoothed_colors(root)._replace(
        kinds=['illegal_label'], is_sound=False, options=['--colors', legend(root)], words=['--color-tolerance']
    )


def colors_with_red_and_blue_swapped(root: str) -> Situation:
    dataset(root, values(*(color[::-1] for color in COLORS)))
    return Situation(['illegal_label'], False, ['--colors', legend(root)], words=['red and blue swapped'])


def jpeg_masks_without_tolerance(root: str) -> Situation:
    jpeg_masks(root)
    return Situation(['lossy_label'], False, words=['--color-tolerance'])


def palettes_that_contradict(root: str) -> Situation:
    dataset(root, lambda path, label: write_palette(path, label, COLORS))
    write_palette(label_path(root, 1), shapes(1)[1], [COLORS[0], (9, 99, 199), COLORS[2]])
    return Situation(['palette_differs'], False)


def a_damaged_palette(root: str) -> Situation:
    palettes(root)
    with open(label_path(root), 'r+b') as file:
        data = file.read()
        file.seek(data.index(b'PLTE') + 6)
        file.write(b'\x77')
    return Situation(['unreadable_label'], False, words=['checksum of its part PLTE'])


def images_in_train_and_val(root: str) -> Situation:
    dataset(root)
    shutil.copy(image_path(root, 1), image_path(root, 0, 'val'))
    shutil.copy(label_path(root, 1), label_path(root, 0, 'val'))
    return Situation(['in_train_and_val'], classes=None)


def labels_that_are_shifted(root: str) -> Situation:
    dataset(root, lambda path, label: write(path, np.roll(label, (0, 5), (0, 1))))
    return Situation(['shifted_labels'], words=['5 left'], classes=None)


def an_image_with_red_and_blue_swapped(root: str) -> Situation:
    dataset(root)
    write(image_path(root, 1), shapes(1)[0][..., ::-1])
    return Situation(['swapped_colors'])


def thumbnails_beside_images(root: str) -> Situation:
    dataset(root)
    write(os.path.join(root, 'images/train/thumbs/0_small.png'), shapes(0)[0][::4, ::4])
    return Situation(['thumbnail'], False)


def labels_of_another_size(root: str) -> Situation:
    dataset(root)
    write(label_path(root, 1), shapes(1)[1][:-2])
    return Situation(['size_mismatch'], False)


def empty_files(root: str) -> Situation:
    dataset(root)
    for path in (image_path(root, 0), label_path(root, 1)):
        open(path, 'wb').close()
    return Situation(['unreadable_image', 'unreadable_label'], False)


def truncated_files(root: str) -> Situation:
    dataset(root)
    for path in (image_path(root, 0), label_path(root, 1)):
        with open(path, 'r+b') as file:
            file.truncate(os.path.getsize(path) - 20)
    return Situation(['unreadable_image', 'unreadable_label'], False)


def links_that_lead_nowhere(root: str) -> Situation:
    dataset(root)
    os.remove(image_path(root))
    os.symlink(os.path.join(root, 'gone.png'), image_path(root))
    return Situation(['unreadable_image'], False)


def a_list_that_names_absent_files(root: str) -> Situation:
    layout_voc(root)
    text(os.path.join(root, 'ImageSets/Segmentation/train.txt'), '0\n1\nabsent\n')
    return Situation(['listed_but_missing'], False)


def a_list_in_no_encoding(root: str) -> Situation:
    layout_voc(root)
    with open(os.path.join(root, 'ImageSets/Segmentation/train.txt'), 'wb') as file:
        file.write(b'0\n\xff\xfa\n')
    return Situation(['unreadable_list', 'no_train_split'], False, words=['not in UTF-8'])


def images_without_a_label(root: str) -> Situation:
    dataset(root)
    os.remove(label_path(root, 2))
    return Situation(['image_without_label'], False)


def a_second_mask_of_an_image(root: str) -> Situation:
    """As 17 images of BUSI have one."""
    dataset(root, labels='images/{}', suffix='mask')
    shutil.copy(image_path(root, '3_mask'), image_path(root, '3_mask_1'))
    return Situation(['further_label', 'renamed_label', 'grey_image'], False, words=['3_mask_1.png'])


def a_second_mask_of_an_image_in_a_folder_of_masks(root: str) -> Situation:
    dataset(root, suffix='mask')
    shutil.copy(label_path(root, '3_mask'), label_path(root, '3_mask_1'))
    folders = ['--images', os.path.join(root, 'images/train'), '--labels', os.path.join(root, 'labels/train')]
    return Situation(['further_mask'], options=[*folders, '--label-suffix=_mask'], words=['3_mask_1.png'])


def labels_without_an_image(root: str) -> Situation:
    dataset(root)
    os.remove(image_path(root, 2))
    return Situation(['label_without_image'], classes=None)


def two_labels_for_an_image(root: str) -> Situation:
    dataset(root)
    Image.fromarray(shapes(0)[1]).save(label_path(root).replace('.png', '.tif'))
    return Situation(['ambiguous_label'], False)


def a_file_for_each_class(root: str) -> Situation:
    def masks(path: str, label: np.ndarray) -> None:
        folder, name = os.path.split(path)
        for class_id, class_name in enumerate(NAMES):
            write(os.path.join(folder, class_name, name), np.where(label == class_id, 255, 0).astype(np.uint8))

    dataset(root, masks)
    return Situation(['file_per_class'], False, words=['fcn8s import'])


def values_beyond_the_classes(root: str) -> Situation:
    dataset(root)
    return Situation(['illegal_label'], False, ['--num-classes', '2'])


def images_alone(root: str) -> Situation:
    dataset(root, labels='elsewhere/{}', images='pictures/{}')
    shutil.rmtree(os.path.join(root, 'elsewhere'))
    return Situation(['no_labels'], False)


def annotations_that_a_program_has_to_export(root: str) -> Situation:
    """As SuperAnnotate keeps them."""
    images_alone(root)
    text(os.path.join(root, '0.png.json'), '{"metadata": {"name": "0.png"}, "instances": []}')
    return Situation(['no_labels', 'other_program'], False, words=['of SuperAnnotate; export its annotations as COCO'])


def val_alone(root: str) -> Situation:
    dataset(root, splits=[('val', 0, 3)])
    return Situation(['no_train_split'], False)


SITUATIONS: Dict[str, Callable[[str], Situation]] = {
    name: made
    for name, made in list(globals().items())
    if callable(made) and getattr(made, '__annotations__', {}).get('return') is Situation
}

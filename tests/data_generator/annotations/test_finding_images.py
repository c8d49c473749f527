"""Which file is the image of annotations, when masks and other pictures have its name."""

import base64

import numpy as np
import pytest

from data_generator.annotations.folder import Folder
from helpers.images import read_image
from tests.data_generator.annotations import tools
from tests.data_generator.annotations.test_import_doubts import imported_from, write_yolo


def folder_of(root, *names):
    """A folder with empty files of these names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return Folder(str(root))


def place_of(path, root):
    return None if path is None else path[len(str(root)) + 1 :].replace('\\', '/')


@pytest.mark.parametrize(
    'files, stem, beside, expected',
    [
        (['images/a.jpg', 'masks/a.png'], 'images/a', '', 'images/a.jpg'),
        (['images/a.jpg', 'depth/a.png'], 'images/a', '', 'images/a.jpg'),
        (['images/a.JPG', 'depth/a.png'], 'images/a', '', 'images/a.JPG'),
        (['images/a.jpg', 'images/a.png'], 'images/a', '', 'images/a.jpg'),
        (['JPEGImages/a.jpg', 'SegmentationClass/a.png'], 'a', 'JPEGImages', 'JPEGImages/a.jpg'),
        (['photos/a.jpg', 'SegmentationClass/a.png'], 'a', 'JPEGImages', 'photos/a.jpg'),
        (['photos/a.jpg', 'labels/train/a.png'], 'a', '', 'photos/a.jpg'),
        (['photos/a.jpg', 'depth/a.png'], 'a', '', None),
        (['photos/a.jpg', 'depth/a.png'], 'old/photos/a', '', 'photos/a.jpg'),
        (['masks/a.png'], 'a', '', None),
        (['labels/a.png'], 'labels/a', '', 'labels/a.png'),
        (
            ['segmentation/photos/a.jpg', 'segmentation/masks/a.png'],
            'a',
            'segmentation/json',
            'segmentation/photos/a.jpg',
        ),
        (['segmentation/images/a.jpg', 'segmentation/masks/a.png'], 'a', '', 'segmentation/images/a.jpg'),
        (['a.b.jpg', 'a.jpg'], 'x/a', '', 'a.jpg'),
        (['mask/train/0001.jpg'], '0001', '', 'mask/train/0001.jpg'),  # labels are never lossy
        (['data/a.png', 'data/a.jpg'], 'a', '', 'data/a.jpg'),
    ],
)
def test_without_extension_the_exact_place_counts_first_and_masks_never_by_name(
    tmp_path, files, stem, beside, expected
):
    found = folder_of(tmp_path, *files).find_stem(stem, beside=str(tmp_path / beside) if beside else '')
    assert place_of(found, tmp_path) == expected


@pytest.mark.parametrize(
    'files, named, expected',
    [
        (['masks/a.png'], 'a.png', None),
        (['masks/a.png'], 'masks/a.png', 'masks/a.png'),
        (['masks/a.png', 'photos/a.png'], 'a.png', 'photos/a.png'),
        (['photos/A.PNG', 'photos/a.jpg'], 'x/a.png', 'photos/A.PNG'),
    ],
)
def test_a_mask_is_only_the_image_of_annotations_that_name_its_place(tmp_path, files, named, expected):
    assert place_of(folder_of(tmp_path, *files).find_image(named), tmp_path) == expected


def test_labels_of_yolo_take_the_photograph_and_not_its_mask(tmp_path):
    source = tmp_path / 'source'
    write_yolo(source, ['images/train/a.jpg', 'masks/train/a.png'], ['labels/train/a.txt'])
    imported_from(source, tmp_path / 'out', val_share=0, copy_images=True)
    assert (tmp_path / 'out' / 'images' / 'train' / 'a.jpg').is_file()


@pytest.mark.parametrize('at_its_place', [False, True])
def test_an_embedded_image_is_its_own_unless_a_file_is_at_its_place(tmp_path, at_its_place):
    source, out = tmp_path / 'source', tmp_path / 'out'
    embedded = tools.write_image(tmp_path / 'embedded.png', seed=1)
    other = tools.write_image(source / ('s1' if at_its_place else 'other') / '0001.png', seed=2)
    content = dict(tools.labelme_content('0001.png'), imageData=base64.b64encode(embedded.read_bytes()).decode())
    tools.write_json(source / 's1' / '0001.json', content)
    imported_from(source, out, val_share=0)
    taken = read_image(str(out / 'images' / 'train' / '0001.png'))
    np.testing.assert_array_equal(taken, read_image(str(other if at_its_place else embedded)))

"""A folder with what readers of the documentation have: datasets under their names, encoders, and a trained run."""

import json
import os
import re
import shutil
from contextlib import contextmanager

import foreign_networks
import numpy as np

from fcn8s.cli import COMMANDS
from helpers.files import atomic_write_json
from helpers.images import write_image, write_labels


def make_camvid(directory):
    """Four pairs a split, in the layout of SegNet."""
    rng = np.random.RandomState(0)
    for split in ('train', 'val', 'test'):
        for number in range(4):
            labels = rng.randint(0, 12, [3, 4]).repeat(24, axis=0).repeat(24, axis=1).astype(np.uint8)
            name = '{:04d}.png'.format(number)
            write_image(
                os.path.join(directory, split, name),
                (labels[..., None] * 20 + rng.randint(0, 9, labels.shape + (3,))).astype(np.uint8),
            )
            write_labels(os.path.join(directory, split + 'annot', name), labels)


def make_kitti_road(directory):
    """Three pairs as the road benchmark names them: red is no road, magenta is road, black does not count."""
    rng = np.random.RandomState(1)
    colors = np.array([[255, 0, 0], [255, 0, 255], [0, 0, 0]], np.uint8)
    for number in range(3):
        labels = rng.randint(0, 3, [4, 12]).repeat(16, axis=0).repeat(16, axis=1)
        write_image(
            os.path.join(directory, 'training', 'image_2', 'um_{:06d}.png'.format(number)),
            rng.randint(0, 256, labels.shape + (3,)).astype(np.uint8),
        )
        write_image(
            os.path.join(directory, 'training', 'gt_image_2', 'um_road_{:06d}.png'.format(number)), colors[labels]
        )


def make_own_data(directory, seed):
    """Images with labels of three classes, called alike, and one more image."""
    rng = np.random.RandomState(seed)
    for number in range(4):
        labels = rng.randint(0, 3, [3, 4]).repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)
        name = '{}.png'.format(number)
        write_image(os.path.join(directory, 'images', name), (labels[..., None] * 90).repeat(3, axis=-1))
        write_labels(os.path.join(directory, 'labels', name), labels)
    write_image(os.path.join(directory, 'photo.jpg'), rng.randint(0, 256, [64, 96, 3]).astype(np.uint8))


def make_annotations(directory):
    """Four photographs with two boxes each, as labelme writes them."""
    for number in range(4):
        image = np.full([48, 64, 3], 60, np.uint8)
        shapes = []
        for label, (left, top) in (('field', (5, 6 + number)), ('pond', (20 + number, 18))):
            corners = [[left, top], [left + 25, top], [left + 25, top + 20], [left, top + 20]]
            image[top : top + 21, left : left + 26] = 120 if label == 'field' else 220
            shapes.append({'label': label, 'points': corners, 'shape_type': 'polygon'})
        name = '{}.png'.format(number)
        write_image(os.path.join(directory, name), image)
        content = {'shapes': shapes, 'imagePath': name, 'imageData': None, 'imageHeight': 48, 'imageWidth': 64}
        atomic_write_json(os.path.join(directory, '{}.json'.format(number)), content)


def make_masks(directory):
    """Fields whose labels are colours, with the table of them; and robots, whose masks are black and white."""
    rng = np.random.RandomState(6)
    colors = np.array([[110, 80, 50], [60, 160, 60], [0, 0, 0]], np.uint8)
    for number in range(3):
        ids = rng.randint(0, 3, [3, 4]).repeat(16, axis=0).repeat(16, axis=1)
        name = '{}.png'.format(number)
        write_image(os.path.join(directory, 'farm', 'images', name), colors[ids] // 2 + 60)
        write_image(os.path.join(directory, 'farm', 'labels', name), colors[ids])
        write_image(
            os.path.join(directory, 'robots', 'images', name), (ids[..., None] * 90).repeat(3, axis=-1).astype(np.uint8)
        )
        write_labels(os.path.join(directory, 'robots', 'masks', name), np.where(ids == 1, 255, 0).astype(np.uint8))
    with open(os.path.join(directory, 'farm', 'colors.txt'), 'w') as file:
        file.write('soil 110 80 50\ncrop 60 160 60\nvoid 0 0 0\n')


def make_labelme(directory):
    """Two photographs with a polygon each, as labelme writes them."""
    for number in range(2):
        name = '{}.jpg'.format(number)
        write_image(os.path.join(directory, name), np.full([32, 48, 3], 100 * number, np.uint8))
        shape = {'label': 'robot', 'shape_type': 'polygon', 'points': [[4, 4], [40, 6], [30, 28]], 'flags': {}}
        content = {'version': '5.4.1', 'flags': {}, 'shapes': [shape], 'imagePath': name, 'imageData': None}
        content.update(imageHeight=32, imageWidth=48)
        with open(os.path.join(directory, '{}.json'.format(number)), 'w') as file:
            json.dump(content, file)


def make_caffemodel(path):
    """A Caffe FCN-8s for PASCAL VOC, a thirty-second as wide."""
    network = foreign_networks.random_network(num_classes=21)
    foreign_networks.write_caffemodel(path, foreign_networks.channels_first(network, '8s'))


def make_stacks(directory):
    """Images of four channels, the last of which tells the classes apart, as TIFF and as NumPy files."""
    import tifffile

    rng = np.random.RandomState(4)
    os.makedirs(os.path.join(directory, 'images'))
    for number in range(4):
        labels = rng.randint(0, 3, [3, 4]).repeat(16, axis=0).repeat(16, axis=1).astype(np.uint8)
        stack = np.dstack([rng.randint(0, 256, labels.shape + (3,)).astype(np.uint8), 90 * labels])
        path = os.path.join(directory, 'images', str(number))
        if number % 2:
            np.save(path + '.npy', stack)
        else:
            tifffile.imwrite(path + '.tif', stack, photometric='rgb', extrasamples=['unspecified'])
        write_labels(os.path.join(directory, 'labels', '{}.png'.format(number)), labels)


def make_map(path):
    """A TIFF of 64 x 672 pixels; where rasterio is, it lies on a map."""
    values = np.random.RandomState(5).randint(0, 256, [64, 672, 3]).astype(np.uint8)
    try:
        import rasterio
    except ImportError:
        write_image(path, values)
        return
    profile = dict(driver='GTiff', height=64, width=672, count=3, dtype='uint8', crs='EPSG:25832', photometric='rgb')
    place = rasterio.transform.from_origin(500000, 5400000, 0.2, 0.2)
    with rasterio.open(path, 'w', transform=place, **profile) as file:
        file.write(np.moveaxis(values, -1, 0))


def make_workplace(place, encoder):
    """Makes all of it below `place`."""
    from data_generator.street_scenes import write_dataset

    write_dataset(os.path.join(place, 'cityscapes'), 4, 2, 2, (64, 128))
    write_dataset(os.path.join(place, 'demo', 'data'), 4, 2, 0, (64, 128))
    # The evaluation server takes predictions of this size alone.
    write_image(
        os.path.join(place, 'cityscapes', 'leftImg8bit', 'test', 'berlin', 'berlin_000000_000019_leftImg8bit.png'),
        np.full([1024, 2048, 3], 90, np.uint8),
    )
    for name in ('demo/encoder', 'VGG16', 'data/vgg'):
        shutil.copytree(encoder, os.path.join(place, *name.split('/')))
    make_camvid(os.path.join(place, 'CamVid'))
    make_kitti_road(os.path.join(place, 'data_road'))
    make_own_data(os.path.join(place, 'my'), seed=2)
    make_own_data(os.path.join(place, 'test'), seed=3)
    make_masks(place)
    make_labelme(os.path.join(place, 'labelme'))
    make_annotations(os.path.join(place, 'my', 'annotations'))
    make_caffemodel(os.path.join(place, 'voc-fcn8s.caffemodel'))

    make_stacks(os.path.join(place, 'rgbd'))
    make_map(os.path.join(place, 'ortho.tif'))


@contextmanager
def working_in(place):
    """While open, `place` is the working directory."""
    before = os.getcwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def read_page(name):
    """The text of a page of docs/."""
    with open(os.path.join(os.path.dirname(__file__), os.pardir, 'docs', name), encoding='utf-8') as file:
        return file.read()


def python_blocks(text):
    """The Python of a page, in order."""
    return re.findall(r'^```python\n(.*?)^```', text, re.MULTILINE | re.DOTALL)


def shell_commands(text):
    """`fcn8s ...` in the first column of tables and in indented or fenced blocks, in order; continued lines are joined."""
    text = re.sub(r' \\\n\s*', ' ', text)
    found = re.findall(r'^\| `(fcn8s [^`]+)` \||^(?: {4})?(fcn8s [a-z].+)$', text, re.MULTILINE)
    names = [name.replace('_', '-') for name in COMMANDS]
    return [line for pair in found for line in pair if line and line.split()[1] in names]

"""Small datasets as annotation tools write them: each holds one scene, box 'a' with the smaller box 'b' over it."""

import base64
import json
import zlib

import cv2
import numpy as np

SIZE = (20, 30)
NUM_IMAGES = 5
EXPECTED = np.zeros(SIZE, np.uint8)
EXPECTED[4:12, 5:15] = 1
EXPECTED[8:14, 10:18] = 2


def corners(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


# In continuous coordinates, and with vertices that are pixels.
A, B = corners(5, 4, 15, 12), corners(10, 8, 18, 14)
A_PIXELS, B_PIXELS = corners(5, 4, 14, 11), corners(10, 8, 17, 13)


def flat(points):
    return [value for point in points for value in point]


def write_image(path, size=SIZE, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, size + (3,), dtype=np.uint8))
    return path


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def labelme_content(name, shapes=None, **more):
    shapes = [('a', A_PIXELS), ('b', B_PIXELS)] if shapes is None else shapes
    listed = [{'label': label, 'points': points, 'shape_type': 'polygon'} for label, points in shapes]
    content = {'version': '5.0', 'shapes': listed, 'imagePath': name, 'imageHeight': SIZE[0], 'imageWidth': SIZE[1]}
    return dict(content, imageData=None, **more)


def labelme(root):
    for number in range(NUM_IMAGES):
        write_image(root / '{}.png'.format(number), seed=number)
        write_json(root / '{}.json'.format(number), labelme_content('{}.png'.format(number)))


def coco_content(annotations, num_images=NUM_IMAGES):
    images = [
        {'id': number, 'file_name': '{}.png'.format(number), 'height': SIZE[0], 'width': SIZE[1]}
        for number in range(num_images)
    ]
    categories = [{'id': 30, 'name': 'a'}, {'id': 7, 'name': 'b'}]
    return {'images': images, 'categories': categories, 'annotations': annotations}


def coco(root):
    annotations = []
    for number in range(NUM_IMAGES):
        write_image(root / 'images' / '{}.png'.format(number), seed=number)
        for category, box in ((7, B), (30, A)):  # the smaller one lies on top, whatever the order
            annotations.append({'image_id': number, 'category_id': category, 'segmentation': [flat(box)], 'iscrowd': 0})
    write_json(root / 'annotations' / 'instances.json', coco_content(annotations))


def cvat_text(elements, label_colors=(('a', '#ff0000'), ('b', '#00ff00'))):
    labels = ''.join('<label><name>{}</name><color>{}</color></label>'.format(*pair) for pair in label_colors)
    images = ''.join(
        '<image id="{0}" name="{0}.png" width="{2}" height="{1}">{3}</image>'.format(number, *SIZE, elements)
        for number in range(NUM_IMAGES)
    )
    head = '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><labels>'
    return head + labels + '</labels></task></meta>' + images + '</annotations>'


def cvat(root, elements=None):
    for number in range(NUM_IMAGES):
        write_image(root / 'images' / '{}.png'.format(number), seed=number)
    points = [';'.join('{},{}'.format(*point) for point in box) for box in (B, A)]
    elements = elements or (
        '<polygon label="b" z_order="1" points="{}"/><polygon label="a" z_order="0" points="{}"/>'.format(*points)
    )
    (root / 'annotations.xml').write_text(cvat_text(elements))


def yolo(root):
    (root / 'labels').mkdir(parents=True)
    lines = [
        ' '.join([str(number)] + ['{:.6f}'.format(value) for x, y in box for value in (x / SIZE[1], y / SIZE[0])])
        for number, box in ((1, B), (0, A))
    ]
    for number in range(NUM_IMAGES):
        write_image(root / 'images' / '{}.png'.format(number), seed=number)
        (root / 'labels' / '{}.txt'.format(number)).write_text('\n'.join(lines) + '\n')
    (root / 'data.yaml').write_text("path: ../x  # where\ntrain: images\nnc: 2\nnames:\n  0: a\n  1: 'b'\n\nextra: 1\n")


def supervisely(root):
    write_json(
        root / 'meta.json',
        {'classes': [{'title': 'a', 'color': '#102030', 'shape': 'polygon'}, {'title': 'b', 'color': '#405060'}]},
    )
    png = cv2.imencode('.png', np.full((6, 8), 255, np.uint8))[1].tobytes()
    bitmap = {'origin': [10, 8], 'data': base64.b64encode(zlib.compress(png)).decode()}
    objects = [
        {'classTitle': 'a', 'geometryType': 'polygon', 'points': {'exterior': A_PIXELS, 'interior': []}},
        {'classTitle': 'b', 'geometryType': 'bitmap', 'bitmap': bitmap},
    ]
    for number in range(NUM_IMAGES):
        write_image(root / 'ds' / 'img' / '{}.png'.format(number), seed=number)
        content = {'size': {'height': SIZE[0], 'width': SIZE[1]}, 'objects': objects}
        write_json(root / 'ds' / 'ann' / '{}.png.json'.format(number), content)


def voc_xml(name, objects=''):
    size = '<size><width>{1}</width><height>{0}</height><depth>3</depth></size>'.format(*SIZE)
    return '<annotation><filename>{}</filename>{}{}</annotation>'.format(name, size, objects)


def voc(root):
    colors = np.zeros(SIZE + (3,), np.uint8)
    colors[EXPECTED == 1], colors[EXPECTED == 2] = (10, 20, 30), (40, 50, 60)
    for folder in ('Annotations', 'SegmentationClass'):
        (root / folder).mkdir(parents=True)
    for number in range(NUM_IMAGES):
        write_image(root / 'JPEGImages' / '{}.jpg'.format(number), seed=number)
        assert cv2.imwrite(str(root / 'SegmentationClass' / '{}.png'.format(number)), colors[..., ::-1])
        (root / 'Annotations' / '{}.xml'.format(number)).write_text(voc_xml('{}.jpg'.format(number)))
    (root / 'labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\na:10,20,30::\nb:40,50,60::\n'
    )


def cityscapes(root):
    for number in range(NUM_IMAGES):
        stem = 'town_{:06d}_000019'.format(number)
        write_image(root / 'leftImg8bit' / 'town' / (stem + '_leftImg8bit.png'), seed=number)
        objects = [{'label': 'a', 'polygon': A_PIXELS}, {'label': 'bgroup', 'polygon': B_PIXELS}]
        objects.append({'label': 'b', 'polygon': A_PIXELS, 'deleted': 1})
        content = {'imgHeight': SIZE[0], 'imgWidth': SIZE[1], 'objects': objects}
        write_json(root / 'gtFine' / 'town' / (stem + '_gtFine_polygons.json'), content)


def masks(root):
    """Folders for train, suffixes for the other images; those of b have colours and transparency."""
    a, b = EXPECTED == 1, EXPECTED == 2
    for number in range(NUM_IMAGES):
        write_image(root / 'images' / 'x{}.jpg'.format(number), seed=number)
        names = ('masks/{1}/x{0}.png', 'masks/x{0}_{1}.png')[number % 2]
        for name, mask in (
            ('a', np.where(a, 255, 0)),
            ('b', np.dstack([np.full(SIZE + (3,), 9), np.where(b, 200, 0)])),
        ):
            path = root / names.format(number, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), mask.astype(np.uint8))


def runs_of(mask, along_rows=False):
    """As Kaggle writes them: starts, counted from 1 down the columns, and lengths."""
    flat = np.concatenate([[0], mask.ravel() if along_rows else mask.T.ravel(), [0]]).astype(int)
    starts, ends = np.flatnonzero(np.diff(flat) == 1) + 1, np.flatnonzero(np.diff(flat) == -1) + 1
    return ' '.join('{} {}'.format(start, end - start) for start, end in zip(starts, ends))


def kaggle(root):
    lines = ['ImageId,ClassId,EncodedPixels']
    for number in range(NUM_IMAGES):
        write_image(root / 'train_images' / '{}.png'.format(number), seed=number)
        lines += [
            '{}.png,{},{}'.format(number, name, runs_of(value == EXPECTED)) for value, name in ((1, 'a'), (2, 'b'))
        ]
    (root / 'train.csv').write_text('\n'.join(lines) + '\n')


def via_content(regions, num_images=NUM_IMAGES):
    """An export; every image has these (shape_attributes, region_attributes)."""
    listed = [{'shape_attributes': shape, 'region_attributes': attributes} for shape, attributes in regions]
    return {
        '{}.png1873'.format(number): {
            'filename': '{}.png'.format(number),
            'size': 1873,
            'regions': listed,
            'file_attributes': {},
        }
        for number in range(num_images)
    }


def via_polygon(points):
    x, y = zip(*points)
    return {'name': 'polygon', 'all_points_x': list(x), 'all_points_y': list(y)}


def via(root):
    for number in range(NUM_IMAGES):
        write_image(root / '{}.png'.format(number), seed=number)
    regions = [(via_polygon(A), {'type': 'a'}), (via_polygon(B), {'type': 'b'})]
    write_json(root / 'via_export_json.json', via_content(regions))


TOOLS = {
    'labelme': labelme,
    'coco': coco,
    'cvat': cvat,
    'yolo': yolo,
    'supervisely': supervisely,
    'voc': voc,
    'cityscapes': cityscapes,
    'masks': masks,
    'kaggle': kaggle,
    'via': via,
}

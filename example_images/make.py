"""Makes the pictures of this folder from this library's own output.

    python example_images/make.py [--run RUN] [--out DIR] [--work DIR]

Without --run, a network is trained on generated street scenes first: about ten minutes on two cores, and nothing is
downloaded. With --run, a trained one is taken: any run directory or saved FCN-8s for the 19 Cityscapes classes.

    street_scene.png              a generated scene that the network has not seen
    street_scene_segmented.png    the same with its segmentation laid over it, and a legend
    drive.webp                    an animated strip of a drive: image on the left, segmentation on the right
    architecture.png              the full network, its layers, strides and shapes read from its graph

photo.webp was made once: china.jpg of scikit-learn (danielbuechele, CC BY 2.0), segmented by a run of the recipe
`camvid`: fcn8s predict RUN china.jpg --size 213 320 --alpha 0.6 --out DIR, beside the photograph, above a legend of the
classes with at least a quarter of a per cent of the pixels.
"""

import argparse
import itertools
import os
import sys
import tempfile
from typing import List, Optional, Sequence, Tuple

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from data_generator import BatchGenerator  # noqa: E402
from data_generator.street_scenes import make_scene, write_dataset  # noqa: E402
from data_generator.street_scenes.dataset import drive_frames  # noqa: E402
from fcn8s import FCN8s  # noqa: E402
from fcn8s.planning.architecture import draw_architecture, read_architecture  # noqa: E402
from fcn8s.saving import runs  # noqa: E402
from fcn8s.training import schedules  # noqa: E402
from fcn8s.vgg16.write import write_encoder  # noqa: E402
from helpers.files import atomic_path  # noqa: E402
from helpers.images import write_image  # noqa: E402
from helpers.legend_drawing import add_legend  # noqa: E402
from helpers.visualization_utils import print_segmentation_onto_image  # noqa: E402

PICTURES = ('street_scene.png', 'street_scene_segmented.png', 'drive.webp', 'architecture.png')
# Sizes are (height, width) in pixels. The network sees images of TRAINING_SIZE; the large scene is shrunk to it.
TRAINING_SIZE = (192, 384)
NUM_TRAIN, NUM_VAL = 400, 40
EPOCHS, BATCH_SIZE, RATE = 18, 4, 'cosine:1e-3+warmup:50'
SCENE_SIZE, SCENE_SEED = (384, 768), 16
DRIVE_SEED, DRIVE_STEP, NUM_STRIP_FRAMES = 1, 2, 40
STRIP_FRAME_MILLISECONDS = 120
WIDTH_DIVISOR = 8
ALPHA = 0.6

Size = Tuple[int, int]


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--run', metavar='RUN', help='a trained network, instead of training one')
    parser.add_argument('--out', metavar='DIR', default=HERE, help='default: the folder of this script')
    parser.add_argument('--work', metavar='DIR', help='where to keep data and run (default: a temporary directory)')
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        run_dir = args.run or train(args.work or temporary)
        with FCN8s(model_load_dir=runs.resolve_model(run_dir)) as model:
            write_pictures(model, args.out)
        # Drawn of the network that people train, not of the small one of the other pictures.
        with FCN8s(vgg16_dir=write_encoder(os.path.join(temporary, 'vgg16'), 'random'), num_classes=19) as full:
            write_architecture(os.path.join(args.out, 'architecture.png'), full)


def train(directory: str) -> str:
    """Trains the network of the pictures below `directory`; returns its run directory."""
    data, encoder, run_dir = (os.path.join(directory, name) for name in ('scenes', 'encoder', 'run'))
    write_dataset(data, NUM_TRAIN, NUM_VAL, 0, TRAINING_SIZE, progress=True)
    write_encoder(encoder, 'random', WIDTH_DIVISOR)
    dataset, val_dataset = (BatchGenerator.from_layout('cityscapes', data, split) for split in ('train', 'val'))
    steps = NUM_TRAIN // BATCH_SIZE
    with FCN8s(vgg16_dir=encoder, label_space=dataset.label_space) as model, dataset.generate(
        BATCH_SIZE, flip=0.5, workers=1
    ) as batches, val_dataset.generate(BATCH_SIZE, shuffle=False) as val_batches:
        model.train(
            batches,
            EPOCHS,
            steps,
            schedules.parse_schedule(RATE, EPOCHS * steps),
            keep_prob=0.8,
            eval_dataset='val',
            val_generator=val_batches,
            metrics=('mean_iou', 'accuracy'),
            monitor='mean_iou',
            eval_frequency=3,
            save_frequency=3,
            run_dir=run_dir,
        )
    return run_dir


def write_pictures(
    model: FCN8s,
    out_dir: str,
    scene_size: Size = SCENE_SIZE,
    training_size: Size = TRAINING_SIZE,
    num_strip_frames: int = NUM_STRIP_FRAMES,
) -> List[str]:
    """Writes the four pictures, each complete or not at all; returns their paths."""
    os.makedirs(out_dir, exist_ok=True)
    paths = [os.path.join(out_dir, name) for name in PICTURES]
    scene_path, segmented_path, drive_path, architecture_path = paths
    scene = make_scene(np.random.default_rng(SCENE_SEED), scene_size)[0]
    write_image(scene_path, scene)
    write_image(segmented_path, segmented_scene(model, scene, training_size))
    write_strip(drive_path, drive_strip(model, training_size, num_strip_frames))
    write_architecture(architecture_path, model)
    return paths


def segmented_scene(model: FCN8s, scene: np.ndarray, training_size: Size) -> np.ndarray:
    """uint8 [H, W, 3]: the scene under its segmentation, predicted at the size that the network was trained on."""
    height, width = scene.shape[:2]
    small = cv2.resize(scene, training_size[::-1], interpolation=cv2.INTER_AREA)
    probabilities = model.predict(small[np.newaxis], argmax=False)[0]
    probabilities = cv2.resize(probabilities, (width, height), interpolation=cv2.INTER_LINEAR)
    class_ids = probabilities.argmax(axis=-1).astype(np.uint8)
    overlay = print_segmentation_onto_image(scene, class_ids, model.label_space, alpha=ALPHA, contours=True)
    return add_legend(overlay, model.label_space, np.unique(class_ids).tolist())


def drive_strip(model: FCN8s, size: Size, num_frames: int) -> List[np.ndarray]:
    """uint8 [H, 2 W, 3]: frames of a drive, each beside the same with its segmentation."""
    drive = drive_frames(num_frames * DRIVE_STEP, size, DRIVE_SEED)
    frames = [image for image, _ in itertools.islice(drive, 0, None, DRIVE_STEP)]
    overlays = [
        print_segmentation_onto_image(frame, class_ids, model.label_space, alpha=ALPHA)
        for frame, class_ids in zip(frames, model.predict(frames))
    ]
    return [np.hstack(pair) for pair in zip(frames, overlays)]


def write_strip(path: str, frames: List[np.ndarray]) -> None:
    """An animated WebP that plays for ever."""
    first, *rest = [Image.fromarray(frame) for frame in frames]
    with atomic_path(path) as temporary:
        first.save(
            temporary,
            save_all=True,
            append_images=rest,
            duration=STRIP_FRAME_MILLISECONDS,
            loop=0,
            quality=60,
            method=6,
        )


def write_architecture(path: str, model: FCN8s) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # As wide as a page of GitHub shows it, and sharp on dense screens.
    figure = Figure(figsize=(8.4, 4.7), dpi=200)
    draw_architecture(figure.add_axes([0, 0, 1, 1]), read_architecture(model))
    with atomic_path(path) as temporary:
        FigureCanvasAgg(figure).print_png(temporary, metadata={'Software': None})


if __name__ == '__main__':
    main()

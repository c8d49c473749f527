"""torch's DataLoader with albumentations and OpenCV: what the data generator is measured beside.

    pip install torch albumentations
    python benchmarks/bench_data.py --prepare DATA
    python benchmarks/peer_dataloader.py DATA [--size 1024 2048]

Brightness, flip, translation and scale, each for half of the pairs, as in bench_data.py; the image is halved first.
"""

import itertools

import albumentations
import cv2
import torch
from reading import files_of, measure_passes, parse_reader_arguments


class Pairs(torch.utils.data.Dataset):
    def __init__(self, images, labels, size):
        self.images, self.labels = images, labels
        self.transform = albumentations.Compose(
            [
                albumentations.Resize(*size, interpolation=cv2.INTER_AREA),
                albumentations.RandomBrightnessContrast(brightness_limit=0.5, contrast_limit=0, p=0.5),
                albumentations.HorizontalFlip(p=0.5),
                albumentations.Affine(translate_px={'x': (-80, 80), 'y': (-40, 40)}, p=0.5),
                albumentations.Affine(scale=(0.8, 1.3), p=0.5),
            ]
        )

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = cv2.cvtColor(cv2.imread(self.images[index], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        label = cv2.imread(self.labels[index], cv2.IMREAD_UNCHANGED)
        made = self.transform(image=image, mask=label)
        return made['image'], made['mask']


def forever(loader):
    for _ in itertools.count():
        yield from loader


def main():
    args = parse_reader_arguments(__doc__)
    images, labels = files_of(args.data)
    # A round is a pass, and workers are kept between passes: their start is not measured.
    loader = torch.utils.data.DataLoader(
        Pairs(images, labels, (args.size[0] // 2, args.size[1] // 2)),
        batch_size=1,
        shuffle=True,
        num_workers=args.workers,
        persistent_workers=True,
    )
    measure_passes(forever(loader), len(images), args.rounds)


if __name__ == '__main__':
    main()

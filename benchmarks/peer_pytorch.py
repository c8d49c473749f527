"""The same network in plain PyTorch, to measure beside: a --floor for bench_prediction.py and bench_training.py.

    pip install torch
    python benchmarks/bench_prediction.py --floor benchmarks/peer_pytorch.py
    python benchmarks/bench_training.py --floor benchmarks/peer_pytorch.py
    python benchmarks/peer_pytorch.py ENCODER HEIGHT WIDTH BATCH [--train] [--channels-last] [--compiled]

Its weights are random and `encoder` is ignored: convolutions take as long on any.
"""

import torch
from measuring import measure, parse_floor_arguments
from torch import nn

# Convolutions and their channels in the five blocks of VGG-16, and the channels of fc6 and fc7.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
DENSE = 4096


class FCN8s(nn.Module):
    def __init__(self, num_classes, width_divisor):
        super().__init__()
        *blocks, dense = [channels // width_divisor for channels in [width for _, width in BLOCKS] + [DENSE]]
        self.blocks = nn.ModuleList()
        channels_in = 3
        for (num_convolutions, _), channels in zip(BLOCKS, blocks):
            layers = []
            for _ in range(num_convolutions):
                layers += [nn.Conv2d(channels_in, channels, 3, padding='same'), nn.ReLU(inplace=True)]
                channels_in = channels
            self.blocks.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
        self.fc = nn.Sequential(
            nn.Conv2d(channels_in, dense, 7, padding='same'),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(dense, dense, 1),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
        )
        self.score_pool3, self.score_pool4, self.score_fc7 = (
            nn.Conv2d(channels, num_classes, 1) for channels in (blocks[2], blocks[3], dense)
        )
        self.upsample_fc7, self.upsample_pool4 = (
            nn.ConvTranspose2d(num_classes, num_classes, 4, stride=2, padding=1, bias=False) for _ in range(2)
        )
        self.upsample_8x = nn.ConvTranspose2d(num_classes, num_classes, 16, stride=8, padding=4, bias=False)

    def forward(self, images):
        features = images
        pools = []
        for block in self.blocks:
            features = block(features)
            pools.append(features)
        scores = self.upsample_fc7(self.score_fc7(self.fc(features))) + self.score_pool4(pools[3])
        return self.upsample_8x(self.upsample_pool4(scores) + self.score_pool3(pools[2]))


def add_options(parser):
    parser.add_argument('--channels-last', action='store_true', help='weights and images in NHWC')
    parser.add_argument('--width-divisor', type=int, default=1)
    parser.add_argument('--compiled', action='store_true', help='with torch.compile')


def main():
    args = parse_floor_arguments(__doc__, add_options)
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    network = FCN8s(args.classes, args.width_divisor).to(memory_format=layout)
    forward = torch.compile(network) if args.compiled else network
    images = torch.randint(0, 256, (args.batch, 3, args.height, args.width)).float().to(memory_format=layout)
    labels = torch.randint(0, args.classes, (args.batch, args.height, args.width))
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def logits():
        with torch.autocast('cpu', torch.bfloat16, enabled=args.precision == 'bfloat16'):
            return forward(images).float()

    def predict():
        with torch.inference_mode():
            logits().argmax(1)

    def step():
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits(), labels).backward()
        optimizer.step()

    if args.train:
        measure('train', step, args.batch)
    else:
        network.eval()
        measure('predict', predict, args.batch)


if __name__ == '__main__':
    main()

"""Small learnable batches for tests of the whole network, and a camera."""

import os
import signal

import numpy as np


class Stream:
    """An endless iterator with the interface of `data_generator.batches.batching.BatchIterator`: batch k depends on k alone.

    Class 1 is bright and on a random side of the picture; the upper rows are ignored.
    """

    def __init__(self, size=(64, 64), batch_size=2, label_space=None, seed=0, dtype=np.uint8):
        self.position = 0
        self.size, self.batch_size, self.seed, self.dtype = size, batch_size, seed, dtype
        self.num_batches = 2
        self.label_space = label_space
        self.fingerprint = 'stream {}'.format(seed)

    def __iter__(self):
        return self

    def __next__(self):
        rng = np.random.RandomState([self.seed, self.position])
        self.position += 1
        labels = np.zeros((self.batch_size,) + self.size, self.dtype)
        for label in labels:
            half = slice(self.size[1] // 2, None) if rng.rand() < 0.5 else slice(0, self.size[1] // 2)
            label[:, half] = 1
        labels[:, : self.size[0] // 8] = 255
        noise = rng.randint(0, 40, labels.shape + (3,))
        return (np.where(labels[..., None] == 1, 180, 40) + noise).astype(np.uint8), labels

    def seek(self, position):
        self.position = position


class StoppedCamera:
    """Stands for cv2.VideoCapture: delivers frames without an end; asks this process to stop after some."""

    last, signal_number = 10, signal.SIGINT

    def __init__(self, number):
        self.count = 0

    def read(self):
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), self.signal_number)
        return True, np.full((32, 32, 3), 50, np.uint8)

    def get(self, _):
        return 25.0

    def release(self):
        pass

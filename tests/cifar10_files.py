"""Small images in the formats of CIFAR-10's files."""

import pickle

import numpy as np
from cifar10 import batches
from cifar10.batches import Images


def some_images():
    draw = np.random.default_rng(0)
    return Images(draw.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8), np.arange(12) % 10)


def batch_files(images, form):
    """{file name: content} of five equal training batches and the test batch, in one of the two official formats."""
    rows = images.pixels.transpose(0, 3, 1, 2).reshape(len(images.labels), -1)
    files = {}
    for name in (*batches.TRAIN, batches.TEST):
        if form == "py":
            content = {b"data": rows, b"labels": images.labels.tolist(), b"batch_label": b"one"}
            files[name] = pickle.dumps(content, 2)
        else:
            both = np.concatenate([images.labels[:, None].astype(np.uint8), rows], axis=1)
            files[f"{name}.bin"] = both.tobytes()
    return files


def write(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder

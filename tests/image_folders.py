"""Small classification sets on the disk."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_tree(root: Path, classes, per_class: int = 2) -> None:
    """root/<class>/<number>.png"""
    for name in classes:
        for number in range(per_class):
            write_image(root / name / f'{number}.png', number)


def write_cub(root: Path, count: int = 6) -> None:
    """CUB's three files; images in turns of two classes and both splits."""
    lines = dict(images=[], image_class_labels=[], train_test_split=[])
    for number in range(1, count + 1):
        label = 1 + number % 2
        name = f'{label:03}.bird/{number}.jpg'
        write_image(root / 'images' / name)
        lines['images'].append(f'{number} {name}')
        lines['image_class_labels'].append(f'{number} {label}')
        lines['train_test_split'].append(f'{number} {number % 3 // 2}')
    for name, rows in lines.items():
        (root / f'{name}.txt').write_text('\n'.join(rows) + '\n')


def write_tiny_imagenet(root: Path) -> None:
    """200 classes, two images each to train and one to validate.

    One file stands for all: links are made in no time.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    root.mkdir(parents=True)
    source = root / 'image.png'
    Image.fromarray(pixels.astype(np.uint8)).save(source)
    names = [f'n{7 * number % 200:08}' for number in range(200)]  # mixed
    lines = []
    (root / 'val/images').mkdir(parents=True)
    for index, name in enumerate(names):
        folder = root / 'train' / name / 'images'
        folder.mkdir(parents=True)
        for number in (0, 1):
            (folder / f'{name}_{number}.JPEG').hardlink_to(source)
        (folder.parent / f'{name}_boxes.txt').write_text('')
        file = f'val_{index}.JPEG'
        (root / 'val/images' / file).hardlink_to(source)
        lines.append(f'{file}\t{name}\t0\t0\t63\t63')
    (root / 'val/val_annotations.txt').write_text('\n'.join(lines) + '\n')


def loader_cfg(*leaves: dict) -> Config:
    """A config that has nothing but training data."""
    dataset = leaves[0]
    if len(leaves) > 1:
        dataset = dict(type='ConcatDataset', datasets=list(leaves))
    return Config(dict(train_dataloader=dict(dataset=dataset)))

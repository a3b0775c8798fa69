"""Small photos and masks in files, for the tests."""

import numpy as np
from PIL import Image


def save_mask(path, labels):
    """Saves labels as VOC does: the indices of a palette whose colours are others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(labels, np.uint8))
    image.putpalette([(37 * i + 11) % 256 for i in range(768)])
    image.save(path)


def save_photo(path, height, width, number=0):
    """Saves a photo whose red is the column, green the row and blue a number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:height, :width]
    Image.fromarray(np.stack([columns, rows, rows * 0 + number], axis=-1).astype(np.uint8)).save(path)


def save_pairs(folder, sizes, images="images", masks="masks", classes=3, prefix=""):
    """Saves an example of each (height, width): stripes of the classes, and a border that is ignored."""
    for number, (height, width) in enumerate(sizes):
        labels = np.broadcast_to(np.arange(width) * classes // width, (height, width)).copy()
        labels[0] = 255
        save_photo(folder / images / f"{prefix}{number}.png", height, width, number)
        save_mask(folder / masks / f"{prefix}{number}.png", labels)

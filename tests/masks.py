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


def save_voc(folder, train, test, random):
    """Saves photos and masks as PASCAL VOC 2012 lays them out: a person in red and a dog in blue, with borders of 255.

    Args:
        folder: where `VOC2012` is made.
        train: (height, width) of each photo to train on.
        test: of each photo to evaluate on.
        random: draws noise and places.
    """
    root = folder / "VOC2012"
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "JPEGImages").mkdir()
    for split, sizes in (("train", train), ("val", test)):
        names = [f"2007_{split}_{number}" for number in range(len(sizes))]
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name, (height, width) in zip(names, sizes, strict=True):
            photo = random.integers(60, 160, (height, width, 3), np.uint8)
            labels = np.zeros((height, width), np.uint8)
            for place, (label, colour) in enumerate(((15, (220, 40, 40)), (12, (40, 60, 220)))):
                top, bottom = (int(height * random.uniform(*limits)) for limits in ((0.1, 0.4), (0.6, 0.9)))
                left, right = (
                    int(width * (place + random.uniform(*limits)) / 2) for limits in ((0.1, 0.3), (0.7, 0.9))
                )
                labels[top - 2 : bottom + 2, left - 2 : right + 2] = 255
                labels[top:bottom, left:right] = label
                photo[top:bottom, left:right] = photo[top:bottom, left:right] // 4 + np.multiply(colour, 3) // 4
            Image.fromarray(photo).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
            save_mask(root / "SegmentationClass" / f"{name}.png", labels)

"""Scenes made of digits on cluttered ground, with a label for every pixel or a box around every digit."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped, UInt8
from PIL import Image, ImageDraw

from fcnn.data.dataset import Split
from fcnn.data.order import uniform_numbers
from fcnn.errors import InputError

# A digit's pixels are those with at least half of its ink.
_INK = 128
_MAX_DIGITS = 4
# How much of the smaller of two boxes the other may cover; their intersection over union is then at most 0.11.
_OVERLAP = 0.2
_PLACES = 12
# How far digits, and the strokes and pieces on the ground, stand out from what is behind them, in levels of grey.
_CONTRAST, _CONTRAST_OF_CLUTTER = (60.0, 130.0), (20.0, 60.0)
# Random numbers enough for the gradient, the patches and the digits, each at its last place, and for clutter.
_NUMBERS, _NUMBERS_OF_CLUTTER = 160, 12


class _Placed(NamedTuple):
    """A digit in a scene: x1, y1, x2, y2 around its pixels, which digit it is, and its ink there, from 0 to 255."""

    box: tuple[int, int, int, int]
    digit: int
    ink: UInt8[np.ndarray, "height width"]


class _Draw:
    """Random numbers that are taken one after the other."""

    def __init__(self, count: int, seed: int, index: int):
        self.numbers = iter(uniform_numbers(count, seed, index).tolist())

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * next(self.numbers)

    def whole(self, low: int, high: int) -> int:
        """Returns a whole number from low to high, both included."""
        return low + int((high - low + 1) * next(self.numbers))


def digit_scenes(
    digits: Split,
    count: int,
    *,
    size: tuple[int, int] = (96, 96),
    sides: tuple[int, int] = (20, 56),
    clutter: int = 8,
    most: int = _MAX_DIGITS,
    seed: int = 0,
) -> dict[str, UInt8[np.ndarray, "{count} ..."]]:
    """Returns scenes of one to four digits with a label for every pixel.

    They stand at random places and overlap a little, on ground of gradients, patches, long strokes, pieces of digits
    and noise. All are lighter or darker than what is behind them, digits by 60 to 130 levels of grey, the clutter by 20
    to 60, and the ground itself varies by more: no threshold of grey tells digits. Scene i is a function of seed, i and
    the other arguments, whatever the count.

    Args:
        digits: grey digits: the training digits of MNIST for scenes to train on, its test digits for those to test on.
        count: number of scenes.
        size: height and width of a scene, in pixels.
        sides: the longer side of a digit is from the first to the second, in pixels.
        clutter: pieces of digits on the ground at most; there are half as many strokes. 0 leaves the ground smooth.
        most: digits in a scene at most, from 1 to 4.
        seed: of the scenes, 0 or more.

    Returns:
        "image" uint8 [count, height, width, 1], and "label" uint8 [count, height, width]: 0 for the ground, 1 + digit
        where the digit's grey value in its own image, resized, is at least 128. A digit drawn later covers those
        before it.

    Raises:
        InputError: the digits are no grey images, a scene is too small for them, or a number is below its least value.
    """
    images, labels = np.empty((count, *size, 1), np.uint8), np.zeros((count, *size), np.uint8)
    for i, (image, placed) in enumerate(_scenes(digits, count, size, sides, clutter, most, seed)):
        images[i, ..., 0] = image
        for (left, top, right, bottom), digit, ink in placed:
            labels[i, top:bottom, left:right][ink >= _INK] = 1 + digit
    return {"image": images, "label": labels}


def digit_boxes(
    digits: Split,
    count: int,
    *,
    size: tuple[int, int] = (96, 96),
    sides: tuple[int, int] = (20, 56),
    clutter: int = 8,
    most: int = _MAX_DIGITS,
    seed: int = 0,
) -> dict[str, Shaped[np.ndarray, "{count} ..."]]:
    """Returns the scenes of `digit_scenes` with a box around every digit.

    Args:
        digits: as for `digit_scenes`.
        count: number of scenes.
        size: height and width of a scene, in pixels.
        sides: as for `digit_scenes`.
        clutter: as for `digit_scenes`.
        most: as for `digit_scenes`.
        seed: of the scenes, 0 or more.

    Returns:
        "image" uint8 [count, height, width, 1]; "boxes" float32 [count, 4, 4], x1, y1, x2, y2 in pixels around the
        pixels that `digit_scenes` labels, where they are covered too; "classes" int32 [count, 4], which digit; "valid"
        bool [count, 4]. Where a scene has fewer than four digits, the last ones are zeros and not valid.

    Raises:
        InputError: as `digit_scenes`.
    """
    images, boxes = np.empty((count, *size, 1), np.uint8), np.zeros((count, _MAX_DIGITS, 4), np.float32)
    classes, valid = np.zeros((count, _MAX_DIGITS), np.int32), np.zeros((count, _MAX_DIGITS), bool)
    for i, (image, placed) in enumerate(_scenes(digits, count, size, sides, clutter, most, seed)):
        images[i, ..., 0] = image
        for j, each in enumerate(placed):
            boxes[i, j], classes[i, j], valid[i, j] = each.box, each.digit, True
    return {"image": images, "boxes": boxes, "classes": classes, "valid": valid}


def _scenes(
    digits: Split, count: int, size: tuple[int, int], sides: tuple[int, int], clutter: int, most: int, seed: int
) -> Iterator[tuple[UInt8[np.ndarray, "height width"], list[_Placed]]]:
    if digits.images.ndim != 4 or digits.images.shape[-1] != 1 or not len(digits.labels):
        raise InputError(f"expected grey digits [n, height, width, 1], got {list(digits.images.shape)}")
    if not 2 <= sides[0] <= sides[1] <= min(size):
        raise InputError(
            f"expected digits' sides from 2 to the scenes' {min(size)} pixels, the smaller first, got {sides}"
        )
    if count < 1 or clutter < 0 or seed < 0:
        raise InputError(f"expected a count from 1, clutter and seed from 0 on, got {count}, {clutter}, {seed}")
    if not 1 <= most <= _MAX_DIGITS:
        raise InputError(f"expected from 1 to {_MAX_DIGITS} digits in a scene at most, got {most}")
    for index in range(count):
        draw = _Draw(_NUMBERS + _NUMBERS_OF_CLUTTER * clutter, seed, index)
        image = _ground(digits, size, sides, clutter, draw)
        placed = _place(digits, size, sides, most, draw)
        for (left, top, right, bottom), _, ink in placed:
            _paint(image[top:bottom, left:right], ink, _CONTRAST, draw)
        noise = uniform_numbers(image.size, seed, index, 0).reshape(size).astype(np.float32)
        image += draw.uniform(4, 32) * (noise - 0.5)
        yield np.clip(image + 0.5, 0, 255).astype(np.uint8), placed


def _ground(
    digits: Split, size: tuple[int, int], sides: tuple[int, int], clutter: int, draw: _Draw
) -> Float32[np.ndarray, "height width"]:
    """Returns what digits stand on: a gradient, soft patches, strokes longer than any digit, pieces of digits."""
    height, width = size
    angle, slope = draw.uniform(0, 2 * math.pi), draw.uniform(0, 60)
    rows = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None] * (slope * math.sin(angle))
    columns = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None] * (slope * math.cos(angle))
    patches = np.array([draw.uniform(-30, 30) for _ in range(16)], np.float32).reshape(4, 4)
    image = np.array(Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC))
    image += rows + columns + draw.uniform(70, 185)
    for _ in range(draw.whole(clutter // 8, clutter // 2)):
        _paint(image, _stroke(size, draw), _CONTRAST_OF_CLUTTER, draw)
    for _ in range(draw.whole(clutter // 4, clutter)):
        ink = _piece(digits, sides, draw)
        top = draw.whole(-ink.shape[0] // 2, height - ink.shape[0] // 2)
        left = draw.whole(-ink.shape[1] // 2, width - ink.shape[1] // 2)
        ink = ink[max(-top, 0) : height - top, max(-left, 0) : width - left]
        top, left = max(top, 0), max(left, 0)
        part = image[top : top + ink.shape[0], left : left + ink.shape[1]]
        _paint(part, ink, _CONTRAST_OF_CLUTTER, draw)
    return image


def _stroke(size: tuple[int, int], draw: _Draw) -> UInt8[np.ndarray, "height width"]:
    """Returns a bent line from one side of the scene to the opposite one: a shorter one might be a 1."""
    height, width = size
    canvas = Image.new("L", (width, height))
    if draw.uniform(0, 1) < 0.5:
        line = [(x * width, draw.uniform(0, height)) for x in (0.0, 0.5, 1.0)]
    else:
        line = [(draw.uniform(0, width), y * height) for y in (0.0, 0.5, 1.0)]
    ImageDraw.Draw(canvas).line(line, fill=255, width=draw.whole(1, 5), joint="curve")
    return np.asarray(canvas)


def _piece(digits: Split, sides: tuple[int, int], draw: _Draw) -> UInt8[np.ndarray, "height width"]:
    """Returns the upper, middle or lower third of a digit: what is upright in it is too short to be a 1."""
    ink, _ = _digit(digits, sides, draw)
    third = max(ink.shape[0] // 3, 1)
    top = third * draw.whole(0, 2)
    return ink[top : top + third]


def _digit(digits: Split, sides: tuple[int, int], draw: _Draw) -> tuple[UInt8[np.ndarray, "height width"], int]:
    """Returns a digit, cut to its ink and resized, and which one it is."""
    row, side = draw.whole(0, len(digits.labels) - 1), draw.whole(*sides)
    ink = _cut(digits.images[row, ..., 0])
    scale = side / max(ink.shape)
    width, height = (max(round(scale * length), 1) for length in (ink.shape[1], ink.shape[0]))
    resized = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BICUBIC))
    # Edges are made steeper, so that few pixels are half of the digit and half of the ground.
    steeper = np.clip(2 * resized.astype(np.int16) - _INK, 0, 255).astype(np.uint8)
    return _cut(steeper), int(digits.labels[row])


def _cut(ink: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "height width"]:
    """Returns the rows and columns from the first to the last that have a pixel of the digit."""
    inside = ink >= _INK
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return ink
    return np.ascontiguousarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _place(digits: Split, size: tuple[int, int], sides: tuple[int, int], most: int, draw: _Draw) -> list[_Placed]:
    """Returns one to `most` digits at places where they overlap little; one that finds no such place is left out."""
    placed: list[_Placed] = []
    for _ in range(draw.whole(1, most)):
        ink, digit = _digit(digits, sides, draw)
        height, width = ink.shape
        for _ in range(_PLACES):
            top, left = draw.whole(0, size[0] - height), draw.whole(0, size[1] - width)
            box = (left, top, left + width, top + height)
            if (ink >= _INK).any() and all(_covered(box, other.box) <= _OVERLAP for other in placed):
                placed.append(_Placed(box, digit, ink))
                break
    return placed


def _covered(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """Returns the share of the smaller box that the other one covers."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)]
    return max(width, 0) * max(height, 0) / min(areas)


def _paint(
    image: Float32[np.ndarray, "h w"], ink: UInt8[np.ndarray, "h w"], contrasts: tuple[float, float], draw: _Draw
) -> None:
    """Paints ink over a part of an image, lighter or darker than it is on average."""
    contrast = draw.uniform(*contrasts) * (1 if draw.uniform(0, 1) < 0.5 else -1)
    if not ink.size:
        return
    behind = float(image.mean())
    level = behind + contrast if 0 <= behind + contrast <= 255 else behind - contrast
    image += ink * np.float32(1 / 255) * (np.float32(level) - image)

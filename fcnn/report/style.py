"""The look that all pictures share: colours, a canvas measured in inches, values and images as RGB."""

import io

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

WIDTH = 7.0  # inches, of every picture; the page shows an inch as 96 CSS pixels
DOTS_PER_INCH = 192  # two to a CSS pixel

# Blue and vermilion of Okabe and Ito (2008), which people with any common colour blindness can tell apart.
# Blue stands for held-out examples, what is right and what is positive; vermilion for mistakes and what is negative.
BLUE = "#0072b2"
VERMILION = "#d55e00"
INK = "#222222"
MUTED = "#6b6b6b"
FAINT = "#dddddd"

_DIVERGING = LinearSegmentedColormap.from_list(
    "negative to positive",
    ["#7a3500", VERMILION, "white", BLUE, "#003f63"],
    N=513,  # odd, so that 0 is exactly white
)

SMALL = 7.5  # points
NORMAL = 9.0


def new_canvas() -> tuple[Figure, Axes]:
    """Returns a figure and axes whose data coordinates are inches from the top left; `crop` sets the height."""
    figure = Figure(facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    return figure, axes


def crop(figure: Figure, axes: Axes, height: float, width: float = WIDTH) -> None:
    """Sets the height in inches of a canvas, which is known once everything is drawn."""
    figure.set_size_inches(width, height)
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="auto")


def encode_png(figure: Figure) -> bytes:
    """Returns the figure as a PNG file."""
    figure.set_dpi(DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    file = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(file, format="png", compress_level=3)
    return file.getvalue()


def text_width(text: str, size: float) -> float:
    """Returns how wide a text of this size in points is, in inches."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)
    return width / 72


def shorten(text: str, length: int) -> str:
    """Returns the text, cut to a number of characters with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def diverging_colours(values: Float[np.ndarray, "*shape"], limit: float) -> UInt8[np.ndarray, "*shape 3"]:
    """Returns colours for values: vermilion at `-limit`, white at 0, blue at `limit`."""
    scaled = np.nan_to_num(values.astype(np.float64)) / (limit or 1.0)
    return _DIVERGING((np.clip(scaled, -1, 1) + 1) / 2, bytes=True)[..., :3]


def largest_magnitude(values: Float[np.ndarray, "..."]) -> float:
    """Returns the largest finite absolute value, 0 if there is none."""
    magnitudes = np.abs(values.astype(np.float64))
    return float(np.max(magnitudes, initial=0.0, where=np.isfinite(magnitudes)))


def image_colours(
    images: UInt8[np.ndarray, "n height width channel"],
) -> UInt8[np.ndarray, "n height width 3"]:
    """Returns images as RGB; grey ones on a black ground as ink on paper, those of two channels as their mean."""
    if images.shape[-1] >= 3:
        return images[..., :3]
    grey = np.repeat(images.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    # MNIST and its relatives are white on black, which would be most of the page's ink; photographs stay as they are.
    return 255 - grey if np.median(images) < 32 else grey

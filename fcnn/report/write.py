"""Writes the report of a run: a page, and its pictures beside it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from fcnn.errors import InputError
from fcnn.files import write_file
from fcnn.report.page import Section, picture_names, render_page
from fcnn.report.style import encode_png


def write_report(folder: Path, *, title: str, facts: Mapping[str, str], sections: Sequence[Section]) -> Path:
    """Writes `report.html`, and each section's picture beside it as `NAME.png`.

    Each file appears whole or not at all. Pictures that an earlier report in this folder had, and this one does not
    have, are removed.

    Args:
        folder: where to write; made if it does not exist.
        title: the run's name.
        facts: what to know about the run, the most important first: that one is set large.
        sections: the pictures with what is said of them, from top to bottom.

    Returns:
        The path of `report.html`.

    Raises:
        InputError: if two sections have one name, a name is not fit for a file, or the folder cannot be written.
    """
    names = [section.name for section in sections]
    for name in names:
        if not re.fullmatch(r"\w+", name, re.ASCII) or names.count(name) > 1:
            raise InputError(f"section {name!r}: expected a name of letters, digits and _ that no other section has")
    page_path = folder / "report.html"
    page = render_page(title, facts, sections)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = picture_names(page_path.read_text("utf-8", errors="replace")) if page_path.exists() else set()
        for section in sections:
            write_file(folder / f"{section.name}.png", section.picture)
        for name in earlier.difference(names):
            (folder / f"{name}.png").unlink(missing_ok=True)
        # The page comes last: until it is there, the earlier one still tells which pictures it left.
        write_file(page_path, page)
    except OSError as error:
        raise InputError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return page_path


def save_picture(path: Path, figure: Figure) -> Path:
    """Writes a figure as a PNG file, which appears whole or not at all.

    Args:
        path: of the file.
        figure: what to write.

    Returns:
        The path.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        write_file(path, encode_png(figure))
    except OSError as error:
        raise InputError(f"the picture {path} cannot be written: {error.strerror}") from error
    return path

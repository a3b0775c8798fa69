"""The files of a command: photos in, pictures out, and what is wrong with either in one line."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageOps

from fcnn.errors import InputError
from fcnn.files import replacing


def open_photo(path: Path) -> Image.Image:
    """Returns a photo, upright.

    Raises:
        InputError: the file cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or "damaged, or of an unknown format"
        raise InputError(f"{path}: cannot be read as an image: {reason}") from error


def read_lines(path: Path) -> tuple[str, ...]:
    """Returns the lines of a text file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return tuple(path.read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def refuse_overwriting(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Refuses to write a file that is also read, two files of one name, or a file in the place of a folder.

    Args:
        written: the files to be written.
        read: those that are read.

    Raises:
        InputError: which names the file.
    """
    sources, targets = {path.resolve() for path in read}, set()
    for path in written:
        if path.resolve() in sources:
            raise InputError(f"{path}: would be replaced, expected a place beside the photos: choose another one")
        if path.is_dir():
            raise InputError(f"{path}: is a folder, expected a place for a file: choose another one")
        if path in targets:
            raise InputError(f"{path}: would be written for two photos of one name: take one photo at a time")
        targets.add(path)


def write_files(files: Mapping[Path, bytes], new_folder: Path | None = None) -> None:
    """Writes all files, or none of them.

    Args:
        files: content by path.
        new_folder: a folder of some of them that is made if it is missing.

    Raises:
        InputError: a file cannot be written.
    """
    made = None if new_folder is None or new_folder.exists() else new_folder
    if made is not None:
        try:
            made.mkdir()
        except OSError as error:
            raise _cannot_write(made, error) from error
    try:
        _write_all(list(files.items()))
    except InputError:
        if made is not None:
            with suppress(OSError):
                made.rmdir()
        raise


def _write_all(files):
    """Writes each file while those before it are complete, but not yet in their places."""
    if not files:
        return
    (path, content), *others = files
    try:
        with replacing(path) as file:
            file.write(content)
            file.flush()
            _write_all(others)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path, error):
    return InputError(f"{path}: cannot be written: {error.strerror}")

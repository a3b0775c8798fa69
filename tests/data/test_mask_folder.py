"""Photos and masks in folders: what is found, how it is divided, and what is refused."""

import io

import numpy as np
import pytest
from masks import save_mask, save_pairs, save_photo
from PIL import Image

import fcnn
from fcnn.data import read_mask

SIZES = [(12, 20), (20, 12), (15, 15), (9, 30)]


def load(folder, **options):
    return fcnn.load_dataset(f"folder:{folder}", **options)


def stems(files):
    return [path.stem for path in files.image_paths]


@pytest.fixture
def voc(tmp_path):
    """Returns a folder of VOC's layout, with three examples to train on and one to evaluate on."""
    root = tmp_path / "VOCdevkit" / "VOC2012"
    save_pairs(root, SIZES, "JPEGImages", "SegmentationClass", classes=21, prefix="2007_00000")
    for photo in (root / "JPEGImages").iterdir():
        Image.open(photo).save(photo.with_suffix(".jpg"))
        photo.unlink()
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_000000\n2007_000002\n2007_000003\n")
    (lists / "val.txt").write_text("2007_000001\n")
    return root


@pytest.mark.parametrize("up", [0, 1, 2])
def test_voc_is_found_by_any_of_its_folders(voc, up):
    folder = [voc, voc.parent, voc.parent.parent][up]
    data = fcnn.load_dataset("voc2012_segmentation", folder)
    assert (data.name, data.num_classes, data.validation) == ("voc2012_segmentation", 21, None)
    assert (data.class_names[0], data.class_names[1], data.class_names[20]) == ("background", "aeroplane", "tvmonitor")
    assert list(data.class_names[1:]) == sorted(data.class_names[1:])
    assert stems(data.train) == ["2007_000000", "2007_000002", "2007_000003"]
    assert stems(data.test.files) == ["2007_000001"]
    assert data.train.sizes.tolist() == [[12, 20], [15, 15], [9, 30]]
    assert all(path.parent.name == "SegmentationClass" for path in data.train.mask_paths)


def test_the_index_of_a_palette_is_the_label(voc):
    labels = read_mask(voc / "SegmentationClass" / "2007_000003.png")
    assert labels.dtype == np.uint8
    assert (labels[0] == 255).all()
    np.testing.assert_array_equal(labels[1:], np.broadcast_to(np.arange(30) * 21 // 30, (8, 30)))


def test_a_share_of_voc_is_held_out(voc):
    data = fcnn.load_dataset("voc2012_segmentation", voc, validation=1, seed=3, resize=40)
    held, rest = stems(data.validation.files), stems(data.train)
    assert (len(held), len(rest)) == (1, 2)
    assert sorted(held + rest) == ["2007_000000", "2007_000002", "2007_000003"]
    assert (data.validation.resize, data.test.resize) == (40, 40)
    with pytest.raises(fcnn.InputError, match="split of 0 to 2 of its 3 training examples, got validation=3"):
        fcnn.load_dataset("voc2012_segmentation", voc, validation=3)


def png(mode, depth_of_save=None):
    buffer = io.BytesIO()
    Image.new(mode, (20, 12)).save(buffer, "PNG", **({} if depth_of_save is None else {"bits": depth_of_save}))
    return buffer.getvalue()


def damage_mask(content):
    return lambda root: (root / "SegmentationClass" / "2007_000000.png").write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda root: save_mask(root / "SegmentationClass" / "2007_000000.png", np.zeros((13, 20))),
            r"SegmentationClass/2007_000000\.png: expected a mask of its image's size, 20x12 pixels, found 20x13$",
        ),
        (
            lambda root: save_mask(root / "SegmentationClass" / "2007_000001.png", np.full((20, 12), 21)),
            r"2007_000001\.png: has the label 21, expected one of 21 classes \(0 to 20\), or 255 for what does not",
        ),
        (damage_mask(png("RGB")), r"2007_000000\.png: has the pixel format RGB, .*colours are no labels"),
        (damage_mask(png("LA")), r"2007_000000\.png: has the pixel format LA, expected class numbers"),
        (damage_mask(png("I;16")), r"2007_000000\.png: has the pixel format I;16, expected class numbers"),
        (damage_mask(png("L")[:45]), r"2007_000000\.png: cannot be read as a PNG mask"),
        (damage_mask(b"GIF89a"), r"2007_000000\.png: is not a PNG image"),
        (
            lambda root: (root / "JPEGImages" / "2007_000002.jpg").unlink(),
            r"train\.txt: names 2007_000002, whose photo is not in .*JPEGImages$",
        ),
        (
            lambda root: (root / "SegmentationClass" / "2007_000001.png").unlink(),
            r"val\.txt: names 2007_000001, whose mask is not in .*SegmentationClass$",
        ),
        (
            lambda root: (root / "JPEGImages" / "2007_000002.jpg").write_bytes(b"?"),
            r"JPEGImages/2007_000002\.jpg: is not a JPEG or PNG image",
        ),
        (
            lambda root: (root / "ImageSets" / "Segmentation" / "val.txt").write_text("2007_000002\n"),
            r"2007_000002\.jpg: is to train and to evaluate on: leave it in one of the two splits",
        ),
        (lambda root: (root / "ImageSets" / "Segmentation" / "val.txt").write_text("\n"), "to evaluate on, found none"),
        (
            lambda root: (root / "ImageSets" / "Segmentation" / "train.txt").unlink(),
            r"train\.txt: cannot be read: No such file",
        ),
    ],
)
def test_what_is_wrong_in_voc_is_named_in_one_line(voc, damage, message):
    damage(voc)
    with pytest.raises(fcnn.InputError, match=message) as error:
        fcnn.load_dataset("voc2012_segmentation", voc)
    assert "\n" not in str(error.value)


def test_who_takes_photos_and_masks_for_arrays_is_told_what_to_do(voc):
    data = fcnn.load_dataset("voc2012_segmentation", voc)
    with pytest.raises(fcnn.InputError, match="stay in their files: train on them by fcnn.data.MaskLoader"):
        fcnn.Loader(data.train, 1).indices(0)


def test_several_faults_are_counted(voc):
    for number in (0, 2):
        (voc / "SegmentationClass" / f"2007_00000{number}.png").write_bytes(png("RGB"))
    with pytest.raises(fcnn.InputError, match=r"2007_000000\.png: .* \(the first of 2 such files\)$"):
        fcnn.load_dataset("voc2012_segmentation", voc)


def test_voc_needs_its_folder(tmp_path):
    with pytest.raises(fcnn.InputError, match=r"needs a data_dir .*VOCdevkit"):
        fcnn.load_dataset("voc2012_segmentation")
    with pytest.raises(fcnn.InputError, match="nowhere: no such folder; expected the folder of VOCdevkit"):
        fcnn.load_dataset("voc2012_segmentation", tmp_path / "nowhere")
    with pytest.raises(fcnn.InputError, match="expected VOCdevkit, its folder VOC2012"):
        fcnn.load_dataset("voc2012_segmentation", tmp_path)
    with pytest.raises(fcnn.InputError, match="unknown option of voc2012_segmentation 'rezise': did you mean resize"):
        fcnn.load_dataset("voc2012_segmentation", tmp_path, rezise=520)


def test_a_folder_in_parts_with_and_without_one_to_validate_on(tmp_path):
    for part in ("train", "val"):
        save_pairs(tmp_path / part, SIZES, prefix=part)
    data = load(tmp_path)
    assert (data.num_classes, data.class_names, data.validation) == (3, ("0", "1", "2"), None)
    assert stems(data.test.files) == [f"val{i}" for i in range(4)]
    save_pairs(tmp_path / "test", SIZES[:2], prefix="test")
    data = load(tmp_path)
    assert stems(data.validation.files) == [f"val{i}" for i in range(4)]
    assert stems(data.test.files) == ["test0", "test1"]
    with pytest.raises(fcnn.InputError, match="leave out validation=0.5"):
        load(tmp_path, validation=0.5)


def test_a_folder_that_is_not_split_is_drawn_by_the_seed(tmp_path):
    save_pairs(tmp_path, SIZES * 3)
    data = load(tmp_path, test_share=0.25, validation=3, seed=1)
    parts = [stems(files) for files in (data.train, data.validation.files, data.test.files)]
    assert [len(part) for part in parts] == [6, 3, 3]
    assert sorted(stem for part in parts for stem in part) == sorted(str(i) for i in range(12))
    again = load(tmp_path, test_share=0.25, validation=3, seed=1)
    assert [stems(files) for files in (again.train, again.validation.files, again.test.files)] == parts
    assert stems(load(tmp_path, test_share=0.25, seed=2).test.files) != parts[2]


def test_split_files_divide_a_folder(tmp_path):
    save_pairs(tmp_path, SIZES)
    (tmp_path / "train.txt").write_text("3\n0.png\n")
    with pytest.raises(fcnn.InputError, match=r"expected val\.txt or test\.txt beside train\.txt"):
        load(tmp_path)
    (tmp_path / "val.txt").write_text("2\n")
    data = load(tmp_path)
    assert (stems(data.train), stems(data.test.files), data.validation) == (["3", "0"], ["2"], None)
    (tmp_path / "test.txt").write_text("1\n")
    data = load(tmp_path)
    assert (stems(data.validation.files), stems(data.test.files)) == (["2"], ["1"])


def test_classes_are_named_by_a_file_or_numbered(tmp_path):
    save_pairs(tmp_path, SIZES)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\nseldom seen\n")
    assert load(tmp_path).class_names == ("sky", "road", "car", "seldom seen")
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    with pytest.raises(fcnn.InputError, match=r"\.png: has the label 2, expected one of 2 classes \(0 to 1\)"):
        load(tmp_path)
    (tmp_path / "classes.txt").write_text("sky\n")
    with pytest.raises(fcnn.InputError, match="names of 2 to 255 classes, found 1"):
        load(tmp_path)
    (tmp_path / "classes.txt").unlink()
    save_mask(tmp_path / "masks" / "2.png", np.full((15, 15), 7))
    with pytest.raises(fcnn.InputError, match=r"without a gap, at least two, found 0, 1, 2, 7: number them so"):
        load(tmp_path)


def test_masks_of_0_and_255_are_refused_and_those_of_two_colours_are_0_and_1(tmp_path):
    halves = np.arange(20 * 20).reshape(20, 20) >= 200
    for i in range(4):
        save_photo(tmp_path / "images" / f"{i}.png", 20, 20)
        save_mask(tmp_path / "masks" / f"{i}.png", halves * 255)
    with pytest.raises(fcnn.InputError, match=r"masks/\d\.png: holds 0 and 255 only, .*: write the foreground as 1"):
        load(tmp_path)
    for i in range(4):
        Image.fromarray(halves).save(tmp_path / "masks" / f"{i}.png")
    assert load(tmp_path).num_classes == 2
    np.testing.assert_array_equal(read_mask(tmp_path / "masks" / "0.png"), halves)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("colour_type", [0, 3])
def test_labels_of_few_bits_are_what_was_written(tmp_path, bits, colour_type):
    """Pillow writes no grey PNG of 2 or 4 bits, so these are written here by the specification."""
    labels = np.arange(2**bits, dtype=np.uint8)[None].repeat(3, axis=0)
    rows = np.unpackbits(labels[..., None], axis=-1)[..., -bits:].reshape(3, -1)
    packed = np.packbits(rows, axis=-1)
    palette = [] if colour_type == 0 else [(b"PLTE", bytes((37 * i) % 256 for i in range(3 * 2**bits)))]
    (tmp_path / "mask.png").write_bytes(png_file(packed, labels.shape, bits, colour_type, palette))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), labels)


def png_file(rows, shape, bits, colour_type, chunks):
    import struct
    import zlib

    header = struct.pack(">IIBBBBB", shape[1], shape[0], bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in parts
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "masks" / "1.png").unlink(),
            r"images/1\.png: has no mask of the same name in .*masks",
        ),
        (
            lambda folder: (folder / "images" / "1.png").unlink(),
            r"masks/1\.png: has no photo of the same name in .*images",
        ),
        (lambda folder: save_photo(folder / "images" / "1.jpg", 20, 12), r"1\.png: has the same name as 1\.jpg"),
    ],
)
def test_photos_and_masks_that_do_not_belong_together(tmp_path, change, message):
    save_pairs(tmp_path, SIZES)
    change(tmp_path)
    with pytest.raises(fcnn.InputError, match=message):
        load(tmp_path)

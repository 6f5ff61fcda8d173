"""CIFAR-10's files, and the user's own images: every format, and what is refused."""

import io
import pickle
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import programs
import pytest
from cifar10 import augment
from cifar10.batches import load_cifar
from cifar10.pictures import read_pictures
from cifar10_files import batch_files, some_images, write
from PIL import Image
from programs import DATA

from scratch.checks import ScratchError


def refused(*arguments, **options):
    return programs.refused("cifar10", *arguments, **options)


@pytest.fixture(scope="module")
def images():
    return some_images()


@pytest.mark.parametrize("form", ["py", "bin"])
def test_both_official_forms_and_their_archives(form, images, tmp_path):
    files = batch_files(images, form)
    write(tmp_path / "data" / f"cifar-10-batches-{form}", files)
    archive = tmp_path / "packed" / f"cifar-10-{form}.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as packed:
        for name, content in {"readme.html": b"?", **files}.items():
            info = tarfile.TarInfo(f"cifar-10-batches-{form}/{name}")
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    for place in (tmp_path / "data", tmp_path / "data" / f"cifar-10-batches-{form}", archive, archive.parent):
        training, test = load_cifar(place)
        assert np.array_equal(test.pixels, images.pixels) and np.array_equal(test.labels, images.labels)
        assert training.pixels.shape == (60, 32, 32, 3) and np.array_equal(training.labels[12:24], images.labels)


class Calls:
    def __reduce__(self):
        return print, ("run!",)


@pytest.mark.parametrize(("form", "name", "change", "words"), [
    ("py", "data_batch_3", lambda content: content[:-3000], "data_batch_3: damaged"),
    ("py", "test_batch", lambda content: pickle.dumps({b"data": Calls()}), "asks for builtins.print"),
    ("py", "test_batch", lambda content: pickle.dumps({b"data": [1]}, 2), "has no data or no labels"),
    ("py", "test_batch", lambda content: pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [1, 2]}, 2),
     "2 images of 3072 bytes"),
    ("py", "test_batch", lambda content: pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, 2),
     "a label outside 0 to 9"),
    ("py", "data_batch_2", lambda content: None, "contains no data_batch_2"),
    ("bin", "data_batch_5.bin", lambda content: content[:-1], "is it complete"),
    ("bin", "data_batch_5.bin", lambda content: b"", "is it complete"),
    ("bin", "test_batch.bin", lambda content: b"\x0a" + content[1:], "a label outside 0 to 9"),
])
def test_what_is_no_batch_is_refused(form, name, change, words, images, tmp_path):
    files = batch_files(images, form)
    files[name] = change(files[name])
    folder = write(tmp_path / "data", {name: content for name, content in files.items() if content is not None})
    assert words in refused("train", "--data", folder, cwd=tmp_path)


def test_places_without_images_are_refused(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"\x1f\x8b damaged")
    assert "damaged, or not an archive" in refused("evaluate", "--data", tmp_path, cwd=tmp_path)
    (tmp_path / "empty").mkdir()
    assert "neither cifar-10-batches-py" in refused("train", "--data", tmp_path / "empty", cwd=tmp_path)


def test_sheets(images, tmp_path):
    (tmp_path / "sheets").mkdir()
    draw = np.random.default_rng(1)
    pixels, labels = draw.integers(0, 256, (1000, 32, 32, 3)).astype(np.uint8), draw.integers(0, 10, 1000)
    order = draw.permutation(1000)
    for number in range(2):
        tiles = pixels[order[500 * number : 500 * (number + 1)]].reshape(16000, 32, 3)
        Image.fromarray(tiles).save(tmp_path / "sheets" / f"s{number:03}.webp", lossless=True)
    np.savez(tmp_path / "labels.npz", order=order, train=labels[:700], test=labels[700:])
    training, test = load_cifar(tmp_path)
    assert np.array_equal(np.concatenate([training.pixels, test.pixels]), pixels) and len(test.labels) == 300
    assert np.array_equal(np.concatenate([training.labels, test.labels]), labels)
    np.savez(tmp_path / "labels.npz", order=order, train=labels[:700], test=labels[700:] + 5)
    with pytest.raises(ScratchError, match="lacks the place or the label"):
        load_cifar(tmp_path)
    np.savez(tmp_path / "labels.npz", order=order, train=labels[:700], test=labels[700:])
    Image.new("RGB", (32, 32)).save(tmp_path / "sheets" / "s001.webp")
    with pytest.raises(ScratchError, match="sheet 1 has"):
        load_cifar(tmp_path)
    (tmp_path / "sheets" / "s001.webp").unlink()
    with pytest.raises(ScratchError, match="damaged or incomplete"):
        load_cifar(tmp_path)


def encrypted(path):
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flags of each member, twice
        start = 0
        while (start := content.find(signature, start) + 1) > 0:
            content[start - 1 + place] |= 1
    path.write_bytes(content)


def deflated_and_damaged(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("order.npy", bytes(100_000))
    content = bytearray(path.read_bytes())
    content[60:80] = b"\xff" * 20
    path.write_bytes(content)


def inflating(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("order.npy", bytes(100_000_000))


@pytest.mark.parametrize("damage", [encrypted, deflated_and_damaged, inflating])
def test_damaged_labels(damage, tmp_path):
    (tmp_path / "sheets").mkdir()
    np.savez(tmp_path / "labels.npz", order=np.arange(1000), train=np.zeros(700, int), test=np.zeros(300, int))
    damage(tmp_path / "labels.npz")
    with pytest.raises(ScratchError, match=r"labels\.npz: damaged"):
        load_cifar(tmp_path)


@pytest.mark.thorough
def test_the_real_files(tmp_path):
    unpack = DATA / "cifar10" / "unpack.py"
    if not unpack.exists():
        pytest.skip("the real data set is not here")
    subprocess.run([sys.executable, str(unpack), str(tmp_path), "--bin"], check=True, stdout=subprocess.DEVNULL)
    training, test = load_cifar(tmp_path / "cifar-10-batches-py")
    for other in (tmp_path / "cifar-10-batches-bin", DATA / "cifar10"):
        for a, b in zip((*training, *test), (x for part in load_cifar(other) for x in part), strict=True):
            assert np.array_equal(a, b)
    assert np.bincount(training.labels).tolist() == [5000] * 10 and np.bincount(test.labels).tolist() == [1000] * 10
    scaled = training.pixels.reshape(-1, 3) / 255
    assert np.allclose(scaled.mean(axis=0), augment.MEAN, atol=1e-4)
    assert np.allclose(scaled.std(axis=0), augment.DEVIATION, atol=1e-4)


def test_a_users_pictures(tmp_path):
    colours = np.zeros((50, 100, 3), np.uint8)
    colours[:, 20:80, 0] = 200  # the middle square, and a little more
    Image.fromarray(colours).save(tmp_path / "red.png")
    Image.new("L", (9, 30), 77).save(tmp_path / "grey.jpg")
    Image.new("RGBA", (32, 32), (1, 2, 3, 4)).save(tmp_path / "clear.png")
    found = read_pictures([tmp_path / name for name in ("red.png", "grey.jpg", "clear.png")])
    assert found.shape == (3, 32, 32, 3) and found.dtype == np.uint8
    assert (found[0] == [200, 0, 0]).all() and (found[1] == 77).all()
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.png").write_bytes((tmp_path / "red.png").read_bytes()[:60])
    Image.fromarray(colours).save(tmp_path / "red.eps")  # a program, which Pillow would run
    for name in ("text.png", "cut.png", "red.eps", "none.png", "."):
        with pytest.raises(ScratchError, match=r"not a PNG|no such file|[Dd]irectory"):
            read_pictures([tmp_path / name])
    with Image.new("1", (20000, 6000)) as huge:
        huge.save(tmp_path / "huge.png")
    with pytest.raises(ScratchError, match="too many"):
        read_pictures([tmp_path / "huge.png"])

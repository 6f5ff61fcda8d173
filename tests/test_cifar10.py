"""CIFAR-10's program: its files, augmentation, the two networks, runs, a killed run, and what is refused."""

import io
import json
import pickle
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import programs
import pytest
from cifar10 import augment, batches, network
from cifar10.batches import LABELS, Images, load_cifar
from cifar10.pictures import read_pictures
from PIL import Image
from programs import DATA

from scratch.activations import Gelu
from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.layer import evaluating
from scratch.tools.weights import save_weights

FLAGS = ("train", "--smoke", "--seed", "3")


def run(*arguments, **options):
    return programs.run("cifar10", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("cifar10", *arguments, **options)


@pytest.fixture(scope="module")
def images():
    draw = np.random.default_rng(0)
    return Images(draw.integers(0, 256, (12, 32, 32, 3)).astype(np.uint8), np.arange(12) % 10)


# Files ----------------------------------------------------------------------------------------------------------


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
    ("py", "test_batch", lambda content: pickle.dumps({b"data": [1]}, 2), "lacks data or labels"),
    ("py", "test_batch", lambda content: pickle.dumps({b"data": np.zeros((2, 9), np.uint8), b"labels": [1, 2]}, 2),
     "2 images of 3072 bytes"),
    ("py", "test_batch", lambda content: pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, 2),
     "a label outside 0 to 9"),
    ("py", "data_batch_2", lambda content: None, "lacks data_batch_2"),
    ("bin", "data_batch_5.bin", lambda content: content[:-1], "is it whole"),
    ("bin", "data_batch_5.bin", lambda content: b"", "is it whole"),
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
    with pytest.raises(ScratchError, match="damaged or incomplete"):
        load_cifar(tmp_path)


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


# Pictures -------------------------------------------------------------------------------------------------------


def test_a_moved_picture_is_a_part_of_it_and_all_come_once(images):
    mirrored = augment.flips(len(images.labels), seed=1)
    assert 0 < mirrored.sum() < len(mirrored)
    found = list(augment.modern_batches(images, mirrored, 5, np.random.default_rng(0)))
    assert [len(labels) for _, labels in found] == [5, 5, 2]
    wide = np.pad(augment.standardised(images.pixels), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    seen = []
    for pixels, labels in found:
        for picture in pixels:
            places = [
                (n, flip) for n in range(12) for flip in (False, True) for y in range(5) for x in range(5)
                if np.array_equal(picture[:, ::-1] if flip else picture, wide[n, y : y + 32, x : x + 32])
            ]
            assert len(places) == 1
            seen += places
        assert labels.tolist() == [images.labels[n] for n, _ in seen[-len(labels) :]]
    assert sorted(n for n, _ in seen) == list(range(12))
    assert all(mirrored[n] == flip for n, flip in seen)


def test_the_documents_pictures_have_mean_0_and_variance_1(images):
    for pixels, labels in augment.document_batches(images, 5, np.random.default_rng(0)):
        assert pixels.dtype == np.float32 and len(pixels) == len(labels)
        assert np.allclose(pixels.mean(axis=(1, 2, 3)), 0, atol=1e-4)
        assert np.allclose(pixels.std(axis=(1, 2, 3)), 1, atol=1e-3)
    assert not augment.standardised_each(np.full((1, 32, 32, 3), 7, np.uint8)).any()


def test_whitening(images):
    pixels = augment.standardised(np.random.default_rng(0).integers(0, 256, (80, 9, 9, 3)).astype(np.uint8))
    pixels[:, 1:] += pixels[:, :-1]  # neighbours alike, as in pictures
    model = network.build("modern", (8, 8, 8))
    network.whiten(model, pixels)
    found = to_host(model.layers[0].forward(to_device(pixels))).reshape(-1, 24).astype(np.float64)
    second = found.T @ found / len(found)
    assert np.allclose(second[:12, :12], np.eye(12), atol=0.02)
    assert np.allclose(found[:, :12], -found[:, 12:], atol=1e-4)


def test_a_modern_network_begins_as_a_chain_of_identities():
    conv = network._conv_like_identity(3, 5)
    x = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    assert np.allclose(to_host(conv.forward(to_device(x)))[..., :3], x)


@pytest.mark.parametrize("recipe", ["document", "modern"])
def test_scores_of_a_mirrored_picture(recipe, images):
    model = network.build(recipe, (8,) * len(network.WIDTHS[recipe]))
    assert any(isinstance(layer, Gelu) for layer in model.layers) == (recipe == "modern")
    with evaluating(model):
        found = network.scores(model, recipe, images.pixels, batch_size=5)
        one = network.scores(model, recipe, images.pixels[7:8])
        mirrored = network.scores(model, recipe, images.pixels[7:8, :, ::-1], views=False)
        plain = network.scores(model, recipe, images.pixels[7:8], views=False)
    assert found.shape == (12, 10) and np.allclose(found[7], one, atol=1e-5)
    if recipe == "document":
        assert np.allclose(one, plain)
    else:
        assert not np.allclose(plain, mirrored)  # so the mean over both is another one


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
    for name in ("text.png", "cut.png", "none.png", "."):
        with pytest.raises(ScratchError, match=r"not an image|no such file|[Dd]irectory"):
            read_pictures([tmp_path / name])
    with Image.new("1", (20000, 6000)) as huge:
        huge.save(tmp_path / "huge.png")
    with pytest.raises(ScratchError, match="too many"):
        read_pictures([tmp_path / "huge.png"])


def size(path):
    with Image.open(path) as picture:
        return picture.size


# Runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["document", "modern"])
def test_twenty_steps_with_and_without_the_engine_have_the_same_losses(recipe, tmp_path):
    losses = {}
    for out, flags in (("fast", []), ("plain", ["--plain"])):
        code, _, err = run(*FLAGS, "--recipe", recipe, "--epochs", 4, *flags, "--out", out, cwd=tmp_path)
        assert code == 0, err
        lines = (tmp_path / out / "history.jsonl").read_text().splitlines()
        losses[out] = [json.loads(line)["loss"] for line in lines]
    assert len(losses["plain"]) == 4  # epochs of five steps
    assert losses["fast"] == pytest.approx(losses["plain"], abs=1e-4)


@pytest.mark.parametrize("recipe", ["document", "modern"])
def test_a_smoke_run_learns_and_its_weights_predict(recipe, tmp_path):
    code, out, err = run(*FLAGS, "--recipe", recipe, "--epochs", "30", "--out", "r", "--report", "r.json", cwd=tmp_path)
    assert code == 0, err
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["accuracy"] >= 0.9 and report["loss"] < 1.3 and "epochs" in report
    for name in ("loss.png", "confusion.png", "filters.png", "mistakes.png"):
        assert size(tmp_path / "r" / name) > (100, 100)
    Image.new("RGB", (40, 40), (9, 200, 9)).save(tmp_path / "own.png")
    code, out, err = run("show", "--weights", "r/weights.npz", "--images", "own.png", "--plot", "s.png", cwd=tmp_path)
    assert code == 0, err
    assert out.startswith("own.png  ") and sum(label in out for label in LABELS) == 3
    assert size(tmp_path / "s.png") > (100, 100)


@pytest.mark.parametrize("flags", [("--recipe", "modern"), ("--recipe", "document", "--optimizer", "adam")])
def test_a_killed_run_goes_on_to_the_bit(flags, tmp_path):
    programs.goes_on_to_the_bit("cifar10", *FLAGS, *flags, line="epoch   3", cwd=tmp_path)


def test_evaluate_and_show_on_files(images, tmp_path):
    write(tmp_path / "data", batch_files(images, "bin"))
    model = network.build("modern", (8, 8, 8))
    save_weights(model, tmp_path / "w.npz", {"program": "cifar10", "recipe": "modern", "widths": [8, 8, 8]})
    flags = ("--data", "data", "--weights", "w.npz")
    code, out, err = run("evaluate", *flags, "--report", "e.json", "--plot", "c.png", cwd=tmp_path)
    assert code == 0, err
    report = json.loads((tmp_path / "e.json").read_text())
    assert f"accuracy {report['accuracy']:.4f}" in out and report["seconds"] > 0
    code, out, err = run("show", *flags, "--count", "4", "--top", "2", "--seed", "1", cwd=tmp_path)
    assert code == 0, err
    assert len(out.splitlines()) == 5 and (tmp_path / "runs" / "cifar10" / "show.png").exists()


def test_what_cannot_be_is_refused(images, tmp_path):
    assert "--optimizer" in refused("train", "--optimizer", "adam", cwd=tmp_path)
    assert "no run to resume" in refused(*FLAGS, "--resume", cwd=tmp_path)
    save_weights(network.build("modern", (8, 8, 8)), tmp_path / "w.npz", {"program": "cifar10", "recipe": "modern"})
    assert "have no widths" in refused("evaluate", "--weights", "w.npz", cwd=tmp_path)
    for widths in ([8, 8], [8, 8, 4096], [8, 8, -1], [8, 9, 8], ["8", 8, 8]):
        known = {"program": "cifar10", "recipe": "modern", "widths": widths}
        save_weights(network.build("modern", (8, 8, 8)), tmp_path / "w.npz", known)
        assert "w.npz" in refused("show", "--weights", "w.npz", "--images", "x.png", cwd=tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert "needed for something else" in refused("show", "--images", "x.png", "--plot", "x.png", cwd=tmp_path)


def test_the_committed_weights():
    model, recipe = network.load(network.WEIGHTS)
    assert recipe == "modern"
    for p in model.parameters():
        assert np.isfinite(to_host(p.data)).all()

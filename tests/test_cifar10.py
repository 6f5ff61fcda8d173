"""CIFAR-10's program: augmentation, the two networks, runs, a killed run, and what is refused."""

import json

import numpy as np
import programs
import pytest
from cifar10 import augment, network
from cifar10.batches import LABELS
from cifar10_files import batch_files, some_images, write
from PIL import Image

from scratch.activations import Gelu
from scratch.backend import to_device, to_host
from scratch.layer import evaluating
from scratch.tools.weights import save_weights

FLAGS = ("train", "--smoke", "--seed", "3")


def run(*arguments, **options):
    return programs.run("cifar10", *arguments, **options)


def refused(*arguments, **options):
    return programs.refused("cifar10", *arguments, **options)


@pytest.fixture(scope="module")
def images():
    return some_images()


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


def size(path):
    with Image.open(path) as picture:
        return picture.size


@pytest.mark.thorough
@pytest.mark.parametrize("recipe", ["document", "modern"])
def test_twenty_steps_with_and_without_the_engine_have_the_same_losses(recipe, tmp_path):
    losses = {}
    for out, flags in (("fast", []), ("plain", ["--plain"])):
        code, _, err = run(*FLAGS, "--recipe", recipe, "--epochs", 4, *flags, "--out", out, cwd=tmp_path)
        assert code == 0, err
        lines = (tmp_path / out / "history.jsonl").read_text().splitlines()
        losses[out] = [json.loads(line)["loss"] for line in lines]
    assert len(losses["plain"]) == 4  # epochs of five steps
    assert losses["fast"] == pytest.approx(losses["plain"], rel=1e-4)


@pytest.mark.parametrize("recipe", [pytest.param("document", marks=pytest.mark.thorough), "modern"])
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


@pytest.mark.thorough
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
    assert "widths: expected a list, got nothing" in refused("evaluate", "--weights", "w.npz", cwd=tmp_path)
    for widths in ([8, 8], [8, 8, 4096], [8, 8, -1], [8, 9, 8], ["8", 8, 8]):
        known = {"program": "cifar10", "recipe": "modern", "widths": widths}
        save_weights(network.build("modern", (8, 8, 8)), tmp_path / "w.npz", known)
        assert "w.npz" in refused("show", "--weights", "w.npz", "--images", "x.png", cwd=tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert "in use for something else" in refused("show", "--images", "x.png", "--plot", "x.png", cwd=tmp_path)


def test_the_committed_weights():
    model, recipe = network.load(network.WEIGHTS)
    assert recipe == "modern"
    for p in model.parameters():
        assert np.isfinite(to_host(p.data)).all()

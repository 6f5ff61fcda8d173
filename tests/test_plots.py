"""Pictures are legible at once: they fit on a screen, no text overlaps another, and what matters is marked."""

import numpy
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from scratch.tools import plots

SHORT, LONG = "ab", "a label\n as long as a customer's complaint about a delivery that never came, number"
draw = numpy.random.default_rng(0)


@pytest.fixture
def figure(monkeypatch):
    """The figure that was drawn last, in place of a file."""
    drawn = []
    monkeypatch.setattr(plots, "_write", lambda path, figure: drawn.append(figure))
    return lambda: drawn[-1]


def labels(text, count):
    return [f"{text}{k}" for k in range(count)]


def shares(count):
    values = draw.random((count, count)) ** 4 + numpy.eye(count)
    return values / values.sum(axis=1, keepdims=True)


def confusion(count, text):
    return lambda: plots.confusion_matrix("", shares(count), labels(text, count), f"{text} of the held-out rows")


def attention(num_rows, num_columns, text, marked=range(0, 1)):
    weights = draw.random((num_rows, num_columns))
    rows, columns = labels(text, num_rows), labels(text, num_columns)
    return lambda: plots.attention_map("", weights, rows, columns, marked, " ".join(columns))


def heads(num_layers, num_heads, length, text):
    weights = numpy.tril(draw.random((num_layers, num_heads, length, length)) ** 9) + 1e-9
    letters = ["M", " ", "\n", "i"] * (-(-length // 4))
    return lambda: plots.heads("", weights / weights.sum(axis=-1, keepdims=True), letters[:length], text)


def grid(count, text, right=()):
    images = [draw.random((8, 8, 3)) for _ in range(count)]
    return lambda: plots.image_grid("", images, [f"{text}{k}\n✗ automobile 99.9%\ncat 0.1%" for k in range(count)],
                                    right=right)


def points(count, text):
    return lambda: plots.labelled_points("", 100 * draw.random((count, 2)), labels(text, count), text)


PICTURES = {
    f"{kind.__name__} {' '.join(map(str, size))}{' long' * (text is LONG)}": kind(*size, text)
    for kind, sizes in (
        (confusion, [(1,), (2,), (5,), (18,), (36,), (37,), (60,), (100,)]),
        (attention, [(1, 1), (5, 2), (70, 7), (90, 1), (400, 12), (400, 30), (30, 300)]),
        (heads, [(1, 1, 1), (4, 4, 40), (12, 12, 3)]),
        (grid, [(0,), (1,), (10,)]),
        (points, [(1,)]),
    )
    for size in sizes for text in (SHORT, LONG)
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_fits_on_a_screen_and_its_texts_do_not_overlap(name, figure):
    PICTURES[name]()
    canvas = FigureCanvasAgg(figure())
    canvas.draw()
    width, height = canvas.get_width_height()
    assert width <= 2000 and height <= 1700
    texts = [text for text in figure().findobj(Text) if text.get_visible() and text.get_text().strip()]
    boxes = []
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 > -3 and box.y0 > -3 and box.x1 < width + 3 and box.y1 < height + 3, text.get_text()
        assert text.get_fontsize() >= 6 and len(text.get_text()) <= 200
        if text.get_rotation() % 90 == 0:
            boxes.append((text.get_text(), box))
    for k, (text, box) in enumerate(boxes):
        for other, around in boxes[k + 1 :]:
            across = min(box.x1, around.x1) - max(box.x0, around.x0)
            down = min(box.y1, around.y1) - max(box.y0, around.y0)
            assert min(across, down) < 2, (text, other)  # pixels
    for axes in figure().axes:  # the boxes of slanted labels overlap, so the space between them is compared
        slanted = [label for label in axes.get_xticklabels() if label.get_rotation() % 90]
        if len(slanted) > 1:
            step = axes.transData.transform([(1, 0), (0, 0)])
            assert (step[0] - step[1])[0] > 1.2 * slanted[0].get_fontsize() * figure().dpi / 72


def test_the_cells_of_a_confusion_matrix_hold_per_cent_of_their_row(figure):
    plots.confusion_matrix("", numpy.array([[0.996, 0.004, 0], [0.25, 0.75, 0], [0, 0, 0]]), ["a", "b", "c"])
    found = {text.get_position(): text.get_text() for text in figure().axes[0].texts}
    assert found == {(0, 0): "100", (0, 1): "25", (1, 1): "75"}


def test_the_attention_around_the_answer_is_drawn_and_the_answer_marked(figure):
    for count, marked in ((70, range(30, 32)), (400, range(200, 203)), (400, range(0, 1)), (400, range(399, 400))):
        attention(count, 7, "w", marked)()
        ticks = [label for axes in figure().axes for label in axes.get_yticklabels() if "w" in label.get_text()]
        red = [label.get_text() for label in ticks if label.get_color() == "red"]
        assert red == [f"w{k}" for k in marked]
        numbers = [int(label.get_text()[1:]) for label in ticks]
        assert numbers == list(range(numbers[0], numbers[-1] + 1)) and (len(numbers) == 70 or "of 400" in str(
            [text.get_text() for text in figure().findobj(Text)]
        ))


def test_right_and_wrong_images_have_frames_of_two_colours(figure):
    grid(3, "truth: cat", right=[True, False, True])()
    frames = [to_hex(axes.spines["left"].get_edgecolor()) for axes in figure().axes]
    assert frames == [to_hex(name) for name in ("green", "red", "green")]


def test_captions_tell_the_truth_and_mark_mistakes():
    from cifar10.pictures import with_likeliest

    p = numpy.eye(10)[[3, 5]]
    right, wrong = with_likeliest(["truth: cat", "truth: cat"], p, 1, numpy.array([3, 3]))
    assert right == "truth: cat\n✓ cat 100.0%" and wrong == "truth: cat\n✗ dog 100.0%"
    assert with_likeliest(["a.png"], p[:1], 2) == ["a.png\ncat 100.0%\nairplane 0.0%"]

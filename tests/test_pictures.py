"""The pictures of the README and the book: each is there for light and dark pages, legible, and can be drawn."""

import importlib.util
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib")
FOLDER = Path(__file__).resolve().parents[1] / "docs" / "pictures"
COLOUR = re.compile(r"(?:fill|stroke): (#[0-9a-f]{6})")


@pytest.fixture(scope="module")
def draw():
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(FOLDER))
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before


def contrast(colour, paper):
    """The ratio of luminances, as WCAG 2 defines it: 1 to 21."""
    levels = [[int(some[k : k + 2], 16) / 255 for k in (1, 3, 5)] for some in (colour, paper)]
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in level] for level in levels]
    dark, light = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in linear)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_of_black_on_white_is_21():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_each_picture_is_there_twice_and_no_other(draw):
    wanted = {f"{name}-{page}.svg" for name in draw.PICTURES for page in ("light", "dark")}
    assert {path.name for path in FOLDER.glob("*.svg")} == wanted


def test_each_picture_has_a_docstring_and_a_text_for_those_who_cannot_see_it(draw):
    assert draw.ALT.keys() == draw.PICTURES.keys()
    for name, function in draw.PICTURES.items():
        assert function.__doc__, name
        assert 20 < len(draw.ALT[name]) < 400 and '"' not in draw.ALT[name], name


def test_pictures_are_well_formed_small_and_legible(draw):
    sizes = {}
    for path in FOLDER.glob("*.svg"):
        text = path.read_text(encoding="utf-8")
        sizes[path.name], ink = len(text), draw.style.INKS[path.stem.rpartition("-")[2]]
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg") and root.get("viewBox"), path.name
        for element in root.iter("{http://www.w3.org/2000/svg}text"):
            style = element.get("style")
            found = COLOUR.search(style)  # without one, text is black
            assert contrast(found[1] if found else "#000000", ink.paper) >= 4.5, (path.name, element.text)
            size = re.search(r"(?:font-size: |font: [^']*?)([\d.]+)px", style)
            assert float(size[1]) >= 9, (path.name, element.text)
    assert max(sizes.values()) < 120_000 and sum(sizes.values()) < 1_500_000


@pytest.mark.parametrize("name", ["masks", "schedules"])
def test_a_picture_is_drawn_alike_twice(draw, name, tmp_path):
    first = [path.read_bytes() for path in draw.style.write(draw.PICTURES[name], name, tmp_path)]
    again = [path.read_bytes() for path in draw.style.write(draw.PICTURES[name], name, tmp_path)]
    assert first == again and first[0] != first[1]


def test_an_unknown_name_is_refused(draw):
    with pytest.raises(SystemExit, match="no picture 'nothing'"):
        draw.main(["nothing"])

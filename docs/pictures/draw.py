"""Draw the pictures of the README and of the rendered book, each for light and dark pages.

  python docs/pictures/draw.py               all of them; the longest run takes half a minute
  python docs/pictures/draw.py names speed   these two

A picture is a function of one of the modules below, whose docstring names the run or the weights that it shows. On one
machine the same command writes the same bytes; another machine rounds differently.
The data sets are found as the programs find them (SCRATCH_DATA).
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
for place in (HERE, ROOT / "examples", ROOT):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))

import gallery  # noqa: E402
import gallery_classes  # noqa: E402
import part1  # noqa: E402
import part2  # noqa: E402
import part3  # noqa: E402
import part4  # noqa: E402
import project  # noqa: E402
import style  # noqa: E402

MODULES = (project, gallery, gallery_classes, part1, part2, part3, part4)
PICTURES = {name: draw for module in MODULES for name, draw in module.ALL.items()}
ALT = {name: words for module in MODULES for name, words in module.ALT.items()}


def main(names: list[str]) -> None:
    """Draw the pictures with these names, or all."""
    if unknown := set(names) - PICTURES.keys():
        sys.exit(f"error: no picture {min(unknown)!r}; there are: {', '.join(PICTURES)}")
    for name in names or PICTURES:
        for path in style.write(PICTURES[name], name, HERE):
            print(f"{path.stat().st_size:>8,} bytes  {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])

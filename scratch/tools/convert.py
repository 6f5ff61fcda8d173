"""Convert a weights file from .npz to .safetensors, or back. Arrays, their types and the metadata stay the same.

    python -m scratch.tools.convert weights/cifar10.npz cifar10.safetensors

Read next: `to_torch.py`.
"""

from pathlib import Path

from scratch.checks import ScratchError
from scratch.tools.files import FORMS, read_arrays, write_arrays
from scratch.tools.program import Parser, run, writable_file


def main() -> None:
    """Read the first file that the command line names, and write the second."""
    parser = Parser(__doc__.partition("\n\nRead next")[0], prog="python -m scratch.tools.convert")
    parser.add_argument("source", type=Path, help="weights file to read")
    parser.add_argument("target", type=Path, help="weights file to write; an existing file is replaced")
    flags = parser.parse_args()
    for path in (flags.source, flags.target):
        if path.suffix not in FORMS:
            raise ScratchError(f"{path}: expected a name that ends in {' or '.join(FORMS)}")
    writable_file(flags.target, flags.source)
    write_arrays(flags.target, *read_arrays(flags.source))
    print(f"Wrote {flags.target}")


if __name__ == "__main__":
    run(main)

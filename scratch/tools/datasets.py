"""The data sets: where each comes from, and how it is downloaded, checked and read.

A program looks for its data in four places: the path given with `--data`; the folder in the environment variable
SCRATCH_DATA, which has a subfolder for each set; the user's cache; and finally the set's own address, from which it is
downloaded into the cache. pooch handles the last two (`pip install -e '.[data]'`).

    folder = find("names", flags.data)
    lines = read_labelled_lines(folder)      # {"Arabic": ["Khoury", ...], ...}

Each downloaded file must match the checksum recorded here, and appears in the cache only when it is complete.

Read next: `weights.py`.
"""

import gzip
import os
import re
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy

from scratch.checks import ScratchError
from scratch.tools.extras import extra
from scratch.tools.files import read_metadata, remove_when_stopped
from scratch.tools.history import progress
from scratch.tools.incoming import decoded, lines, opened, pieces, read_text

_INCLUDED = Path(__file__).resolve().parents[2] / "weights"
_LONGEST_LINE = 2**16  # characters in a GloVe file; a line of 300 numbers has about 3,000


class Source(NamedTuple):
    """A data set's address, the checksums of its files (SHA-256, or MD5 after "md5:"), and manual instructions.

    A set without an address must be downloaded manually.
    """

    address: str
    files: Mapping[str, str]
    by_hand: str


SOURCES = {
    # "Tiny Shakespeare", from Karpathy's char-rnn.
    "shakespeare": Source(
        "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/"
        "tinyshakespeare/",
        {"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
        "download input.txt from https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare and pass it "
        "with --data",
    ),
    # Alice in Wonderland, Project Gutenberg's book 11, from which the text of Brownlee's tutorial was cut.
    "alice": Source(
        "https://raw.githubusercontent.com/frozenpandaman/Tweext/4176cb8ae1f47109c0b3524cbd7500c251e373be/",
        {"alice.txt": "fbcaee1f2df4c5ec08aa77ff87eebf808851842aca5bccb40bf6673461ec2e97"},
        "download https://www.gutenberg.org/cache/epub/11/pg11.txt and pass it with --data",
    ),
    # Aesop's Fables, Project Gutenberg's book 21.
    "aesop": Source(
        "https://raw.githubusercontent.com/frozenpandaman/Tweext/4176cb8ae1f47109c0b3524cbd7500c251e373be/",
        {"aesop.txt": "ea5483f04c1ec0025cda5ae406368daa80740e76ae4bd956237dabdc67d3a1f5"},
        "download https://www.gutenberg.org/cache/epub/21/pg21.txt and pass it with --data",
    ),
    # AG's News, as split by Zhang et al. 2015.
    "ag_news_csv": Source(
        "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/555590db4219b1243abb1918effd6a7425a2d75f/data/"
        "ag_news_csv/",
        {
            "train.csv": "md5:b1a00f826fdfbd249f79597b59e1dc12",
            "test.csv": "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
            "classes.txt": "612dbfa932f07a6ed837295a7d5746ce7412e7bb4bc32ba919fdb3cda3a1b9b5",
        },
        "download train.csv, test.csv and classes.txt from "
        "https://github.com/mhjabreel/CharCnn_Keras/tree/master/data/ag_news_csv into a folder ag_news_csv in "
        "SCRATCH_DATA",
    ),
    # Reviews of television series on Allocine.fr (Dong and de Melo 2018).
    "french_reviews": Source(
        "", {}, "download the French reviews from http://sentiment.nlproc.org/ and put train.csv, val.csv and "
        "test.csv, with columns review and polarity, into a folder french_reviews in SCRATCH_DATA",
    ),
    # Phrases from Rotten Tomatoes reviews, used in a Kaggle competition.
    "movie_reviews": Source(
        "", {}, "download train.tsv.zip from https://www.kaggle.com/c/sentiment-analysis-on-movie-reviews/data (an "
        "account is needed), unpack it, and put train.tsv into a folder movie_reviews/kaggle in SCRATCH_DATA",
    ),
    # SQuAD 1.1 (Rajpurkar et al. 2016).
    "squad": Source(
        "https://rajpurkar.github.io/SQuAD-explorer/dataset/",
        {
            "train-v1.1.json": "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
            "dev-v1.1.json": "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
        },
        "download train-v1.1.json and dev-v1.1.json from https://rajpurkar.github.io/SQuAD-explorer/ into a folder "
        "squad in SCRATCH_DATA",
    ),
    # CIFAR-10 (Krizhevsky 2009).
    "cifar10": Source(
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-python.tar.gz": "md5:c58f30108f718f92721af3b95e74349a"},
        "download https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz and pass it with --data",
    ),
    # GloVe word vectors (Pennington et al. 2014).
    "glove": Source(
        "", {}, "download https://nlp.stanford.edu/data/glove.6B.zip, unpack it, and put glove.6B.100d.txt into a "
        "folder glove in SCRATCH_DATA",
    ),
    # The names of the PyTorch tutorial, from its first author's repository. (The tutorial's own data.zip has no
    # published checksum; a later version of the same files has 24 fewer names.)
    "names": Source(
        "https://raw.githubusercontent.com/spro/practical-pytorch/5e79b652c199421f54e11534b6bdf6257637a49b/data/names/",
        {
            "Arabic.txt": "6f424a8dbe51cbbbabab7a57d38b617210125e4e3991f3c657cb79b8f104bafc",
            "Chinese.txt": "49263ef55a8cb1740e841d65cad8214b2f9b5b869bc534c811746422496fa91e",
            "Czech.txt": "145bbbd6d0816578f03388e92c264d39ef1c60df920b081d371fa5c5cc055a8e",
            "Dutch.txt": "924f32b635170eae561f84538632138fc07d4c8bbd70ba3fb980de1ecc4d2af3",
            "English.txt": "9cca037066d3d5989e24bc01801416162de506b5e28e15b7c092a47905d29bf2",
            "French.txt": "81e65b36c60ed5b89a17422f6edcadbb89546f38ad69e960e64e7ba682012a95",
            "German.txt": "7449cd590b97a733e18d613a4155decd77ec35dc5f8aadd7a82204dce4f051db",
            "Greek.txt": "3555b5186de7f401e6d991b088e9e644ca3099116477818c25ab5793801389e6",
            "Irish.txt": "cf8c7013256252a88d2503127b87282a11f21b2ff6db1bded68834c19a1ec058",
            "Italian.txt": "f88414c27d0606a11a678b4859277828c2565d6cc4d9ee932deef6e94f3b35e4",
            "Japanese.txt": "e0e717e114fec3e7eade4d9dabe0067c475f43147e36a22b47902ee76ad9e67f",
            "Korean.txt": "cd54221ccb362a6cba4c78828838cf3268a0e59744767a37cf6ec4b74036b136",
            "Polish.txt": "45bab898af2f60ed3a728bbf6980e28821011a7caa53227553b5785903a40826",
            "Portuguese.txt": "50a8735f41f4f73757c8ce5b16cb0275cd86b2b214bcbc8c9805f508cb131c53",
            "Russian.txt": "43b3e64ce351f77f1ac9e0cdf7566012d127f4371875fd25208845b5c9d6f7c3",
            "Scottish.txt": "78d0252711d87d948ea86fe34826c51d2d794a8e52d15b5d6f7b6244d45d62dd",
            "Spanish.txt": "1bcb462ed3316756a85781d68232bddae04498fdddd5d9219c53fd1fbdeba7a7",
            "Vietnamese.txt": "f3f9e4164ab47601178a6e45b216464a64122f49d05541f24bf18a757253281d",
        },
        "download https://download.pytorch.org/tutorial/data.zip, unpack it, and pass its folder data/names with "
        "--data (it may have slightly fewer names)",
    ),
}


def find(name: str, given: str | Path | None = None) -> Path:
    """The folder of the data set `name`: `given` if not None, else in SCRATCH_DATA, the cache, or downloaded.

    Raises: ScratchError, with manual instructions, when the data set is not found and cannot be downloaded.
    """
    source = SOURCES[name]
    if given is not None:
        if not Path(given).exists():
            raise ScratchError(f"{given}: no such file or folder; to get the data, {source.by_hand}")
        return Path(given)
    place = os.environ.get("SCRATCH_DATA")
    if place and (Path(place) / name).is_dir():
        return Path(place) / name
    elsewhere = f"not in SCRATCH_DATA ({place or 'which is not set'})"
    if not source.address:
        raise ScratchError(f"the data set {name} is {elsewhere}; {source.by_hand}")
    pooch = extra("pooch", f"the data set {name} is {elsewhere}; downloading it", source.by_hand)
    pooch.get_logger().setLevel("ERROR")  # the bar and our own messages suffice
    folder = Path(pooch.os_cache("scratch")) / name
    registry = {file: digest if ":" in digest else f"sha256:{digest}" for file, digest in source.files.items()}
    try:
        fetcher = pooch.create(folder, source.address, registry=registry, retry_if_failed=1)
        for file in registry:  # cached files whose checksums match are not downloaded again
            fetcher.fetch(file, downloader=_download)
    except (OSError, ValueError) as error:  # no network, a full disk or a wrong checksum
        raise ScratchError(
            f"the data set {name} is {elsewhere}; {source.by_hand} (downloading it failed: {_cause(error, source)})"
        ) from error
    return folder


def _download(address: str, path: str, fetcher: Any) -> None:
    """Download to pooch's temporary file."""
    remove_when_stopped(path)
    extra("pooch", "downloading").HTTPDownloader(progressbar=True)(address, path, fetcher)


def _cause(error: Exception, source: Source) -> str:
    """Why a download failed, in a few words."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if (response := getattr(error, "response", None)) is not None:
        return f"{urlsplit(source.address).hostname} answered {response.status_code} {response.reason}"
    if isinstance(error, OSError):
        return f"no connection to {urlsplit(source.address).hostname}"
    return "a file has the wrong checksum"


class TrainedOn(NamedTuple):
    """The data that weights were trained on, so that evaluation can find it and check that it is unchanged.

    name: a known data set. place: the path of other data, or None. digest: the recorded one, or None.
    """

    weights: Path
    name: str
    place: Path | None
    digest: str | None

    def expect(self, digest: str) -> None:
        """Raise ScratchError if the data found has a digest other than the recorded one."""
        if self.digest not in (None, digest):
            where = self.place or f"the data set {self.name}"
            raise ScratchError(f"{where}: not the data that {self.weights} was trained on; pass that with --data")


def recorded(name: str, given: str | Path | None, digest: str) -> dict[str, str]:
    """The metadata from which `trained_on` can find the training data, `find(name, given)`, again."""
    return {"data": name if given is None else str(Path(given).resolve()), "digest": digest}


def trained_on(weights: Path, name: str, given: Path | None) -> TrainedOn:
    """The data to evaluate weights on: `given` if not None, else the data recorded in the weights file.

    The weights included in this project record no data; they were trained on the known set `name`.
    Raises: ScratchError, which asks for --data, when the data is unknown or no longer there.
    """
    if given is not None:
        return TrainedOn(weights, name, given, None)
    metadata = read_metadata(weights)
    data, digest = metadata.get("data", name if weights.resolve().parent == _INCLUDED else ""), metadata.get("digest")
    digest = digest if isinstance(digest, str) else None
    if isinstance(data, str) and data in SOURCES:
        return TrainedOn(weights, data, None, digest)
    if not data or not isinstance(data, str):
        raise ScratchError(f"{weights}: does not record its training data; give --data")
    if not (Path(data).is_file() or Path(data).is_dir()):
        raise ScratchError(f"{weights}: was trained on {data}, which no longer exists; give --data")
    return TrainedOn(weights, name, Path(data), digest)


def find_glove(given: Path | None) -> Path:
    """The file of 100-dimensional GloVe vectors: `given`, or the one in the data set's folder. Raises: as `find`."""
    folder = find("glove", given)
    if folder.is_file():
        return folder
    files = sorted(file for file in folder.glob("glove.6B.100d*") if file.suffix in (".txt", ".gz"))
    if not files:
        raise ScratchError(f"{folder}: has no glove.6B.100d.txt")
    return files[0]


def read_labelled_lines(folder: Path) -> dict[str, list[str]]:
    """The distinct lines of each LABEL.txt in `folder`, by label.

    The labels are sorted (capitals first), so their order is the same on every machine. Lines are not stripped. Blank
    lines and hidden files are skipped.
    Raises: ScratchError for a folder with fewer than two such files, or a file that is empty, or whose name or text is
        not UTF-8.
    """
    if not folder.is_dir():
        raise ScratchError(f"{folder}: expected a folder of LABEL.txt files with one example per line")
    files = [path for path in folder.glob("*.txt") if path.is_file() and not path.name.startswith(".")]
    files.sort(key=lambda path: path.stem)
    if len(files) < 2:
        raise ScratchError(f"{folder}: has {len(files)} LABEL.txt files; a classifier needs at least two")
    found = {}
    for path in files:
        label = decoded(path.stem, f"the name of {path}")
        found[label] = list(dict.fromkeys(line for line in read_text(path).split("\n") if line.strip()))
        if not found[label]:
            raise ScratchError(f"{path}: is empty; expected one example per line (omit the file of an empty label)")
    return found


def read_glove(path: str | Path, wanted: Collection[str] | None = None) -> tuple[list[str], numpy.ndarray]:
    """Read GloVe vectors: the words of the file, or those in `wanted`, and their vectors (num_words, dim), float32.

    Each line holds a word and its vector, separated by spaces. The first line sets `dim`; on later lines, everything
    before the last `dim` numbers belongs to the word. If a word occurs twice, its first vector is used. Reading stops
    when all wanted words are found. The file may be gzipped (.gz).
    Source: Pennington et al. 2014, https://nlp.stanford.edu/projects/glove/
    Raises: ScratchError, with the line's number, for a malformed line; also when no wanted word is found.
    """
    rows, dim, number = dict[str, numpy.ndarray](), 0, 0
    try:
        with opened(path) as file:
            unpacked: Any = gzip.GzipFile(fileobj=file) if str(path).endswith(".gz") else file
            for line in progress(lines(pieces(unpacked, path), path), "reading word vectors"):
                if wanted is not None and len(rows) == len(wanted):
                    break
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise ValueError(f"more than {_LONGEST_LINE} characters")
                word, *numbers = line.rstrip().rsplit(" ", dim or -1)
                dim = dim or len(numbers)
                if dim == 1:
                    raise ValueError("expected a vector, got one number; is this the header of a word2vec file?")
                if " " in word and re.search(r" -?\d+\.\d+(e-?\d+)?$", word):  # in the largest files, words have spaces
                    raise ValueError(f"expected {dim} numbers, got more")
                if not numbers or len(numbers) != dim:
                    raise ValueError(f"expected {dim or 'a vector of'} numbers, got {len(numbers)}")
                if word in rows or (wanted is not None and word not in wanted):
                    continue
                with numpy.errstate(over="ignore"):
                    row = numpy.array(numbers, dtype=numpy.float32)
                if not numpy.isfinite(row).all():
                    raise ValueError("not all numbers are finite")
                rows[word] = row
    except ScratchError:
        raise
    except (EOFError, zlib.error, ValueError) as error:
        raise ScratchError(f"{path}: not a file of GloVe vectors (line {number or 1}: {error})") from None
    if not rows:
        raise ScratchError(f"{path}: has no vector for any of the words needed")
    return list(rows), numpy.array(list(rows.values()))

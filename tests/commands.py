"""The commands of all programs, with arguments by which each runs in seconds on a little data of its own."""

import json
import re
import signal
import subprocess
import time

import numpy as np
import programs
import pytest
from cifar10_files import batch_files, some_images, write
from programs import ROOT, free_port
from test_bidaf_programs import article

from scratch.tools.files import read_metadata

COMMANDS = [
    "company_names.py train --smoke", "company_names.py generate", "company_names.py evaluate --count 20",
    "alice train --smoke", "alice generate", "alice evaluate --smoke",
    "char_lm train --smoke --threads 2", "char_lm sample", "char_lm evaluate text.txt",
    "char_lm compare text.txt --order 3 --plot c.png",
    "gpt train --smoke --workers 2", "gpt sample", "gpt evaluate text.txt", "gpt attention",
    "char_cnn train --smoke", "char_cnn predict --text goal", "char_cnn evaluate --data_path news.csv",
    "movie_reviews train --smoke --model lstm", "movie_reviews predict dull",
    "movie_reviews evaluate --data phrases",
    "cifar10 train --smoke", "cifar10 evaluate --data images", "cifar10 show --data images",
    "name_languages train --smoke", "name_languages predict Satoshi", "name_languages evaluate --data names",
    "name_languages serve --port PORT",
    "bidaf train --smoke", "bidaf prepare --data squad --glove glove.txt", "bidaf char2vec --data squad", "bidaf ask",
    "bidaf evaluate --data squad",
]
NEEDS = {"name_languages serve --port PORT": "fastapi_offline", "bidaf char2vec --data squad": "sklearn"}
STOPPED = re.compile(r"\w+: stopped(; --resume continues after epoch \d+)?\n")


def marked(commands):
    """The commands as cases of a test, which is skipped for those whose packages are missing."""
    needs = {command: [pytest.mark.needs(NEEDS[command])] if command in NEEDS else [] for command in commands}
    return [pytest.param(command, marks=marks) for command, marks in needs.items()]


def make_data(place):
    """Write a little of every data set to the folder `place`."""
    (place / "text.txt").write_text("How much wood would a woodchuck chuck? " * 40)
    (place / "news.csv").write_text("".join(f'"{k % 4 + 1}","Title","Text {k}"\n' for k in range(40)))
    (place / "phrases").mkdir()
    rows = [f"{k}\t{k}\tquiet , moving film {k}\t{k % 5}\n" for k in range(1, 60)]
    (place / "phrases" / "train.tsv").write_text("PhraseId\tSentenceId\tPhrase\tSentiment\n" + "".join(rows))
    write(place / "images", batch_files(some_images(), "py"))
    (place / "names").mkdir()
    for label in read_metadata(ROOT / "weights" / "name_languages.npz")["labels"]:
        (place / "names" / f"{label}.txt").write_text("".join(f"{label}{end}\n" for end in "abcdefghijklmn"))
    (place / "squad").mkdir()
    for name, title in (("train-v1.1.json", "A"), ("dev-v1.1.json", "Warsaw")):
        data = {"version": "1.1", "data": [article(title, ["Ann", "Bob", "Eve", "Kim", "Lea"])]}
        (place / "squad" / name).write_text(json.dumps(data), encoding="utf-8")
    numbers = np.random.default_rng(0).normal(size=(3, 100))
    lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in zip(["lives", "in", "rome"], numbers, strict=True)]
    (place / "glove.txt").write_text("".join(lines))


def until(condition, process):
    """Wait until the condition holds, while the process runs."""
    limit = time.monotonic() + 60
    while not condition():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.001)


class Program:
    """A command that runs, and what it has printed."""

    def __init__(self, command, place, env=(), **options):
        self.errors = place / "stderr"
        name, *arguments = command.replace("PORT", str(free_port())).split()
        with open(self.errors, "wb") as file:
            # Python says when it has imported a module: so it is known when the first line of the program has run.
            env = {"PYTHONPROFILEIMPORTTIME": "1", "PYTHONUNBUFFERED": "", **dict(env)}
            options |= {"stderr": file, "stdin": subprocess.DEVNULL}
            self.process = programs.start(name, *arguments, cwd=place, env=env, **options)
        self.wait_for("ctrl_c")

    def wait_for(self, module):
        """Wait until the program has imported `module`."""
        pattern = re.compile(rf"\| +{module}\n")
        until(lambda: pattern.search(self.errors.read_text()), self.process)

    def said(self):
        lines = self.errors.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("import time:"))

    def interrupt(self, times=1):
        """Send Ctrl-C, and check the end. Returns the exit code, and the rest of the output."""
        for _ in range(times):
            self.process.send_signal(signal.SIGINT)
        out, _ = self.process.communicate(timeout=60)
        code, said = self.process.returncode, self.said()
        assert code in (0, 130), (code, said)
        assert STOPPED.fullmatch(said) if code else not said, said
        return code, out


def unfinished(place):
    return [*place.rglob("*.unfinished"), *place.rglob("tmp*")]


def files(place):
    paths = [path for path in place.rglob("*") if path.is_file() and path.suffix != ".unfinished"]
    return {path: path.read_bytes() for path in paths if path.name != "stderr"}

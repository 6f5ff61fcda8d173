"""Ctrl-C at any moment of any command: exit code 130 and one line on stderr; a file is the old one, or complete."""

import http.server
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial

import programs
import pytest
from commands import COMMANDS, Program, files, make_data, marked, unfinished, until
from programs import ROOT

from scratch.tools.datasets import Source


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    make_data(place)
    return place


@pytest.mark.thorough
@pytest.mark.parametrize("command", marked(COMMANDS))
def test_at_a_random_moment(command, place):
    program = Program(command, place)
    time.sleep(random.Random(command).uniform(0, 0.6))
    program.interrupt()
    assert not unfinished(place)


SLOW_WRITES = """
import os, time
real, left = os.fsync, [int(os.environ["WRITES"])]
def fsync(file):
    real(file)
    left[0] -= 1
    if not left[0]:
        open("writing", "w").close()
        time.sleep(60)
os.fsync = fsync
"""


@pytest.mark.parametrize(("command", "number"), [
    ("company_names.py train --smoke", 1), ("company_names.py train --smoke", 3), ("char_lm train --smoke", 2),
    ("char_lm train --smoke", 4), ("bidaf prepare --data squad --glove glove.txt", 1),
    ("char_lm compare text.txt --order 3 --plot c.png --report c.json", 2),
])
def test_during_a_write(command, number, place, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(SLOW_WRITES)
    for folder in place.glob("runs/*/*"):
        folder.unlink()
    paths = [str(tmp_path), programs.environment()["PYTHONPATH"]]
    program = Program(command, place, {"PYTHONPATH": os.pathsep.join(paths), "WRITES": str(number)})
    until((place / "writing").exists, program.process)
    (place / "writing").unlink()
    assert unfinished(place)
    before = files(place)
    assert program.interrupt()[0] == 130
    assert not unfinished(place)
    assert files(place) == before


@pytest.mark.parametrize("command", [command for command in COMMANDS if " train " in command])
def test_after_the_first_epoch_and_again_at_once(command, place):
    program = Program(command, place)
    while not (line := program.process.stdout.readline()).startswith("epoch"):
        assert line, program.said()
    program.interrupt(times=3)
    assert "--resume continues after epoch" in program.said() or program.process.returncode == 0


@pytest.mark.parametrize("attempt", range(4))
def test_after_the_last_line(attempt, place):
    program = Program("company_names.py generate --count 5", place)
    for _ in range(5):
        assert program.process.stdout.readline()
    time.sleep(0.005 * attempt)
    program.interrupt()


FILLS_THE_PIPE = """
import os, time
from scratch.tools import program
def main():
    print("printed")
    os.set_blocking(1, False)
    try:
        while True:
            os.write(1, b".")
    except BlockingIOError:
        os.set_blocking(1, True)
        open("full", "w").close()
        time.sleep(60)
program.run(main)
"""


def test_nobody_reads_what_was_printed(place):
    (place / "fills.py").write_text(FILLS_THE_PIPE)
    env = programs.environment() | {"PYTHONUNBUFFERED": ""}  # print keeps a short text
    process = subprocess.Popen([sys.executable, "fills.py"], cwd=place, env=env, encoding="utf-8",
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until((place / "full").exists, process)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "fills: stopped\n"
    with pytest.raises(subprocess.TimeoutExpired):  # it waits for the reader
        process.wait(timeout=0.3)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    out, err = process.communicate()
    assert set(out) == {"."} and not err


class Endless(http.server.BaseHTTPRequestHandler):
    """A server whose file never ends."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            while True:
                self.wfile.write(bytes(2**16))
                time.sleep(0.01)

    def log_message(self, *args):
        pass


@pytest.mark.needs("pooch")
def test_during_a_download(place, tmp_path):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = Source(f"http://127.0.0.1:{server.server_port}/", {"a.txt": "0" * 64}, "")
        (tmp_path / "downloads.py").write_text(
            "import ctrl_c\nfrom scratch.tools import datasets, program\nfrom scratch.tools.datasets import Source\n"
            f"datasets.SOURCES['names'] = {source!r}\nprogram.run(lambda: datasets.find('names'))"
        )
        env = programs.environment() | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "SCRATCH_DATA": ""}
        env["PYTHONPATH"] += f"{os.pathsep}{ROOT / 'examples'}"
        process = subprocess.Popen([sys.executable, "downloads.py"], cwd=tmp_path, env=env, stderr=subprocess.PIPE)
        until(lambda: any(path.stat().st_size for path in (tmp_path / "cache").rglob("tmp*")), process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        server.shutdown()
    assert process.returncode == 130 and b"downloads: stopped\n" in err and b"Traceback" not in err
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_program_that_ignores_it_goes_on_ignoring_it(place):
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)  # as nohup does, or `&` in a script
    program = Program("company_names.py generate --count 5", place, preexec_fn=ignore)
    code, out = program.interrupt()
    assert code == 0 and len(out.splitlines()) == 5


def imported(program):
    return re.findall(r"import time:.*\| +(\S+)\n", program.errors.read_text())


@pytest.mark.parametrize("name", sorted({command.split()[0] for command in COMMANDS}))
def test_nothing_is_imported_before(name, place):
    """What comes before the handler is Python's own start: it prints a traceback, and nothing can be done about it."""
    (place / "empty").mkdir(exist_ok=True)
    (place / "empty" / "__main__.py").write_text("")
    start = subprocess.run([sys.executable, "-X", "importtime", "empty"], cwd=place, capture_output=True, text=True,
                           env=programs.environment(), check=True)
    own = set(re.findall(r"import time:.*\| +(\S+)\n", start.stderr))
    program = Program(f"{name} --help", place)
    program.interrupt()
    names = imported(program)
    assert set(names[: names.index("ctrl_c")]) - own <= {"signal", "enum", "types"}


def test_a_program_that_is_imported_leaves_ctrl_c_alone():
    code = "import signal, company_names; assert signal.getsignal(2) is signal.default_int_handler"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "examples", env=programs.environment(), check=True)


@pytest.mark.slow
@pytest.mark.parametrize("command", marked(COMMANDS))
def test_at_many_moments(command, place):
    draw, limit, codes = random.Random(command), 0.5, []
    while len(codes) < 14:
        program = Program(command, place)
        time.sleep(draw.uniform(0, limit))
        codes.append(program.interrupt()[0])
        limit = limit * 0.8 if codes[-1] == 0 else min(limit * 1.2, 10)  # until about the command's end
        assert not unfinished(place)
    assert codes.count(130) > 4

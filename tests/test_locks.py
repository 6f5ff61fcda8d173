"""Two runs in one folder at once: the second is refused, whatever the program, and a killed one keeps nobody out."""

import errno
import os
import signal

import programs
import pytest
from commands import COMMANDS, Program, files, make_data, marked, until

from scratch.checks import ScratchError
from scratch.tools import locks
from scratch.tools.locks import claim

WRITERS = [command for command in COMMANDS if " train " in command or "bidaf prepare" in command or "2vec" in command]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    make_data(place)
    return place


def arguments(command, folder):
    return [*command.split(), "--out", folder]


def begin(command, place, folder):
    """A command that has claimed the folder, stopped there."""
    program = Program(f"{command} --out {folder}", place)
    lock = folder / ".lock"
    until(lambda: lock.exists() and str(program.process.pid) in lock.read_text(), program.process)
    program.process.send_signal(signal.SIGSTOP)
    return program.process


def end(process):
    process.kill()
    process.communicate()


@pytest.mark.parametrize("command", marked(WRITERS))
def test_the_second_is_refused_by_name_and_changes_nothing(command, place, tmp_path):
    first = begin(command, place, tmp_path)
    before = files(tmp_path)
    said = programs.refused(*arguments(command, tmp_path), cwd=place)
    assert f"{tmp_path}: in use by process {first.pid} on " in said and "choose another folder" in said
    if "company_names" in command:
        assert programs.refused(*arguments(command, tmp_path), "--resume", cwd=place) == said
    assert files(tmp_path) == before
    end(first)


@pytest.mark.parametrize("command", ["company_names.py train --smoke", "char_lm train --smoke --epochs 3"])
def test_a_killed_run_is_resumed_and_its_leftovers_go(command, place, tmp_path):
    first = begin(command, place, tmp_path)
    until((tmp_path / "checkpoint.npz").exists, _going_on(first))
    end(first)
    for name in ("weights.npz", "loss.png", "r.json", "notes.txt"):  # by the number of a process that lives
        (tmp_path / f".{name}.{os.getpid()}.unfinished").touch()
    report = "--report", tmp_path / "r.json"
    code, _, err = programs.run(*arguments(command, tmp_path), "--resume", *report, cwd=place)
    assert code == 0, err
    left = [path.name for path in (tmp_path).glob(".*.unfinished")]
    assert left == [f".notes.txt.{os.getpid()}.unfinished"]  # which is no file of the run


def _going_on(process):
    process.send_signal(signal.SIGCONT)
    return process


def test_of_two_that_start_at_once_one_is_refused(place):
    command = ["company_names.py", "--out", "both"]
    both = [programs.start(*command, cwd=place) for _ in range(2)]
    until(lambda: any(process.poll() is not None for process in both), _Either())
    (refused,) = [process for process in both if process.poll() is not None]
    assert refused.returncode == 2 and "in use by process" in refused.communicate()[1]
    for process in both:
        end(process)


class _Either:
    def poll(self):
        return None


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def none(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", none)
    (tmp_path / ".weights.npz.1.unfinished").touch()
    claim(tmp_path, ["weights.npz"])
    assert capsys.readouterr().out == (
        f"{tmp_path}: cannot be locked (No locks available); do not start a second run in this folder\n"
    )
    assert (tmp_path / ".weights.npz.1.unfinished").exists()  # it may be being written


def test_names_with_another_prefix_are_another_run(tmp_path, monkeypatch):
    claim(tmp_path, ["a-weights.npz"], "a-")
    claim(tmp_path, ["a-weights.npz"], "a-")  # a process that has a claim may make it again
    monkeypatch.setattr(locks, "_claimed", {})  # as another process sees it
    claim(tmp_path, ["b-weights.npz"], "b-")
    with pytest.raises(ScratchError, match=rf"in use by process {os.getpid()} on .*; wait"):
        claim(tmp_path, ["a-weights.npz"], "a-")

"""docs/interchange.md: its blocks run in order, and print what the page says."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "interchange.md"
BLOCK = re.compile(r"^```(\{code-cell\} ipython3|python|text)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def blocks():
    """The page's code in order, each block with the output that follows it, or None where the page has none."""
    found = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    following = [*found[1:], ("", "")]
    return [(code, after if name == "text" else None)
            for (kind, code), (name, after) in zip(found, following, strict=True) if kind != "text"]


def test_every_block_without_an_output_of_its_own_is_a_cell():
    outputs = [expected for _, expected in blocks() if expected is not None]
    assert len(outputs) == PAGE.read_text(encoding="utf-8").count("```text") == 3
    assert all(("torch" in code) == (expected is not None) for code, expected in blocks())


@pytest.mark.needs("safetensors", "torch")
def test_the_page_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    state, scope = torch.random.get_rng_state(), {}
    for code, expected in blocks():
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, PAGE.name, "exec"), scope)
        assert printed.getvalue() == expected or (expected is None and printed.getvalue()), code
    torch.random.set_rng_state(state)
    right = (scope["scores"].argmax(axis=1) == scope["same"][2000:]).mean()
    assert right > 0.95  # of words of which 75 % lack the property
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words.safetensors", "words_torch.safetensors"]

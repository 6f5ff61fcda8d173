"""The weights that come with the company names."""


import company_names as PROGRAM
import numpy as np
import pytest
from programs import DATA, ROOT

from scratch.tools.files import read_lines


@pytest.mark.parametrize(("name", "loss"), [("8", 2.2), ("32", 0.75), ("64", 0.6), ("lstm", 0.7)])
def test_the_weights_that_come_with_it(name, loss):
    from scratch.backend import to_device, to_host
    from scratch.losses import SoftmaxCrossEntropy
    from scratch.tools.files import read_metadata
    from scratch.tools.weights import load_vocab, load_weights

    folder = ROOT / "weights"
    metadata, vocab = read_metadata(folder / f"companies_{name}.npz"), load_vocab(folder / "companies_vocab.json")
    model = PROGRAM.build(metadata["layer"], vocab.size, metadata["hidden"])
    load_weights(model, folder / f"companies_{name}.npz")
    assert vocab.w2i == metadata["vocabulary"]
    names = [name.strip() for name in PROGRAM.COMPANIES.split(",")]
    assert sorted(names) == metadata["names"]
    total = 0.0
    for company in names:
        ids = to_device([vocab.encode(f"^{company}$")])
        total += SoftmaxCrossEntropy().loss(model.forward(ids[:, :-1]), ids[:, 1:]) * (len(company) + 1)
    assert total / sum(len(company) + 1 for company in names) < loss
    other = PROGRAM.build(metadata["layer"], vocab.size, metadata["hidden"])
    load_weights(other, folder / f"companies_{name}.json")
    assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(model.params(), other.params(), strict=True))


def test_the_embedded_list_is_the_real_one():
    data = DATA / "companies" / "companies.txt"
    if not data.exists():
        pytest.skip("the data set is not here")
    assert read_lines(data) == [name.strip() for name in PROGRAM.COMPANIES.split(",")]

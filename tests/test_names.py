"""Names to languages: the letters, the networks and the training steps."""

import hashlib
import random

import numpy as np
import pytest
from conftest import ON_THREADS
from hypothesis import given
from hypothesis import strategies as st
from name_languages.letters import ALPHABET, as_batch, check, encode, split
from name_languages.network import BothEnds, Committee, LinearRnn, TutorialNetwork, build
from name_languages.predict import log_probabilities, predict
from name_languages.train import learn_batch, learn_name, logit_adjustment
from name_languages.twin import FastLinearRnn

from scratch.backend import precision, to_device, to_host, xp
from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.functions import log_softmax
from scratch.gradient_check import numerical_gradient, relative_error
from scratch.losses import NegativeLogLikelihood
from scratch.optimizers import AdamW, GradientDescent
from scratch.schedules import cosine_decay

LABELS = ["Czech", "Greek", "Irish"]
NAMES = ["Ábc", "Zoë-Lu", "O'Neàl", "q"]

# Letters --------------------------------------------------------------------------------------------------------


def test_letters_lose_their_accents_and_unknown_ones_are_zero(device):
    letters, mask = as_batch(["Śa", "ß'?"], ALPHABET)
    letters, mask = to_host(letters), to_host(mask)
    assert letters.shape == (2, 3, 57) and mask.tolist() == [[True, True, False], [True, True, True]]
    assert letters[0, 0].argmax() == ALPHABET.index("S") and letters[0, 1].argmax() == ALPHABET.index("a")
    assert letters.sum(axis=2).tolist() == [[1, 1, 0], [0, 1, 0]]  # the last letter, which is ', is not lit by ß or ?
    assert letters[1, 1].argmax() == 56
    assert as_batch(["ab", "cd"], ALPHABET)[1] is None


@given(st.lists(st.text(max_size=9), min_size=1, max_size=5))
def test_any_text_can_be_a_batch(names):
    letters, mask = as_batch(names, ALPHABET)
    assert to_host(letters).sum() == sum(k >= 0 for name in names for k in encode(name, ALPHABET))
    assert mask is None or to_host(mask).sum() == sum(len(encode(name, ALPHABET)) for name in names)


@pytest.mark.parametrize("name", ["", " ", "12345", "😀", "王", "../", "\x00\n", "x" * 201])
def test_names_that_say_nothing_are_refused(name):
    with pytest.raises(ScratchError, match=r"no letter that the network knows|201 characters"):
        check(name, ALPHABET)


def test_the_split_is_the_stated_one():
    data = {label: [f"{label[0]}ame{k}ß" for k in range(200)] for label in LABELS}
    learn, choose, held_out = split(data)
    assert len(learn) + len(choose) + len(held_out) == 600
    stated = [(name, k) for k, (label, names) in enumerate(data.items()) for name in names
              if int(hashlib.sha256(f"{label}/{name}".encode()).hexdigest(), 16) % 5 == 0]
    assert held_out == stated
    assert 0.1 < len(held_out) / 600 < 0.3 and 0.02 < len(choose) / 600 < 0.1
    with pytest.raises(ScratchError, match="Irish: none of its 0 names"):
        split(data | {"Irish": []})


# Networks -------------------------------------------------------------------------------------------------------


def networks():
    ends = [BothEnds(ALPHABET, LABELS, hidden, layer, [0.0, -1.0, 0.5], 0, 0)
            for hidden, layer in ((4, "gru"), (3, "lstm"))]
    return [TutorialNetwork(ALPHABET, LABELS, 5), Committee(ends)]


def test_gradients(device):
    with precision("float64"):
        for model in networks():
            letters, mask = as_batch(NAMES, ALPHABET)
            loss, languages = NegativeLogLikelihood(), np.array([0, 1, 2, 1])
            if isinstance(model, Committee):
                languages = np.stack([languages] * len(model.members), axis=1)
            languages = to_device(languages)
            value = lambda m=model, x=letters, y=mask, z=languages, c=loss: c.loss(m.forward(x, mask=y), z)  # noqa: E731
            model.backward(loss.gradient(model.forward(letters, mask=mask), languages))
            for name, p in model.named_parameters().items():
                assert to_host(p.grad).any(), name
                assert relative_error(p.grad, numerical_gradient(value, p.data)) < 1e-7, name


def test_a_name_is_read_alike_alone_and_in_company():
    with precision("float64"):
        for model in networks():
            together = log_probabilities(model, NAMES)
            alone = np.concatenate([log_probabilities(model, [name]) for name in NAMES])
            assert relative_error(together, alone) < 1e-6  # float32 rows
            assert np.allclose(np.exp(together).sum(axis=1), 1)


def test_a_layer_without_activation_has_the_gradients_of_every_output(device):
    with precision("float64"):
        draw = np.random.default_rng(0)
        layer, x = LinearRnn(3, 4), to_device(draw.standard_normal((3, 5, 3)))
        mask = to_device(np.arange(5) < np.array([5, 1, 3])[:, None])
        weights = to_device(draw.standard_normal((3, 5, 4)))
        value = lambda: float((layer.forward(x, mask=mask) * weights).sum())  # noqa: E731
        value()
        x_grad = layer.backward(weights)
        for grad, data in ((x_grad, x), *((p.grad, p.data) for p in layer.parameters())):
            assert relative_error(grad, numerical_gradient(value, data)) < 1e-7


@pytest.mark.parametrize("every_step", [True, False])
@pytest.mark.parametrize(("N", "T"), [(1, 1), (1, 7), (7, 2), (9, 40)])
def test_the_fast_twin_is_the_same_function(N, T, every_step, device):
    with precision("float64"):
        draw = np.random.default_rng(N + T)
        plain = LinearRnn(3, 4, return_sequences=every_step)
        twin = fast(plain, threads=1)
        assert type(twin) is FastLinearRnn
        x = to_device(draw.standard_normal((N, T, 3)))
        ragged = to_device(np.arange(T) < draw.integers(1, T + 1, N)[:, None])
        for mask in (None, ragged):
            found = []
            gradient = to_device(draw.standard_normal((N, T, 4) if every_step else (N, 4)))
            for layer in (plain, twin):
                plain.zero_grads()
                output = layer.forward(x, mask=mask)
                x_grad = layer.backward(gradient)
                found.append([output, x_grad, *(p.grad.copy() for p in plain.parameters())])
            assert all(relative_error(mine, truth) < 1e-10 for truth, mine in zip(*found, strict=True))


def test_a_committee_predicts_the_mean_of_its_members_without_their_adjustment():
    *_, committee = networks()
    members = [np.exp(log_probabilities(member, NAMES)) for member in committee.members]
    assert relative_error(np.exp(log_probabilities(committee, NAMES)), (members[0] + members[1]) / 2) < 1e-6
    for member in committee.members:
        member.adjustment = to_device([9.0, 9.0, 0.0])
    assert np.allclose(np.exp(log_probabilities(committee, NAMES)), (members[0] + members[1]) / 2, atol=1e-6)


def test_the_tutorial_s_network_is_two_linear_maps_of_letter_and_hidden():
    with precision("float64"):
        model = TutorialNetwork(ALPHABET, LABELS, 5)
        letters, _ = as_batch(["Kovač"], ALPHABET)
        i2h = xp.concatenate([model.i2h.w.data, model.i2h.u.data], axis=1)
        hidden = to_device(np.zeros(5))
        for letter in letters[0]:
            combined = xp.concatenate([letter, hidden])
            output = log_softmax(model.i2o.w.data @ combined + model.i2o.b.data)
            hidden = i2h @ combined + model.i2h.b.data
        assert relative_error(model.forward(letters)[0], output) < 1e-12


@pytest.mark.parametrize("recipe", ["best", "tutorial"])
def test_a_handful_of_names_is_memorised(recipe):
    model = build(recipe, ALPHABET, LABELS, 24, "gru", num_members=2)
    examples = [("Novak", 0), ("Kolar", 0), ("Galanis", 1), ("Kouros", 1), ("O'Neal", 2), ("Kelly", 2)]
    loss, optimizer = NegativeLogLikelihood(), AdamW(0.01) if recipe == "best" else GradientDescent(0.03)
    for _ in range(150):
        if recipe == "best":
            learn_batch(model, loss, optimizer, examples)
        else:
            for name, language in examples:
                learn_name(model, loss, optimizer, as_batch([name], ALPHABET)[0], language)
    said = log_probabilities(model, [name for name, _ in examples])
    assert loss.loss(to_device(said), [k for _, k in examples]) < 0.02
    ((_, first), *_), *_ = predict(model, ["Novák"], 3)
    assert first == "Czech"


@ON_THREADS
def test_the_letters_that_become_unknown_are_the_same_on_any_number_of_threads():
    random.seed(3)
    plain = BothEnds(ALPHABET, LABELS, 8, letter_dropout=0.5)
    letters, mask = as_batch(NAMES * 3, ALPHABET)
    outputs = []
    for model in (plain, fast(plain, threads=1), fast(plain, threads=3)):
        random.seed(4)
        outputs.append(model.forward(letters, mask=mask))
    assert relative_error(outputs[1], outputs[0]) < 1e-5 and relative_error(outputs[2], outputs[0]) < 1e-5
    assert relative_error(plain.forward(letters, mask=mask), outputs[0]) > 1e-3  # other letters


def test_rare_languages_can_be_treated_as_equally_frequent():
    examples = [("Aaa", 0)] * 30 + [("Aaa", 1)] * 10  # only their frequency distinguishes the languages
    found = []
    for balance in (0.0, 1.0):
        adjustment = logit_adjustment(examples, 2, balance)
        model = Committee([BothEnds(ALPHABET, LABELS[:2], 4, "gru", adjustment, dropout=0, letter_dropout=0)])
        loss, optimizer = NegativeLogLikelihood(), AdamW(0.02)
        for step in range(40):
            optimizer.lr = 0.02 * cosine_decay(step, 40)
            learn_batch(model, loss, optimizer, examples)
        found.append(float(np.exp(log_probabilities(model, ["Aaa"]))[0, 1]))
    assert found == [pytest.approx(0.25, abs=0.04), pytest.approx(0.5, abs=0.04)]

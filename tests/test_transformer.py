"""Self-attention and the transformer: what the tests of the contract and PyTorch's twins do not cover."""

import random

import numpy as np
import pytest
from cases import EACH_WAY, spread
from hypothesis import given, settings
from hypothesis import strategies as st

from scratch import Adam, Gelu, GradientDescent, SoftmaxCrossEntropy, evaluating
from scratch.backend import float_type, precision, to_device, to_host
from scratch.checks import ScratchError
from scratch.gradient_check import relative_error
from scratch.self_attention import SelfAttention
from scratch.tools.weights import load_model, load_weights, save_weights
from scratch.transformer import Block, Positions, Transformer

rng = np.random.default_rng(6)
N, T, D, V = 2, 5, 6, 7
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def floats(*shape):
    return to_device(rng.normal(size=shape))


def ids(*shape):
    return to_device(rng.integers(0, V, shape))


def transformer(**options):
    return spread(Transformer(V, D, 2, 3, context=9, **options))


MAKE = {
    "SelfAttention": (lambda **options: spread(SelfAttention(D, 3, **options)), floats, (D,)),
    "Block": (lambda **options: spread(Block(D, 3, **options)), floats, (D,)),
    "Transformer": (transformer, ids, ()),
}
EACH_LAYER = pytest.mark.parametrize("name", MAKE)


@EACH_LAYER
@EACH_WAY
def test_no_output_depends_on_a_later_input(name, how, device):
    make, draw, width = MAKE[name]
    with precision("float64"):
        layer, x = how(make()), draw(N, T, *width)
        before = to_host(layer.forward(x)).copy()
        for t in range(T):
            changed = x.copy()
            changed[:, t] = (x[:, t] + 1) % V if name == "Transformer" else -x[:, t]
            after = to_host(layer.forward(changed))
            assert np.abs(after[:, :t] - before[:, :t]).max(initial=0) < 1e-13
            assert (np.abs(after[:, t:] - before[:, t:]).max(axis=(0, 2)) > 1e-6).all()  # but on each earlier one


@EACH_LAYER
def test_no_gradient_reaches_a_later_input(name, device):
    make, draw, width = MAKE[name]
    if name == "Transformer":
        return  # ids have no gradient
    with precision("float64"):
        layer, x = make(), draw(N, T, *width)
        for t in range(T):
            gradient = np.zeros((N, T, D))
            gradient[:, t] = rng.normal(size=(N, D))
            layer.forward(x)
            found = to_host(layer.backward(to_device(gradient)))
            assert not found[:, t + 1 :].any() and found[:, : t + 1].any(axis=(0, 2)).all()


def test_without_a_causal_mask_and_positions_the_order_does_not_matter(device):
    with precision("float64"):
        layer, x, order = spread(SelfAttention(D, 2, causal=False)), floats(N, T, D), [3, 0, 4, 1, 2]
        assert relative_error(layer.forward(x[:, order]), layer.forward(x)[:, order]) < 1e-12


def test_equal_scores_give_the_mean_of_the_values_so_far(device):
    layer = SelfAttention(1, 1)
    layer.in_projection.w.data[...] = to_device([[0.0], [0.0], [1.0]])
    layer.out_projection.w.data[...] = 1
    assert to_host(layer.forward(to_device([[[3.0], [5.0], [10.0]]]))).ravel() == pytest.approx([3, 4, 6])


@EACH_LAYER
@EACH_WAY
def test_padding_changes_no_output_and_no_gradient(name, how, device):
    make, draw, width = MAKE[name]
    mask = np.array([[True] * T, [True, True, False, False, False]])
    with precision("float64"):
        layer, results = how(make()), []
        x, gradient = draw(N, T, *width), rng.normal(size=(N, T, V if name == "Transformer" else D))
        for more in (0, 3):
            longer = np.pad(mask, ((0, 0), (0, more)))
            fill = lambda a, m=more: np.concatenate([a, np.full((N, m, *a.shape[2:]), 3, a.dtype)], axis=1)  # noqa: E731
            layer.zero_grads()
            output = to_host(layer.forward(to_device(fill(to_host(x))), mask=to_device(longer)))
            input_grad = layer.backward(to_device(fill(gradient)))
            assert not output[~longer].any()
            if input_grad is not None:
                assert not to_host(input_grad)[~longer].any()
                results.append([to_host(input_grad)[:, :T]])
            else:
                results.append([])
            results[-1] += [output[:, :T], *(to_host(grad).copy() for grad in layer.grads())]
        for a, b in zip(*results, strict=True):
            assert relative_error(a, b) < 1e-12
        # And a row with padding is what it is alone, without.
        alone = to_host(layer.forward(x[1:, :2]))
        assert relative_error(results[0][-len(layer.grads()) - 1][1:, :2], alone) < 1e-12


@EACH_LAYER
@EACH_WAY
def test_a_row_of_padding_gives_zeros(name, how, device):
    make, draw, width = MAKE[name]
    layer, mask = how(make()), np.array([[True] * T, [False] * T])
    output = layer.forward(draw(N, T, *width), mask=to_device(mask))
    layer.backward(floats(*output.shape))
    assert not to_host(output)[1].any() and to_host(output)[0].any()
    assert all(np.isfinite(to_host(grad)).all() for grad in layer.grads())


PIECES = st.lists(st.integers(1, 4), min_size=1, max_size=5).filter(lambda pieces: sum(pieces) <= 9)


@EACH_LAYER
@EACH_WAY
@given(pieces=PIECES, dtype=st.sampled_from(list(TOLERANCE)), masked=st.booleans())
@settings(max_examples=25)
def test_a_text_in_pieces_is_the_text_at_once(name, how, pieces, dtype, masked):
    make, draw, width = MAKE[name]
    with precision(dtype):
        layer, x = how(make(stateful=True)), draw(N, sum(pieces), *width)
        mask = to_device(rng.integers(0, 2, (N, sum(pieces))) > 0) if masked else None
        with evaluating(layer):
            layer.reset_hidden_state()
            whole = to_host(layer.forward(x, mask=mask)).copy()
            for steps in (pieces, [1] * sum(pieces)):
                layer.reset_hidden_state()
                found, ends = [], np.cumsum(steps)
                for start, end in zip(ends - steps, ends, strict=True):
                    part = None if mask is None else mask[:, start:end]
                    found.append(to_host(layer.forward(x[:, start:end], mask=part)))
                assert relative_error(np.concatenate(found, axis=1), whole) < TOLERANCE[float_type().name]


def test_a_state_belongs_to_the_text_it_began_with():
    layer = transformer(stateful=True)
    layer.forward(ids(1, 3))
    first = ids(1, 2)
    alone = to_host(layer.sibling().forward(first))  # a sibling has no state
    assert relative_error(layer.forward(first), alone) > 1e-3
    with pytest.raises(ScratchError, match=r"a carried state of 2 rows, got 1; call reset_hidden_state\(\)"):
        layer.blocks[0].forward(floats(2, 1, D))
    layer.reset_hidden_state()
    assert layer.positions.state == 0 and layer.blocks[1].attention.state is None
    assert relative_error(layer.forward(first), alone) < 1e-6


def test_a_backward_into_an_earlier_piece_is_refused():
    for layer, x in ((transformer(stateful=True), ids(1, 2)), (SelfAttention(D, 2, stateful=True), floats(1, 2, D))):
        layer.backward(layer.forward(x))  # a text from its beginning can be learned
        output = layer.forward(x)
        with pytest.raises(RuntimeError, match=r"earlier pieces of a text; call reset_hidden_state\(\)"):
            layer.backward(output)
        layer.reset_hidden_state()
        layer.backward(layer.forward(x))


def test_a_layer_that_is_not_stateful_keeps_nothing():
    layer, x = transformer(), ids(2, 4)
    output = layer.forward(x)
    assert relative_error(layer.forward(x), output) == 0 and layer.positions.state == 0
    for inner in layer.all_layers():  # as a program may do that trained with one and generates with the other
        inner.stateful = True
    assert relative_error(layer.forward(x), output) == 0
    assert relative_error(layer.forward(x), output) > 1e-3


@EACH_WAY
def test_a_text_longer_than_was_learned_is_refused(how, device):
    layer = how(Transformer(V, D, 1, 2, context=4, stateful=True))
    with pytest.raises(ScratchError, match="at most 4 positions, got 5; no vector was learned for later ones"):
        layer.forward(ids(1, 5))
    with evaluating(layer):
        layer.forward(ids(1, 3))
        with pytest.raises(ScratchError, match="at most 4 positions, got 5"):
            layer.forward(ids(1, 2))
        layer.forward(ids(1, 1))  # the fourth


@pytest.mark.parametrize("num_heads", [0, -1, 4, 5, 7])
def test_heads_that_do_not_divide_the_features_are_refused(num_heads):
    for make in (lambda: SelfAttention(6, num_heads), lambda: Block(6, num_heads)):
        with pytest.raises(ScratchError, match=f"num_heads that divide the 6 features, got {num_heads}"):
            make()


def test_wrong_inputs_are_refused():
    attention, model = SelfAttention(D, 2), transformer()
    for x in (floats(T, D), floats(N, T, D + 1), floats(N, 0, D), floats(D)):
        with pytest.raises(ScratchError, match=r"sequences \(N, T, 6\), T >= 1"):
            attention.forward(x)
    for mask in (np.ones((N, T + 1), bool), np.ones((N, T)), np.ones(T, bool)):
        for layer, x in ((attention, floats(N, T, D)), (Block(D, 2), floats(N, T, D)), (model, ids(N, T))):
            with pytest.raises(ScratchError, match="a mask of booleans of shape"):
                layer.forward(x, mask=to_device(mask))
    for x, words in ((ids(T), "sequences"), (to_device([[V]]), "ids from 0 to 6"), (floats(1, T), "integer ids")):
        with pytest.raises(ScratchError, match=words):
            model.forward(x)
    with pytest.raises(ScratchError, match=r"sequences \(N, T, 6\)"):
        Positions(T, D).forward(floats(T, D))
    with pytest.raises(ScratchError, match="Gelu: expected the form sigmoid, tanh or exact, got relu"):
        Gelu("relu")
    with pytest.raises(ScratchError, match="Dropout"):
        Transformer(V, D, 1, 2, T, dropout=1.0)


def test_no_rows_at_all():
    model = transformer()
    assert model.forward(ids(0, T)).shape == (0, T, V)
    model.backward(floats(0, T, V))


def test_the_table_is_one_parameter_in_two_places(tmp_path, device):
    with precision("float64"):
        model = transformer()
        sizes = {name: p.data.size for name, p in model.named_parameters().items()}
        assert list(sizes)[:2] == ["embedding.w", "positions.w"] and not any("output" in name for name in sizes)
        of_block = 4 * D + 4 * D * D + 4 * D + 8 * D * D + 5 * D  # two norms, the attention, the feed-forward network
        assert sum(sizes.values()) == V * D + 9 * D + 2 * of_block + 2 * D
        # Its gradient is the sum of both uses: that of the scores alone, and that of the look-up alone.
        x, w = ids(N, T), model.embedding.w
        weights = floats(N, T, V)
        model.forward(x)
        model.backward(weights)
        total = w.grad.copy()
        model.forward(x)
        model.embedding.w.grad = 0 * total
        looked_up = model.embedding.backward
        model.embedding.backward = lambda gradient: None
        model.backward(weights)
        of_scores = w.grad.copy()
        model.embedding.backward = looked_up
        assert 0 < relative_error(of_scores, total) < np.inf
        rows = to_host(x).ravel()
        unused = [k for k in range(V) if k not in rows]
        assert relative_error(of_scores[unused], total[unused]) < 1e-12
        # Stepped once.
        w.grad[...], before = total, w.data.copy()
        GradientDescent(0.1).step(model)
        assert relative_error(before - w.data, 0.1 * total) < 1e-12
        # Saved once, and loaded into one.
        file = tmp_path / "w.npz"
        save_weights(model, file)
        assert set(np.load(file).files) >= set(sizes)
        again = load_model(file, lambda: Transformer(V, D, 2, 3, context=9))
        assert relative_error(again.forward(x), model.forward(x)) < 1e-12
        assert again.sibling().embedding.w is again.embedding.w
        with pytest.raises(ScratchError, match=r"positions\.w has shape \(9, 6\), the model's has \(8, 6\)"):
            load_weights(Transformer(V, D, 2, 3, context=8), file)


def test_weights_start_as_in_gpt_2(device):
    model = Transformer(1000, 96, 3, 4, context=500)
    for name, p in model.named_parameters().items():
        values, last = to_host(p.data), name.endswith(("out_projection.w", "down.w"))
        if values.ndim == 2:
            assert values.std() == pytest.approx(0.02 / np.sqrt(6) if last else 0.02, rel=0.05), name
        else:
            assert (values == ("norm" in name and name.endswith("w"))).all(), name
    draw = np.random.default_rng(0)
    x, y = (to_device(draw.integers(0, 1000, (4, 20))) for _ in range(2))
    assert SoftmaxCrossEntropy().loss(model.forward(x), y) == pytest.approx(np.log(1000), abs=0.1)


@EACH_WAY
def test_dropout_is_in_three_places_and_ends_with_the_training(how):
    layer, x = how(transformer(dropout=0.5)), ids(N, T)
    assert relative_error(layer.forward(x), layer.forward(x)) > 1e-3
    with evaluating(layer):
        plain = transformer()
        for p, q in zip(plain.parameters(), layer.parameters(), strict=True):
            p.data[...] = q.data
        assert relative_error(layer.forward(x), plain.forward(x)) < 1e-5
    attention = SelfAttention(1, 1, dropout=0.5)
    attention.in_projection.w.data[...], attention.out_projection.w.data[...] = to_device([[0.0], [0.0], [1.0]]), 1
    found = np.array([to_host(attention.forward(to_device(np.ones((1, 2, 1)))))[0, 1, 0] for _ in range(300)])
    assert np.allclose(np.unique(np.round(found, 6)), [0, 2, 4])  # weights 1/2: none, one or both kept, of 2 or 4 times
    assert found.mean() == pytest.approx(1, abs=0.3)


@EACH_WAY
def test_it_memorises_a_text(how):
    random.seed(3)
    text = to_device(np.array([0, 1, 2, 0, 3, 4, 0, 1, 5, 0, 3, 6])[None])  # what follows 0 depends on more than one id
    model, loss = how(Transformer(V, 16, 1, 2, context=11)), SoftmaxCrossEntropy()
    optimizer = how(Adam(0.02))
    for _ in range(80):
        scores = model.forward(text[:, :-1])
        model.backward(loss.gradient(scores, text[:, 1:]))
        optimizer.step(model)
    assert loss.loss(scores, text[:, 1:]) < 0.05


def test_forms_of_gelu_are_as_close_as_they_say(device):
    x = to_device(np.linspace(-8, 8, 4001))
    exact = to_host(Gelu("exact").forward(x))
    for form, least, most in (("sigmoid", 0.02, 0.021), ("tanh", 0.0004, 0.0005)):
        assert least < np.abs(to_host(Gelu(form).forward(x)) - exact).max() < most
    assert to_host(Gelu("exact").forward(to_device([[1.0]]))).item() == pytest.approx(0.8413447)
    assert Gelu("exact").forward(to_device(np.zeros((0, 3)))).shape == (0, 3)

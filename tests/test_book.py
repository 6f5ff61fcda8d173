"""Programs in the style of *Data Science from Scratch*, with names from its two modules here alone."""

import random

import numpy as np
import pytest
from listing import xor

from scratch.backend import to_host

LISTING = '''
import random

from scratch.deep_learning import Linear, Momentum, Sequential, SoftmaxCrossEntropy, softmax
from scratch.nlp import {rnn}, Vocabulary, sample_from

vocab = Vocabulary([c for company in companies for c in company])
START = "^"
STOP = "$"
vocab.add(START)
vocab.add(STOP)

HIDDEN_DIM = 32
rnn1 = {rnn}(input_dim=vocab.size, hidden_dim=HIDDEN_DIM)
rnn2 = {rnn}(input_dim=HIDDEN_DIM, hidden_dim=HIDDEN_DIM)
linear = Linear(input_dim=HIDDEN_DIM, output_dim=vocab.size)
model = Sequential([rnn1, rnn2, linear])


def generate(seed=START, max_len=160):
    rnn1.reset_hidden_state()
    rnn2.reset_hidden_state()
    output = [seed]
    while output[-1] != STOP and len(output) < max_len:
        input = vocab.one_hot_encode(output[-1])
        predicted = model.forward(input)
        probabilities = softmax(predicted)
        next_char_id = sample_from(probabilities)
        output.append(vocab.get_word(next_char_id))
    return "".join(output[1:-1])


loss = SoftmaxCrossEntropy()
optimizer = Momentum(learning_rate={lr}, momentum=0.9)
losses, names = [], []
for epoch in range(300):
    random.shuffle(companies)
    epoch_loss = 0
    for company in companies:
        rnn1.reset_hidden_state()
        rnn2.reset_hidden_state()
        company = START + company + STOP
        for prev, next in zip(company, company[1:]):
            inputs = vocab.one_hot_encode(prev)
            target = vocab.one_hot_encode(next)
            predicted = model.forward(inputs)
            epoch_loss += loss.loss(predicted, target)
            gradient = loss.gradient(predicted, target)
            model.backward(gradient)
            optimizer.step(model)
    losses.append(epoch_loss)
    names.append(generate())
    if epoch == 200:
        optimizer.lr *= 0.1
'''


def run(companies, rnn="SimpleRnn", lr=0.01, seed=0):
    random.seed(seed)
    scope = {"companies": list(companies)}
    exec(LISTING.format(rnn=rnn, lr=lr), scope)
    return scope


@pytest.mark.parametrize(("rnn", "lr"), [
    ("SimpleRnn", 0.01), *(pytest.param(name, 0.1, marks=pytest.mark.thorough) for name in ("LSTM", "GRU")),
])
def test_the_listing_learns_and_repeats(rnn, lr):
    companies = ["Airbnb", "Stripe", "Docker", "Lob"]
    first, second = run(companies, rnn, lr), run(companies, rnn, lr)
    letters = sum(len(company) + 1 for company in companies)
    assert first["losses"][0] / letters > 2
    assert first["losses"][-1] / letters < 0.5  # four memorised names cost log(4) nats each, 0.23 per letter
    assert first["losses"] == second["losses"]
    assert first["names"] == second["names"]
    assert sum(name in companies for name in first["names"][-50:]) > 40
    assert run(companies, rnn, lr, seed=1)["losses"] != first["losses"]


@pytest.mark.slow
def test_the_whole_listing():
    from test_company_names import PROGRAM

    companies = [name.strip() for name in PROGRAM.COMPANIES.split(",")]
    scope = run(companies)
    assert scope["losses"][-1] / sum(len(company) + 1 for company in companies) < 0.75


def test_weights_and_vocabulary_through_the_doors(tmp_path):
    from scratch.deep_learning import load_weights, save_weights
    from scratch.nlp import load_vocab, save_vocab

    scope = run(["Lob", "Heap"])
    save_vocab(scope["vocab"], tmp_path / "vocab.txt")
    save_weights(scope["model"], tmp_path / "weights.txt")
    again = run(["Lob", "Heap"], seed=5)
    load_weights(again["model"], tmp_path / "weights.txt")
    assert load_vocab(tmp_path / "vocab.txt").w2i == scope["vocab"].w2i
    random.seed(3)
    first = scope["generate"]()
    random.seed(3)
    assert again["generate"]() == first


def test_xor():
    from scratch.deep_learning import SSE, GradientDescent, Linear, Sequential, Sigmoid

    net = Sequential([Linear(2, 2), Sigmoid(), Linear(2, 1)])
    epoch_loss = xor(net, GradientDescent(learning_rate=0.1), SSE(), num_epochs=3000)
    assert epoch_loss < 0.01


def test_lists_of_whole_numbers_with_dropout():
    from scratch.deep_learning import Dropout, Linear, Momentum, Sequential, SoftmaxCrossEntropy, Tanh

    def digits(x):
        return [x >> k & 1 for k in range(10)]

    def label(x):
        return [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]][x % 4]

    dropout = Dropout(0.02)
    net = Sequential([Linear(10, 25, init="uniform"), Tanh(), dropout, Linear(25, 4, init="uniform")])
    optimizer, loss = Momentum(learning_rate=0.1, momentum=0.9), SoftmaxCrossEntropy()
    numbers = list(range(101, 400))
    for _ in range(20):
        random.shuffle(numbers)
        for x in numbers:
            predicted = net.forward(digits(x))
            net.backward(loss.gradient(predicted, label(x)))
            optimizer.step(net)
    dropout.train = False
    right = sum(int(net.forward(digits(x)).argmax()) == int(np.argmax(label(x))) for x in numbers)
    assert right / len(numbers) > 0.9


def test_the_doors_hold_the_books_names():
    import scratch.deep_learning as deep_learning
    import scratch.nlp as nlp

    for name in (
        "Tensor Layer Linear Sequential Sigmoid Tanh Relu Dropout SSE SoftmaxCrossEntropy GradientDescent Momentum "
        "softmax one_hot_encode random_tensor save_weights load_weights Loss Optimizer Adam shape is_1d tensor_sum "
        "tensor_apply tensor_combine zeros_like random_uniform random_normal sigmoid tanh"
    ).split():
        assert hasattr(deep_learning, name), name
    for name in "Vocabulary Embedding TextEmbedding SimpleRnn sample_from save_vocab load_vocab LSTM GRU".split():
        assert hasattr(nlp, name), name
    assert deep_learning.one_hot_encode(3)[3] == 1 and len(deep_learning.one_hot_encode(3)) == 10
    assert deep_learning.one_hot_encode(2, 5) == [0, 0, 1, 0, 0]
    assert deep_learning.random_tensor(2, 3, init="uniform").shape == (2, 3)
    embedding = nlp.Embedding(num_embeddings=5, embedding_dim=3)
    assert np.array_equal(to_host(embedding.forward(2)), to_host(embedding.embeddings[2]))


def test_the_functions_on_tensors():
    from scratch import deep_learning as dl
    from scratch.nlp import TextEmbedding, Vocabulary

    assert dl.shape([[1, 2], [3, 4], [5, 6]]) == [3, 2] and dl.shape([1, 2, 3]) == [3]
    assert dl.is_1d([1, 2, 3]) and not dl.is_1d([[1, 2], [3, 4]])
    assert dl.tensor_sum([1, 2, 3]) == 6 and dl.tensor_sum([[1, 2], [3, 4]]) == 10
    assert to_host(dl.tensor_apply(lambda x: x + 1, [1, 2, 3])).tolist() == [2, 3, 4]
    assert to_host(dl.tensor_apply(lambda x: 2 * x, [[1, 2], [3, 4]])).tolist() == [[2, 4], [6, 8]]
    assert to_host(dl.zeros_like([[1, 2], [3, 4]])).tolist() == [[0, 0], [0, 0]]
    assert to_host(dl.tensor_combine(lambda x, y: x * y, [1, 2, 3], [4, 5, 6])).tolist() == [4, 10, 18]
    assert dl.random_uniform(2, 3, 4).shape == (2, 3, 4) and 0 <= dl.random_uniform(50).min()
    assert abs(float(dl.random_normal(5, 6, mean=10).mean()) - 10) < 1
    assert abs(float(dl.random_normal(100, 100, variance=9.0).std()) - 3) < 0.1
    assert dl.sigmoid(0.0) == 0.5 and dl.sigmoid(-1e6) == 0 and dl.tanh(1e6) == 1
    vocab = Vocabulary(["data", "science"])
    embedding = TextEmbedding(vocab, embedding_dim=3)
    assert np.array_equal(to_host(embedding["science"]), to_host(embedding.w.data[1]))
    assert embedding["poetry"] is None
    assert "data" in embedding and "poetry" not in embedding
    with pytest.raises(TypeError):
        list(embedding)
    output = embedding.forward([0, 1])
    embedding.backward(output)
    assert output.shape == (2, 3)

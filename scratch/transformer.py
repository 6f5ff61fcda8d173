"""A small GPT: attention and feed-forward networks in a stack of blocks, which predicts the next character of a text.

A language model gives a score to each id that may come next. Of a vocabulary of 65 characters, a model that knows
nothing gives each the probability 1/65, at a loss of ln 65 = 4.17 nats per character; at first this one is close to
that, since its weights start small. GPT-2 has the same layers, in larger sizes.

    model = Transformer(vocab_size=65, features=128, num_layers=4, num_heads=4, context=64)
    scores = model.forward(ids)       # (N, T) -> (N, T, 65): scores[:, t] are for the character after ids[:, t]
    model.backward(SoftmaxCrossEntropy().gradient(scores, next_ids))

Comments number the steps of a forward, and its backward takes them in reverse. Read next: `plain_arrays.py`.
"""

import math
from typing import Any

from scratch.activations import Gelu
from scratch.backend import Array, as_floats
from scratch.checks import expect
from scratch.dense import Embedding
from scratch.initial import random_tensor
from scratch.layer import Layer, Parameter
from scratch.regular import Dropout, LayerNorm
from scratch.self_attention import SelfAttention, only_real, projection


class FeedForward(Layer):
    """Two Linear layers with a Gelu between them, applied to each position separately.

        y = down(gelu(up(x)))

    Shapes: (..., features) -> the same; `hidden`, the width in between, is 4 features unless given.
    Parameters: up and down, two Linears; without biases with `bias=False`. `activation` is the form of the Gelu, "tanh"
        as in GPT-2, or "exact". Dropout, with probability `dropout`, acts on y.
    Source: Vaswani et al. 2017, section 3.3, there with a Relu.
    """

    def __init__(
        self, features: int, hidden: int | None = None, dropout: float = 0.0, activation: str = "tanh",
        bias: bool = True,
    ) -> None:
        self.features, self.hidden = features, 4 * features if hidden is None else hidden
        self.dropout, self.activation, self.bias = dropout, activation, bias
        self.up, self.down = projection(features, self.hidden, bias), projection(self.hidden, features, bias)
        self.gelu, self.drop = Gelu(activation), Dropout(dropout)

    def forward(self, input: Any) -> Array:
        return self.drop.forward(self.down.forward(self.gelu.forward(self.up.forward(input))))

    def backward(self, gradient: Array) -> Array:
        return self.up.backward(self.gelu.backward(self.down.backward(self.drop.backward(gradient))))


class Block(Layer):
    """One layer of a transformer: attention, then a feed-forward network, each added to its input.

        1.  h = x + attention(norm1(x))
        2.  y = h + feed_forward(norm2(h))

    Both x and the gradient of y pass through the sums unchanged, however many blocks there are.

    Shapes: (N, T, features), with an optional mask (N, T), True at real positions -> the same; zeros at masked ones.
    Parameters: norm1, attention, norm2, feed_forward, with `num_heads`, `dropout`, `bias` and `stateful` as there.
    Source: Radford et al. 2019, Language Models are Unsupervised Multitask Learners, section 2.3. (Vaswani et al. 2017
        normalise after each sum.)
    """

    def __init__(
        self, features: int, num_heads: int, dropout: float = 0.0, bias: bool = True, stateful: bool = False
    ) -> None:
        self.features, self.num_heads, self.dropout, self.bias = features, num_heads, dropout, bias
        self.stateful = stateful
        self.norm1, self.norm2 = LayerNorm(features, bias=bias), LayerNorm(features, bias=bias)
        self.attention = SelfAttention(features, num_heads, dropout, stateful=stateful, bias=bias)
        self.feed_forward = FeedForward(features, dropout=dropout, bias=bias)

    def reset_hidden_state(self) -> None:
        self.attention.reset_hidden_state()

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        x = as_floats(input)
        h = x + self.attention.forward(self.norm1.forward(x), mask)  # 1.
        output = only_real(h + self.feed_forward.forward(self.norm2.forward(h)), mask)  # 2.
        self.remember(output.shape, mask)
        return output

    def backward(self, gradient: Array) -> Array:
        (mask,) = self.recall(gradient)
        gradient = only_real(gradient, mask)
        # 2. h was used twice: directly in the sum, and by the feed-forward network.
        h_grad = gradient + self.norm2.backward(self.feed_forward.backward(gradient))
        # 1. So was x: directly in the sum, and by the attention.
        return h_grad + self.norm1.backward(self.attention.backward(h_grad))


class Positions(Layer):
    """Adds a learned vector for each position; attention itself takes no account of order.

        y[t] = x[t] + w[t]

    Shapes: (N, T, features), with T at most num_positions -> the same.
    Parameters: w (num_positions, features).
    State: with `stateful=True`, each call goes on where the previous one ended, until `reset_hidden_state()`.
    Raises: ScratchError for an input of the wrong shape, or a text longer than num_positions.
    """

    working = (*Layer.working, "state")
    state: int = 0  # the number of positions so far

    def __init__(self, num_positions: int, features: int, stateful: bool = False) -> None:
        self.num_positions, self.features, self.stateful = num_positions, features, stateful
        self.w = Parameter(0.02 * random_tensor(num_positions, features))

    def reset_hidden_state(self) -> None:
        self.state = 0

    def forward(self, input: Any) -> Array:
        x = as_floats(input)
        expect(x.ndim == 3 and x.shape[2] == self.features, self, "sequences (N, T, {features})", x)
        start = self.state if self.stateful else 0
        stop = start + x.shape[1]
        hint = "no vector was learned for later ones"
        expect(stop <= self.num_positions, self, "at most {num_positions} positions", stop, hint)
        self.state = stop if self.stateful else 0
        self.remember(x.shape, start, stop)
        return x + self.w.data[start:stop]

    def backward(self, gradient: Array) -> Array:
        start, stop = self.recall(gradient)
        self.w.grad[start:stop] += gradient.sum(axis=0, dtype="float64")  # w[t] was added in each of the N rows
        return gradient


class Transformer(Layer):
    """A language model: for each position, the scores of all ids that may come next.

        1.  x = dropout(embedding[ids] + positions)
        2.  x = block(x), num_layers times
        3.  scores[t] = embedding . norm(x[t])          the same table again: its rows are compared with the output

    Shapes: ids (N, T), T at most context, with an optional mask (N, T) -> (N, T, vocab_size); zeros where masked.
    Parameters: embedding.w (vocab_size, features), in two places but one Parameter; positions, blocks and norm, whose
        sizes are `features`, `num_heads`, `dropout` and `bias` (False: none). All weights start from a normal
        distribution with standard deviation 0.02, divided by sqrt(2 num_layers) in the last Linear of each sum.
    State: with `stateful=True`, a text may come in pieces, as in SelfAttention.
    Source: Radford et al. 2019 (GPT-2); Press and Wolf 2017, https://arxiv.org/abs/1608.05859, for the shared table.
    Raises: ScratchError for ids of another rank or out of range, or a text longer than `context`.
    """

    def __init__(
        self, vocab_size: int, features: int, num_layers: int, num_heads: int, context: int, dropout: float = 0.0,
        bias: bool = True, stateful: bool = False,
    ) -> None:
        self.vocab_size, self.features, self.num_layers, self.num_heads = vocab_size, features, num_layers, num_heads
        self.context, self.dropout, self.bias, self.stateful = context, dropout, bias, stateful
        self.embedding, self.positions = Embedding(vocab_size, features), Positions(context, features, stateful)
        self.embedding.w.data *= 0.02
        self.drop = Dropout(dropout)
        self.blocks = [Block(features, num_heads, dropout, bias, stateful) for _ in range(num_layers)]
        for block in self.blocks:  # x is a sum of 2 num_layers outputs of these
            block.attention.out_projection.w.data /= math.sqrt(2 * num_layers)
            block.feed_forward.down.w.data /= math.sqrt(2 * num_layers)
        self.norm = LayerNorm(features, bias=bias)

    def reset_hidden_state(self) -> None:
        self.positions.reset_hidden_state()
        for block in self.blocks:
            block.reset_hidden_state()

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        x = self.drop.forward(self.positions.forward(self.embedding.forward(input)))  # 1. (N, T, features)
        for block in self.blocks:
            x = block.forward(x, mask)  # 2.
        x = self.norm.forward(x)
        scores = only_real(x @ self.embedding.w.data.T, mask)  # 3. (N, T, vocab_size)
        self.remember(scores.shape, x, mask)
        return scores

    def backward(self, gradient: Array) -> None:
        x, mask = self.recall(gradient)
        gradient = only_real(gradient, mask)
        # 3. As in a Linear: row w[k] multiplied x[n, t] in scores[n, t, k].
        self.embedding.w.grad += gradient.reshape(-1, self.vocab_size).T @ x.reshape(-1, self.features)
        x_grad = self.norm.backward(gradient @ self.embedding.w.data)
        # 2. and 1. The embedding adds the gradient of the table's other use.
        for block in reversed(self.blocks):
            x_grad = block.backward(x_grad)
        self.embedding.backward(self.positions.backward(self.drop.backward(x_grad)))

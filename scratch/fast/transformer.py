"""The fast twins of Block, Positions and Transformer: sums in place, and the scores of all rows in one product."""

from typing import Any

from scratch import transformer
from scratch.backend import Array, as_floats
from scratch.fast.arrays import sum_rows
from scratch.self_attention import only_real


class Block(transformer.Block):
    """As `transformer.Block`."""

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        x = as_floats(input)
        h = self.attention.forward(self.norm1.forward(x), mask)
        h += x  # 1.
        output = self.feed_forward.forward(self.norm2.forward(h))
        output += h  # 2.
        output = only_real(output, mask)
        self.remember(output.shape, mask)
        return output

    def backward(self, gradient: Array) -> Array:
        (mask,) = self.recall(gradient)
        gradient = only_real(gradient, mask)
        h_grad = self.norm2.backward(self.feed_forward.backward(gradient))
        h_grad += gradient
        x_grad = self.norm1.backward(self.attention.backward(h_grad))
        x_grad += h_grad
        return x_grad


class Positions(transformer.Positions):
    """As `transformer.Positions`."""

    def backward(self, gradient: Array) -> Array:
        start, stop = self.recall(gradient)
        self.w.grad[start:stop] += sum_rows(gradient.reshape(len(gradient), -1)).reshape(-1, self.features)
        return gradient


class Transformer(transformer.Transformer):
    """As `transformer.Transformer`."""

    least_rows = 2  # of a batch, for each thread: a row is a whole text, whose positions are computed at once

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        x = self.drop.forward(self.positions.forward(self.embedding.forward(input)))
        for block in self.blocks:
            x = block.forward(x, mask)
        rows = self.norm.forward(x).reshape(-1, self.features)
        scores = only_real(rows.dot(self.embedding.w.data.T).reshape(*x.shape[:2], self.vocab_size), mask)
        self.remember(scores.shape, rows, mask)
        return scores

    def backward(self, gradient: Array) -> None:
        rows, mask = self.recall(gradient)
        shape, gradient = gradient.shape[:2], only_real(gradient, mask).reshape(-1, self.vocab_size)
        self.embedding.w.grad += gradient.T.dot(rows)
        x_grad = self.norm.backward(gradient.dot(self.embedding.w.data).reshape(*shape, self.features))
        for block in reversed(self.blocks):
            x_grad = block.backward(x_grad)
        self.embedding.backward(self.positions.backward(self.drop.backward(x_grad)))


TWINS: dict[type, type] = {
    transformer.Block: Block, transformer.Positions: Positions, transformer.Transformer: Transformer,
}

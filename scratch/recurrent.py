"""Networks that read a sequence step by step and carry a state: SimpleRnn, LSTM, GRU.

A sentence can have any length, and its word order matters. So the same layer is applied at every step, to that step's
input and its own previous output, the hidden state. In SimpleRnn, hidden[t] = tanh(w x[t] + u hidden[t-1] + b). With
b = 0, w = u = 1 and x = 1, 0, 0, the hidden states are tanh(1) = 0.76, tanh(0.76) = 0.64 and 0.57: the first input is
still there after two steps, but fading. LSTM and GRU add gates, numbers between 0 and 1 that decide what is kept.
Backward goes from the last step to the first. hidden[t] was used twice, as an output and by step t + 1, so its gradient
is the sum of the output's gradient and of what step t + 1 passes back.

    rnn = SimpleRnn(input_dim=56, hidden_dim=32)
    rnn.forward(vector)       # (56,) -> (32,): one step; the state is carried until reset_hidden_state()
    rnn.forward(batch)        # (N, T, 56) -> (N, T, 32): whole sequences, each from a state of zeros

Read next: `bidirectional.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import VOCABULARY, as_ids, expect, expect_mask, explain_with
from scratch.functions import one_hot, sigmoid
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter


class Recurrent(Layer):
    """What the three layers share: their parameters, the inputs they accept, and the carried state.

    Shapes: one step (input_dim,) or one id -> (hidden_dim,); or sequences (N, T, input_dim) or ids (N, T)
        -> (N, T, hidden_dim), with an optional mask (N, T), False at padding: a masked step copies the state and
        outputs zeros. With `return_sequences=False`, sequences -> (N, hidden_dim), the state after each row's last real
        step. For ids, or with `input_gradient=False`, `backward` returns None.
    Parameters: for G = num_gates, H = hidden_dim: w (G H, input_dim), u (G H, H), b (G H,); `init` is one of INITS.
    State: `hidden`, carried from step to step until `reset_hidden_state()`. Sequences start from zeros, or with
        `stateful=True` from the state in which the previous batch ended. `backward` covers exactly the preceding
        `forward`: the state from which `forward` started is treated as a constant.
    Raises: ScratchError for an input of the wrong rank or width, ids out of range, or a carried state for another N.
    """

    # Each subclass defines two methods, the loops over time forward and backward:
    read: Any  # (x, mask, *states) -> (outputs (N, T, hidden_dim), [the last states], what read_back needs)
    read_back: Any  # (output_grads, the last hidden state's grad, *memory) -> x_grad; adds to w.grad, u.grad, b.grad
    num_gates, num_states = 1, 1  # blocks of rows in w, u and b, gates or not; arrays in the state
    biases: tuple[int, ...] = ()  # the initial bias of each block; () is 0 for all
    working = (*Layer.working, "state")
    state: tuple[Array, ...] | None = None  # the carried state: (hidden,), or (hidden, cell)

    def __init__(
        self, input_dim: int, hidden_dim: int, init: str = "xavier", stateful: bool = False,
        return_sequences: bool = True, input_gradient: bool = True,
    ) -> None:
        self.input_dim, self.hidden_dim, self.stateful = input_dim, hidden_dim, stateful
        self.return_sequences, self.input_gradient, gates = return_sequences, input_gradient, range(self.num_gates)
        self.w = Parameter(xp.concatenate([random_tensor(hidden_dim, input_dim, init=init) for _ in gates]))
        self.u = Parameter(xp.concatenate([random_tensor(hidden_dim, hidden_dim, init=init) for _ in gates]))
        self.b = Parameter(xp.concatenate([zeros(hidden_dim) + bias for bias in self.biases or [0 for _ in gates]]))

    def __init_subclass__(cls, **options: Any) -> None:  # so that help(LSTM) explains what all three share
        super().__init_subclass__(**options)
        explain_with(cls, Recurrent)

    def reset_hidden_state(self) -> None:
        """Forget the carried state: the next step, or the next stateful batch, starts from zeros."""
        self.state = None

    @property
    def hidden(self) -> Array:
        """The carried hidden state: (hidden_dim,) after steps, (N, hidden_dim) after stateful sequences."""
        return zeros(self.hidden_dim) if self.state is None else self.state[0]

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if not hasattr(input, "dtype") or input.dtype.kind != "f":  # `as_floats` rejects host float arrays
            input = to_device(input)
        if are_ids := input.dtype.kind in "iu" and input.ndim in (0, 2):
            input = as_ids(self, input, self.input_dim, hint=VOCABULARY)
        x = one_hot(input, self.input_dim) if are_ids else as_floats(input)
        right, single = x.ndim in (1, 3) and x.shape[-1] == self.input_dim, x.ndim == 1
        expect(right, self, "a step ({input_dim},), sequences (N, T, {input_dim}) or ids (N, T)", input)
        expect(mask is None or not single, self, "no mask for a single step", mask)
        x = x[None, None] if single else x  # a single step is a batch of one sequence of length 1
        (N, T, _), H = x.shape, self.hidden_dim
        mask = xp.ones((N, T), dtype=bool) if mask is None else to_device(mask)
        expect_mask(self, mask, (N, T))
        states = [zeros(N, H)] * self.num_states
        if self.state is not None and (single or self.stateful):
            states = [state[None] if single else state for state in self.state]
            hint = "call reset_hidden_state() between streams"
            expect(states[0].shape == (N, H), self, f"a carried state of {N} rows", self.hidden, hint)
        outputs, states, memory = self.read(x, mask, *states)
        if single or self.stateful:
            self.state = tuple(state[0] if single else state for state in states)
        output = outputs[0, 0] if single else outputs if self.return_sequences else states[0].copy()  # not self.state
        self.remember(output.shape, x.shape, self.input_gradient and not are_ids, memory)
        return output

    def backward(self, gradient: Array) -> Array | None:
        (N, T, _), wanted, memory = self.recall(gradient)
        output_grads, last_grad = zeros(N, T, self.hidden_dim), gradient  # if only the last state was returned
        if gradient.ndim != 2:  # the output was (N, T, hidden_dim), or (hidden_dim,) of a single step
            output_grads, last_grad = gradient.reshape(output_grads.shape), zeros(N, self.hidden_dim)
        x_grad = self.read_back(output_grads, last_grad, *memory)
        return None if not wanted else x_grad[0, 0] if gradient.ndim == 1 else x_grad


class SimpleRnn(Recurrent):
    """The new state is the tanh of a weighted sum of the input and the previous state.

        hidden[t] = tanh(w x[t] + u hidden[t-1] + b)

    Source: Elman 1990, https://doi.org/10.1207/s15516709cog1402_1; Grus, chapter 21. (PyTorch has two biases.)
    """

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        (N, T, _), H, (hidden,) = x.shape, self.hidden_dim, states
        before, after, outputs = zeros(N, T, H), zeros(N, T, H), zeros(N, T, H)
        for t in range(T):
            real = mask[:, t, None]  # (N, 1)
            before[:, t] = hidden
            after[:, t] = xp.tanh(x[:, t] @ self.w.data.T + hidden @ self.u.data.T + self.b.data)
            hidden = xp.where(real, after[:, t], hidden)
            outputs[:, t] = xp.where(real, hidden, 0)
        return outputs, [hidden], (x, mask, before, after)

    def read_back(self, output_grads: Array, last_grad: Array, *memory: Any) -> Array:
        x, mask, before, after = memory
        sum_grads = zeros(*before.shape)  # of the sum inside tanh
        from_next = last_grad  # the carry: what step t + 1 passes back to hidden[t]
        for t in reversed(range(x.shape[1])):
            real = mask[:, t, None]
            # A masked step's result was discarded, so it adds no gradient; it passes on the gradient from step t + 1.
            hidden_grad = xp.where(real, output_grads[:, t] + from_next, 0)
            sum_grads[:, t] = hidden_grad * (1 - after[:, t] ** 2)  # tanh' = 1 - tanh^2
            from_next = xp.where(real, sum_grads[:, t] @ self.u.data, from_next)
        add_gradients(self, x, before, sum_grads, sum_grads)
        return sum_grads @ self.w.data  # w multiplied x[t]


def add_gradients(layer: Recurrent, x: Array, before: Array, w_side: Array, u_side: Array) -> None:
    """Add the gradients, summed over steps and rows, as each step used the same weights. w_side[t] is the gradient of
    w x[t], and u_side[t] that of u hidden[t-1] (`before` holds hidden[t-1]); only in the GRU do the two differ."""
    w_rows, u_rows = w_side.reshape(-1, w_side.shape[2]), u_side.reshape(-1, u_side.shape[2])  # (N * T, ...)
    layer.w.grad += w_rows.T @ x.reshape(-1, x.shape[2])
    layer.u.grad += u_rows.T @ before.reshape(-1, before.shape[2])
    layer.b.grad += w_rows.sum(axis=0, dtype="float64")  # b is added to w x[t]


class LSTM(Recurrent):
    """A second state, the cell, is updated additively: where f = 1 and i = 0, its content and gradient pass unchanged.

        i, f, o = sigmoid(w x[t] + u hidden[t-1] + b)     input, forget and output gate
        g       = tanh(w x[t] + u hidden[t-1] + b)        the candidate; each of the four has its own rows of w, u and b
        cell[t]   = f * cell[t-1] + i * g
        hidden[t] = o * tanh(cell[t])

    Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; forget gate: Gers et al.
        2000. Its bias starts at 1 (Jozefowicz et al. 2015), so that at first the cell keeps most of it.
    Differs: the gates are in the order i, f, o, g (PyTorch and Keras: i, f, g, o); one bias, where PyTorch has two.
    """

    num_gates, num_states, biases = 4, 2, (0, 1, 0, 0)

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        (N, T, _), H, (hidden, cell) = x.shape, self.hidden_dim, states
        before, outputs, steps = zeros(N, T, H), zeros(N, T, H), []
        for t in range(T):
            real = mask[:, t, None]  # (N, 1)
            sums = x[:, t] @ self.w.data.T + hidden @ self.u.data.T + self.b.data  # (N, 4H), for i, f, o and g
            i, f, o = sigmoid(sums[:, :H]), sigmoid(sums[:, H : 2 * H]), sigmoid(sums[:, 2 * H : 3 * H])
            g = xp.tanh(sums[:, 3 * H :])
            new_cell = f * cell + i * g
            tanh_cell = xp.tanh(new_cell)
            before[:, t] = hidden
            steps.append((i, f, o, g, cell, tanh_cell))
            cell, hidden = xp.where(real, new_cell, cell), xp.where(real, o * tanh_cell, hidden)
            outputs[:, t] = xp.where(real, hidden, 0)
        return outputs, [hidden, cell], (x, mask, before, steps)

    def read_back(self, output_grads: Array, last_grad: Array, *memory: Any) -> Array:
        x, mask, before, steps = memory
        (N, T, _), H = x.shape, self.hidden_dim
        sum_grads = zeros(N, T, 4 * H)
        # The two carries: what step t + 1 passes back to hidden[t] and to cell[t]. The last cell was not an output.
        hidden_from_next, cell_from_next = last_grad, zeros(N, H)
        for t in reversed(range(T)):
            real, (i, f, o, g, old_cell, tanh_cell) = mask[:, t, None], steps[t]
            # hidden[t] was used twice: as the output, and by step t + 1.
            hidden_grad = xp.where(real, output_grads[:, t] + hidden_from_next, 0)
            # So was cell[t]: in hidden[t] = o * tanh(cell[t]), with tanh' = 1 - tanh^2, and by step t + 1.
            cell_grad = xp.where(real, hidden_grad * o * (1 - tanh_cell**2) + cell_from_next, 0)
            # A factor's gradient is the product's gradient times the other factor; sigmoid' = s (1 - s).
            sum_grads[:, t, :H] = cell_grad * g * i * (1 - i)
            sum_grads[:, t, H : 2 * H] = cell_grad * old_cell * f * (1 - f)
            sum_grads[:, t, 2 * H : 3 * H] = hidden_grad * tanh_cell * o * (1 - o)
            sum_grads[:, t, 3 * H :] = cell_grad * i * (1 - g**2)
            # Step t multiplied hidden[t-1] by u and cell[t-1] by f; a masked step copied both.
            hidden_from_next = xp.where(real, sum_grads[:, t] @ self.u.data, hidden_from_next)
            cell_from_next = xp.where(real, cell_grad * f, cell_from_next)
        add_gradients(self, x, before, sum_grads, sum_grads)
        return sum_grads @ self.w.data  # w multiplied x[t]


class GRU(Recurrent):
    """Two gates and no cell: the new state is a weighted mean of the old state and a candidate.

        r, z      = sigmoid(w x[t] + u hidden[t-1] + b)          reset and update gate
        n         = tanh(w x[t] + b + r * (u hidden[t-1]))       the candidate
        hidden[t] = (1 - z) * n + z * hidden[t-1]

    Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078, equations 5 to 8.
    Differs: the reset gate acts after the product with u, as in PyTorch and Keras (Cho: before it). The gate order,
        also on disk, is n, r, z in w and b, r, z, n in u (PyTorch: r, z, n). PyTorch adds a second bias to u hidden.
    """

    num_gates = 3

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        (N, T, _), H, (hidden,) = x.shape, self.hidden_dim, states
        before, outputs, steps = zeros(N, T, H), zeros(N, T, H), []
        for t in range(T):
            real = mask[:, t, None]  # (N, 1)
            from_x = x[:, t] @ self.w.data.T + self.b.data  # (N, 3H), for n, r, z
            from_hidden = hidden @ self.u.data.T  # (N, 3H), for r, z, n
            r = sigmoid(from_x[:, H : 2 * H] + from_hidden[:, :H])
            z = sigmoid(from_x[:, 2 * H :] + from_hidden[:, H : 2 * H])
            n = xp.tanh(from_x[:, :H] + r * from_hidden[:, 2 * H :])
            before[:, t] = hidden
            steps.append((r, z, n, from_hidden[:, 2 * H :]))
            hidden = xp.where(real, (1 - z) * n + z * hidden, hidden)
            outputs[:, t] = xp.where(real, hidden, 0)
        return outputs, [hidden], (x, mask, before, steps)

    def read_back(self, output_grads: Array, last_grad: Array, *memory: Any) -> Array:
        x, mask, before, steps = memory
        (N, T, _), H = x.shape, self.hidden_dim
        w_side, u_side = zeros(N, T, 3 * H), zeros(N, T, 3 * H)  # the gradients of from_x and from_hidden
        from_next = last_grad  # the carry, as in SimpleRnn
        for t in reversed(range(T)):
            real, (r, z, n, u_hidden) = mask[:, t, None], steps[t]
            hidden_grad = xp.where(real, output_grads[:, t] + from_next, 0)
            # hidden[t] = (1 - z) * n + z * hidden[t-1]; n_grad, z_grad, r_grad are the gradients of the sums inside.
            n_grad = hidden_grad * (1 - z) * (1 - n**2)
            z_grad = hidden_grad * (before[:, t] - n) * z * (1 - z)
            # Inside n, r is multiplied by u hidden[t-1].
            r_grad = n_grad * u_hidden * r * (1 - r)
            w_side[:, t] = xp.concatenate([n_grad, r_grad, z_grad], axis=1)
            u_side[:, t] = xp.concatenate([r_grad, z_grad, n_grad * r], axis=1)
            # hidden[t-1] was used twice: in the product with u, and directly, weighted by z.
            from_next = xp.where(real, u_side[:, t] @ self.u.data + hidden_grad * z, from_next)
        add_gradients(self, x, before, w_side, u_side)
        return w_side @ self.w.data

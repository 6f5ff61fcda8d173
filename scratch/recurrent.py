"""Networks that read a sequence step by step and carry a state: SimpleRnn, GRU, LSTM.

A sentence has any length, and its words mean something by their order. So the same layer is applied at every step, to
the step's input and to its own last output, the hidden state:

    hidden[t] = tanh(w input[t] + u hidden[t-1] + b)

With w = u = 1, b = 0 and the inputs 1, 0, 0 the hidden states are tanh(1) = 0.76, tanh(0.76) = 0.64 and 0.57: the first
input is still there after two steps. The way back goes from the last step to the first: hidden[t] was used twice, as an
output and by step t + 1, so its gradient is the sum of what the output receives and what step t + 1 passes back.

    rnn = SimpleRnn(input_dim=56, hidden_dim=32)
    rnn.forward(vector)       # (56,) -> (32,): one step; the state is carried until reset_hidden_state()
    rnn.forward(batch)        # (N, T, 56) -> (N, T, 32): whole sequences, each from a state of zeros

Read next: `bidirectional.py`.
"""

from typing import Any

from scratch.backend import Array, as_floats, to_device, xp
from scratch.checks import expect, expect_ids, expect_mask
from scratch.functions import one_hot, sigmoid
from scratch.initial import random_tensor, zeros
from scratch.layer import Layer, Parameter


class Recurrent(Layer):
    """What the three layers share: their parameters, what they accept, and the carried state.

    Shapes: one step (input_dim,) or one id -> (hidden_dim,); or sequences (N, T, input_dim) or ids (N, T)
        -> (N, T, hidden_dim), with an optional mask (N, T), True where a step is real, padding on the right.
        A masked step copies the state and outputs zero. Padding may hold any finite number, or any valid id.
        With `return_sequences=False` sequences -> (N, hidden_dim), the state after each row's last real step.
        With `input_gradient=False`, for a first layer, whose input is data, `backward` returns None.
    Parameters: w (num_gates * hidden_dim, input_dim), u (num_gates * hidden_dim, hidden_dim), b (num_gates *
        hidden_dim,); the rows of one gate below those of another.
    State: `hidden`, carried from step to step until `reset_hidden_state()`. Sequences start from zeros, or with
        `stateful=True` from the state that the last batch ended with. `backward` covers exactly the preceding
        `forward`: the state that it started from is a constant.
    Raises: ScratchError for an input of another rank or width, ids out of range, or a batch of another size
        than the carried state's.
    """

    num_gates, num_states = 1, 1
    working = (*Layer.working, "state")
    state: tuple[Array, ...] | None = None  # the carried state: (hidden,), or (hidden, cell)

    def __init__(
        self, input_dim: int, hidden_dim: int, init: str = "xavier", stateful: bool = False,
        return_sequences: bool = True, input_gradient: bool = True,
    ) -> None:
        self.input_dim, self.hidden_dim, self.stateful = input_dim, hidden_dim, stateful
        self.return_sequences, self.input_gradient = return_sequences, input_gradient
        gates = range(self.num_gates)
        self.w = Parameter(xp.concatenate([random_tensor(hidden_dim, input_dim, init=init) for _ in gates]))
        self.u = Parameter(xp.concatenate([random_tensor(hidden_dim, hidden_dim, init=init) for _ in gates]))
        self.b = Parameter(zeros(self.num_gates * hidden_dim))

    def reset_hidden_state(self) -> None:
        """Forget the carried state: the next step, or the next stateful batch, starts from zeros."""
        self.state = None

    @property
    def hidden(self) -> Array:
        """The carried hidden state: (hidden_dim,) after steps, (N, hidden_dim) after stateful sequences."""
        return zeros(self.hidden_dim) if self.state is None else self.state[0]

    def forward(self, input: Any, mask: Array | None = None) -> Array:
        if not hasattr(input, "dtype") or input.dtype.kind != "f":
            input = to_device(input)
        are_ids = input.dtype.kind in "iu" and input.ndim in (0, 2)
        if are_ids:
            expect_ids(self, input, self.input_dim)
        x = one_hot(input, self.input_dim) if are_ids else as_floats(input)
        right = x.ndim in (1, 3) and x.shape[-1] == self.input_dim
        expect(right, self, "a step ({input_dim},), sequences (N, T, {input_dim}) or ids (N, T)", input)
        single = x.ndim == 1
        if single:  # a batch of one sequence of one step
            expect(mask is None, self, "no mask for a single step", mask)
            x = x[None, None]
        N, T, _ = x.shape
        mask = xp.ones((N, T), dtype=bool) if mask is None else to_device(mask)
        expect_mask(self, mask, (N, T))
        states = [zeros(N, self.hidden_dim)] * self.num_states
        if self.state is not None and (single or self.stateful):
            states = [state[None] if single else state for state in self.state]
            right = states[0].shape == (N, self.hidden_dim)
            expect(right, self, f"{N} rows in the carried state", self.hidden, "reset_hidden_state() starts a new stream")
        outputs, states, memory = self.read(x, mask, *states)
        if single or self.stateful:
            self.state = tuple(state[0] if single else state for state in states)
        output = outputs[0, 0] if single else outputs if self.return_sequences else states[0].copy()
        self.remember(output.shape, memory, x.shape if self.input_gradient and not are_ids else None)
        return output

    def backward(self, gradient: Array) -> Array | None:
        memory, input_shape = self.recall(gradient)
        N, T, _ = memory[0].shape
        output_grads, last_grad = zeros(N, T, self.hidden_dim), zeros(N, self.hidden_dim)
        if gradient.ndim == 2:  # the output was the last state
            last_grad = gradient
        else:
            output_grads = gradient.reshape(output_grads.shape)
        x_grad = self.read_back(output_grads, last_grad, *memory)
        if input_shape is None:
            return None
        return x_grad[0, 0] if gradient.ndim == 1 else x_grad

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        """The outputs (N, T, hidden_dim), the last states, and what `read_back` needs. x (N, T, input_dim)."""
        raise NotImplementedError

    def read_back(self, output_grads: Array, last_grad: Array, *memory: Any) -> Array:
        """From the gradients of the outputs and of the last hidden state to that of x; adds to those of w, u and b."""
        raise NotImplementedError


class SimpleRnn(Recurrent):
    """The new state is a squashed sum of the input and the previous state.

        hidden[t] = tanh(w x[t] + u hidden[t-1] + b)

    Source: Elman 1990, https://doi.org/10.1207/s15516709cog1402_1; the book's chapter 21.
    Differs: from PyTorch, which has a second bias; the sum of the two is this one.
    """

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        (N, T, _), H = x.shape, self.hidden_dim
        (hidden,) = states
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
        z_grads = zeros(*before.shape)  # z is the sum inside tanh
        from_next = last_grad  # the carry: what step t + 1 passes back to the hidden state of step t
        for t in reversed(range(x.shape[1])):
            real = mask[:, t, None]
            hidden_grad = xp.where(real, output_grads[:, t] + from_next, 0)
            z_grads[:, t] = hidden_grad * (1 - after[:, t] ** 2)  # tanh' = 1 - tanh^2
            from_next = xp.where(real, z_grads[:, t] @ self.u.data, from_next)
        add_gradients(self, x, before, z_grads, z_grads)
        return z_grads @ self.w.data


def add_gradients(layer: Recurrent, x: Array, before: Array, w_side: Array, u_side: Array) -> None:
    """Every step used the same weights, so each gradient is a sum over all steps of all rows, as in Linear's backward.

    w met x[t] where the gradient is w_side[t], and u met hidden[t-1], in `before`, where it is u_side[t].
    """
    w_rows, u_rows = w_side.reshape(-1, w_side.shape[2]), u_side.reshape(-1, u_side.shape[2])  # (N * T, ...)
    layer.w.grad += w_rows.T @ x.reshape(-1, x.shape[2])
    layer.u.grad += u_rows.T @ before.reshape(-1, before.shape[2])
    layer.b.grad += w_rows.sum(axis=0)


class LSTM(Recurrent):
    """The cell is updated additively, so its content, and its gradient, last for many steps.

        i, f, o = sigmoid(w x[t] + u hidden[t-1] + b)     input, forget and output gate
        g       = tanh(w x[t] + u hidden[t-1] + b)        the candidate
        cell[t]   = f * cell[t-1] + i * g
        hidden[t] = o * tanh(cell[t])

    Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735; the forget gate is from
        Gers et al. 2000, and its bias starts at 1 (Jozefowicz et al. 2015), so that the cell at first remembers.
    Differs: the gates are in the order i, f, o, g (PyTorch and Keras: i, f, g, o); one bias, where PyTorch has two.
    """

    num_gates, num_states = 4, 2

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.b.data[self.hidden_dim : 2 * self.hidden_dim] = 1

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        (N, T, _), H = x.shape, self.hidden_dim
        hidden, cell = states
        before, outputs, steps = zeros(N, T, H), zeros(N, T, H), []
        for t in range(T):
            real = mask[:, t, None]  # (N, 1)
            z = x[:, t] @ self.w.data.T + hidden @ self.u.data.T + self.b.data  # (N, 4H): one sum for each gate
            i, f, o = sigmoid(z[:, :H]), sigmoid(z[:, H : 2 * H]), sigmoid(z[:, 2 * H : 3 * H])
            g = xp.tanh(z[:, 3 * H :])
            tanh_cell = xp.tanh(f * cell + i * g)
            before[:, t] = hidden
            steps.append((i, f, o, g, cell, tanh_cell))
            cell = xp.where(real, f * cell + i * g, cell)
            hidden = xp.where(real, o * tanh_cell, hidden)
            outputs[:, t] = xp.where(real, hidden, 0)
        return outputs, [hidden, cell], (x, mask, before, steps)

    def read_back(self, output_grads: Array, last_grad: Array, *memory: Any) -> Array:
        x, mask, before, steps = memory
        (N, T, _), H = x.shape, self.hidden_dim
        z_grads = zeros(N, T, 4 * H)
        # The two carries: what step t + 1 passes back to the hidden state and to the cell of step t.
        hidden_from_next, cell_from_next = last_grad, zeros(N, H)
        for t in reversed(range(T)):
            real, (i, f, o, g, cell, tanh_cell) = mask[:, t, None], steps[t]
            # hidden[t] was used twice: as the output, and by step t + 1.
            hidden_grad = xp.where(real, output_grads[:, t] + hidden_from_next, 0)
            # So was cell[t]: in hidden[t] = o * tanh(cell[t]), with tanh' = 1 - tanh^2, and by step t + 1.
            cell_grad = xp.where(real, hidden_grad * o * (1 - tanh_cell**2) + cell_from_next, 0)
            # The gradient of a factor is that of the product times the other factor; sigmoid' = s (1 - s).
            z_grads[:, t, :H] = cell_grad * g * i * (1 - i)
            z_grads[:, t, H : 2 * H] = cell_grad * cell * f * (1 - f)
            z_grads[:, t, 2 * H : 3 * H] = hidden_grad * tanh_cell * o * (1 - o)
            z_grads[:, t, 3 * H :] = cell_grad * i * (1 - g**2)
            # A masked step copied both states, so it passes their gradients on as they are.
            hidden_from_next = xp.where(real, z_grads[:, t] @ self.u.data, hidden_from_next)
            cell_from_next = xp.where(real, cell_grad * f, cell_from_next)
        add_gradients(self, x, before, z_grads, z_grads)
        return z_grads @ self.w.data


class GRU(Recurrent):
    """Two gates and no cell: the new state is a mixture of the old one and a candidate.

        r, z      = sigmoid(w x[t] + u hidden[t-1] + b)          reset and update gate
        n         = tanh(w x[t] + b + r * (u hidden[t-1]))       the candidate
        hidden[t] = (1 - z) * n + z * hidden[t-1]

    Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078, equations 5 to 8.
    Differs: the reset gate acts after the product with u, as in PyTorch and Keras (Cho: before it); the rows of w
        and b are in the order n, r, z, those of u in the order r, z, n (PyTorch: r, z, n); PyTorch adds a second
        bias to u hidden.
    """

    num_gates = 3

    def read(self, x: Array, mask: Array, *states: Array) -> tuple[Array, list[Array], tuple]:
        (N, T, _), H = x.shape, self.hidden_dim
        (hidden,) = states
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
            # hidden[t] = (1 - z) * n + z * hidden[t-1]
            n_sum = hidden_grad * (1 - z) * (1 - n**2)
            z_sum = hidden_grad * (before[:, t] - n) * z * (1 - z)
            # In n, r and u hidden[t-1] are the two factors of a product.
            r_sum = n_sum * u_hidden * r * (1 - r)
            w_side[:, t] = xp.concatenate([n_sum, r_sum, z_sum], axis=1)
            u_side[:, t] = xp.concatenate([r_sum, z_sum, n_sum * r], axis=1)
            # hidden[t-1] was used in the products with u, and directly, with the weight z.
            from_next = xp.where(real, u_side[:, t] @ self.u.data + hidden_grad * z, from_next)
        add_gradients(self, x, before, w_side, u_side)
        return w_side @ self.w.data

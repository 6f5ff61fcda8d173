"""What PyTorch computes for our layers, losses and optimizers: python tests/make_twins.py writes tests/twins.npz.

And tests/extremes.npz, in float32, for numbers near the ends of its range, where some of PyTorch's answers overflow.

The tests compare with that file everywhere, and compare the file with PyTorch itself where PyTorch is installed.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("twins.npz")
EXTREMES = Path(__file__).with_name("extremes.npz")
N, T, D, H, V = 2, 3, 5, 4, 7


def twins():
    """{"case/array": array} of inputs, weights, outputs and gradients, in float64."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    found = {}

    def keep(case, **arrays):
        for name, array in arrays.items():
            found[f"{case}/{name}"] = array.detach().numpy().copy()

    def recurrent(case, make):
        layer = make(D, H, batch_first=True)
        with torch.no_grad():
            layer.bias_hh_l0.zero_()  # ours has one bias
        x, g = torch.randn(N, T, D, requires_grad=True), torch.randn(N, T, H)
        output, _ = layer(x)
        output.backward(g)
        keep(
            case, input=x, gradient=g, output=output, input_grad=x.grad,
            w=layer.weight_ih_l0, u=layer.weight_hh_l0, b=layer.bias_ih_l0,
            w_grad=layer.weight_ih_l0.grad, u_grad=layer.weight_hh_l0.grad, b_grad=layer.bias_ih_l0.grad,
        )

    recurrent("SimpleRnn", nn.RNN)
    recurrent("GRU", nn.GRU)
    recurrent("LSTM", nn.LSTM)

    # Rows of 3 and of 1 step, packed: PyTorch's way of reading each from its own end.
    layer, lengths = nn.LSTM(D, H, batch_first=True, bidirectional=True), torch.tensor([3, 1])
    with torch.no_grad():
        layer.bias_hh_l0.zero_()
        layer.bias_hh_l0_reverse.zero_()
    x, g = torch.randn(N, T, D, requires_grad=True), torch.randn(N, T, 2 * H)
    packed, _ = layer(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))
    output, _ = nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    output.backward(g)
    named = {
        f"directions.{direction}.{letter}": getattr(layer, f"{weight}_l0{suffix}")
        for direction, suffix in (("forward", ""), ("backward", "_reverse"))
        for letter, weight in (("w", "weight_ih"), ("u", "weight_hh"), ("b", "bias_ih"))
    }
    grads = {f"{name}_grad": weight.grad for name, weight in named.items()}
    mask = torch.arange(T) < lengths[:, None]
    keep("Bidirectional", input=x, gradient=g, output=output, input_grad=x.grad, mask=mask, **named, **grads)

    def simple(case, layer, x, **weights):
        x.requires_grad_(x.is_floating_point())
        output = layer(x)
        g = torch.randn(*output.shape)
        output.backward(g)
        grads = {f"{name}_grad": weight.grad for name, weight in weights.items()}
        if x.grad is not None:
            grads["input_grad"] = x.grad
        keep(case, input=x, gradient=g, output=output, **weights, **grads)

    linear, embedding = nn.Linear(D, H), nn.Embedding(V, H)
    simple("Linear", linear, torch.randn(N, T, D), w=linear.weight, b=linear.bias)
    simple("Embedding", embedding, torch.randint(0, V, (N, T)), w=embedding.weight)
    for case, layer in (
        ("Sigmoid", nn.Sigmoid()), ("Tanh", nn.Tanh()), ("Relu", nn.ReLU()), ("Softmax", nn.Softmax(-1)),
        ("LogSoftmax", nn.LogSoftmax(-1)),
    ):
        simple(case, layer, torch.randn(N, D))

    def channels_last(case, layer, x, rename=lambda weight: weight, **weights):
        """PyTorch has channels before steps."""
        x.requires_grad_(True)
        output = layer(x.transpose(1, 2)).transpose(1, 2)
        g = torch.randn(*output.shape)
        output.backward(g)
        grads = {f"{name}_grad": rename(weight.grad) for name, weight in weights.items()}
        weights = {name: rename(weight) for name, weight in weights.items()}
        keep(case, input=x, gradient=g, output=output, input_grad=x.grad, **weights, **grads)

    for case, conv in (
        ("Conv1d", nn.Conv1d(D, H, 3)), ("Conv1d, stride 2", nn.Conv1d(D, H, 3, stride=2)),
        ("Conv1d, same", nn.Conv1d(D, H, 3, padding="same")),
        ("Conv1d, same and even", nn.Conv1d(D, H, 4)),
    ):
        places_first = lambda weight: weight.transpose(1, 2) if weight.ndim == 3 else weight  # noqa: E731
        ends = nn.ConstantPad1d((1, 2) if "even" in case else 0, 0.0)  # its own "same" warns of even kernels
        layer = nn.Sequential(ends, conv)
        channels_last(case, layer, torch.randn(N, 8, D), places_first, w=conv.weight, b=conv.bias)
    channels_last("MaxPool1d", nn.MaxPool1d(3), torch.randn(N, 8, D))
    channels_last("MaxOverTime", nn.AdaptiveMaxPool1d(1), torch.randn(N, 8, D))
    norm = nn.BatchNorm1d(D, momentum=0.1)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    channels_last("BatchNorm", norm, torch.randn(N, T, D), w=norm.weight, b=norm.bias)
    running = {"running_mean": norm.running_mean, "running_variance": norm.running_var}
    norm.eval()
    x = torch.from_numpy(found["BatchNorm/input"]).transpose(1, 2)
    keep("BatchNorm", **running, evaluated=norm(x).transpose(1, 2))

    def loss(case, function, predicted, actual):
        predicted.requires_grad_(True)
        value = function(predicted, actual)
        value.backward()
        keep(case, predicted=predicted, actual=actual, loss=value, gradient=predicted.grad)

    ids = torch.randint(0, V, (N,))
    loss("SoftmaxCrossEntropy", nn.CrossEntropyLoss(), torch.randn(N, V), ids)
    weights = torch.rand(V)
    keep("SoftmaxCrossEntropy, weighted", weights=weights)
    loss("SoftmaxCrossEntropy, weighted", nn.CrossEntropyLoss(weight=weights), torch.randn(N, V), ids)
    loss("NegativeLogLikelihood", nn.NLLLoss(), torch.randn(N, V).log_softmax(-1), ids)
    loss("MSE", nn.MSELoss(), torch.randn(N, D), torch.randn(N, D))
    loss("SSE", nn.MSELoss(reduction="sum"), torch.randn(N, D), torch.randn(N, D))

    def optimizer(case, make, clip=None):
        start, gradients = torch.randn(3, D), torch.randn(4, 3, D)
        p = torch.nn.Parameter(start.clone())
        its = make([p])
        for g in gradients:
            p.grad = g.clone()
            if clip:
                torch.nn.utils.clip_grad_norm_([p], clip)
            its.step()
        keep(case, start=start, gradients=gradients, end=p)

    optimizer("GradientDescent", lambda p: torch.optim.SGD(p, lr=0.1))
    optimizer("GradientDescent, clipped", lambda p: torch.optim.SGD(p, lr=0.1), clip=0.7)
    optimizer("RMSProp", lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9))
    optimizer("Adam", lambda p: torch.optim.Adam(p, lr=0.01))
    optimizer("AdamW", lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1))
    optimizer("Momentum, Nesterov's", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True))
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.2)
    loss("SoftmaxCrossEntropy, smoothed", smoothed, torch.randn(N, V), torch.randint(0, V, (N,)))

    def images(case, layer, x, **weights):
        """PyTorch has channels before rows and columns."""
        x.requires_grad_(True)
        output = layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        g = torch.randn(*output.shape)
        output.backward(g)
        last = lambda weight: weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight  # noqa: E731
        grads = {f"{name}_grad": last(weight.grad) for name, weight in weights.items()}
        weights = {name: last(weight) for name, weight in weights.items()}
        keep(case, input=x, gradient=g, output=output, input_grad=x.grad, **weights, **grads)

    for case, conv in (
        ("Conv2d", nn.Conv2d(D, H, 3)), ("Conv2d, same", nn.Conv2d(D, H, 3, padding="same")),
        ("Conv2d, same and even", nn.Conv2d(D, H, 2)),
    ):
        ends = nn.ZeroPad2d((0, 1, 0, 1) if "even" in case else 0)
        images(case, nn.Sequential(ends, conv), torch.randn(N, 6, 7, D), w=conv.weight, b=conv.bias)
    images("MaxPool2d", nn.MaxPool2d(2), torch.randn(N, 6, 7, D))
    images("AveragePool2d", nn.AvgPool2d(3), torch.randn(N, 6, 7, D))
    norm = nn.BatchNorm2d(D)
    images("BatchNorm of images", norm, torch.randn(N, 6, 7, D), w=norm.weight, b=norm.bias)
    x = torch.randn(N, D, requires_grad=True)
    output = x * torch.sigmoid(1.702 * x)
    g = torch.randn(N, D)
    output.backward(g)
    keep("Gelu", input=x, gradient=g, output=output, input_grad=x.grad)
    attending(simple, keep)
    torch.set_default_dtype(torch.float32)
    return found


def attending(simple, keep):
    """What a transformer is made of."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    E = 6  # features: three heads of two
    simple("Gelu, tanh", nn.GELU(approximate="tanh"), torch.randn(N, D))
    simple("Gelu, exact", nn.GELU(), torch.randn(N, D))
    norm = nn.LayerNorm(D)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    simple("LayerNorm", norm, torch.randn(N, T, D), w=norm.weight, b=norm.bias)

    def named(layer):
        nn.init.normal_(layer.in_proj_bias)
        nn.init.normal_(layer.out_proj.bias)
        return {
            "in_projection.w": layer.in_proj_weight, "in_projection.b": layer.in_proj_bias,
            "out_projection.w": layer.out_proj.weight, "out_projection.b": layer.out_proj.bias,
        }

    later = torch.ones(T, T, dtype=torch.bool).triu(1)
    for case, hidden, real in (
        ("SelfAttention", later, torch.ones(N, T, dtype=torch.bool)),
        ("SelfAttention, masked", later, torch.arange(T) < torch.tensor([[3], [1]])),
        ("SelfAttention, both ways", None, torch.arange(T) < torch.tensor([[3], [2]])),
    ):
        layer = nn.MultiheadAttention(E, 3, batch_first=True)
        mask = None if real.all() else real
        attend = lambda x, a=layer, h=hidden, m=mask: (  # noqa: E731
            a(x, x, x, None if m is None else ~m, need_weights=False, attn_mask=h)[0]
            * (1 if m is None else m[..., None])
        )
        simple(case, attend, torch.randn(N, T, E), **named(layer))
        if mask is not None:
            keep(case, mask=mask)

    layer = nn.MultiheadAttention(E, 3, batch_first=True)  # only its weights

    def by_one_function(x):
        q, k, v = F.linear(x, layer.in_proj_weight, layer.in_proj_bias).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (3, 2)).transpose(1, 2) for part in (q, k, v))
        m = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return layer.out_proj(m.transpose(1, 2).flatten(2))

    simple("SelfAttention, in one function", by_one_function, torch.randn(N, T, E), **named(layer))

    block = nn.TransformerEncoderLayer(
        E, 3, 4 * E, 0.0, lambda x: F.gelu(x, approximate="tanh"), batch_first=True, norm_first=True
    )
    weights = {f"attention.{name}": weight for name, weight in named(block.self_attn).items()}
    for ours, its in {
        "norm1": block.norm1, "norm2": block.norm2, "feed_forward.up": block.linear1, "feed_forward.down": block.linear2
    }.items():
        nn.init.normal_(its.weight)
        nn.init.normal_(its.bias)
        weights |= {f"{ours}.w": its.weight, f"{ours}.b": its.bias}
    simple("Block", lambda x: block(x, src_mask=later), torch.randn(N, T, E), **weights)


def extremes():
    """{"case/array": array} for rows of numbers near the ends of float32's range."""
    import torch
    from torch import nn

    tiny = float(np.finfo(np.float32).smallest_subnormal)
    rows = torch.tensor([
        [3e38, -3e38, 0, 1], [1e20, -1e20, 1, -1], [-60, 60, 1e30, -1e30], [tiny, -tiny, 0, -0.0], [88, 89, -88, -104],
        [-1e38, -1e38, -1e38, -1e38], [1000, 0, -1000, 5], [1e-30, 1e-38, 1e-40, 1],
    ])
    found = {"rows": rows}
    layers = {
        "Sigmoid": nn.Sigmoid(), "Tanh": nn.Tanh(), "Relu": nn.ReLU(), "Softmax": nn.Softmax(-1),
        "LogSoftmax": nn.LogSoftmax(-1),
    }
    for name, layer in layers.items():
        x = rows.clone().requires_grad_(True)
        found[f"{name}/output"] = layer(x)
        found[f"{name}/output"].backward(torch.ones_like(x))
        found[f"{name}/input_grad"] = x.grad
    ids = torch.arange(len(rows)) % 4
    for name, function, actual in (
        ("cross_entropy", nn.CrossEntropyLoss(), ids), ("mse", nn.MSELoss(), torch.zeros_like(rows)),
    ):
        x = rows.clone().requires_grad_(True)
        value = function(x, actual)
        value.backward()
        found |= {f"{name}/actual": actual, f"{name}/loss": value, f"{name}/gradient": x.grad}
    for name, kind in (("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)):
        p, grad = nn.Parameter(torch.ones_like(rows)), rows.clamp(-1e18, 1e18)
        optimizer = kind([p], lr=0.01, **({"alpha": 0.9} if name == "rmsprop" else {}))
        for _ in range(2):
            p.grad = grad.clone()
            optimizer.step()
        found |= {f"{name}/grad": grad, f"{name}/w": p}
    return {name: array.detach().numpy().copy() for name, array in found.items()}


if __name__ == "__main__":
    np.savez_compressed(FILE, **twins())
    np.savez_compressed(EXTREMES, **extremes())

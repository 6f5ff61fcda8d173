"""The transformer of `gpt.py` in PyTorch, in a module of its own so that our sides do not import PyTorch."""

import math

import torch
from torch import nn
from torch.nn import functional as F


def linear(*sizes):
    return nn.Linear(*sizes, bias=False)


class Attention(nn.Module):
    def __init__(self, features, heads, context, fused, stateful):
        super().__init__()
        self.enter, self.leave = linear(features, 3 * features), linear(features, features)
        self.heads, self.fused, self.stateful, self.state = heads, fused, stateful, None
        self.register_buffer("later", torch.ones(context, context, dtype=torch.bool).triu(1), persistent=False)

    def forward(self, x):
        N, T, features = x.shape
        q, k, v = (
            part.view(N, T, self.heads, features // self.heads).transpose(1, 2)
            for part in self.enter(x).split(features, dim=2)
        )
        if self.stateful:
            if self.state is not None:
                k, v = torch.cat([self.state[0], k], dim=2), torch.cat([self.state[1], v], dim=2)
            self.state = k, v
        S = k.shape[2]
        if self.fused:
            m = F.scaled_dot_product_attention(q, k, v, is_causal=T == S and T > 1)
        else:
            scores = q @ k.transpose(2, 3) / math.sqrt(features // self.heads)
            if T > 1:
                scores = scores.masked_fill(self.later[S - T : S, :S], -math.inf)
            m = scores.softmax(dim=3) @ v
        return self.leave(m.transpose(1, 2).reshape(N, T, features))


class Block(nn.Module):
    def __init__(self, features, *options):
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(features, bias=False), Attention(features, *options)
        self.norm2 = nn.LayerNorm(features, bias=False)
        self.up, self.down = linear(features, 4 * features), linear(4 * features, features)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Network(nn.Module):
    def __init__(self, vocab, features, layers, heads, context, fused, stateful):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(vocab, features), nn.Embedding(context, features)
        self.blocks = nn.ModuleList(Block(features, heads, context, fused, stateful) for _ in range(layers))
        self.norm, self.at = nn.LayerNorm(features, bias=False), 0
        self.stateful = stateful

    def forget(self):
        self.at = 0
        for block in self.blocks:
            block.attention.state = None

    def forward(self, ids):
        start, stop = self.at, self.at + ids.shape[1]
        self.at = stop if self.stateful else 0
        x = self.embedding(ids) + self.positions.weight[start:stop]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.embedding.weight)

    def in_our_order(self):
        """The parameters in the order of our model's."""
        blocks = [layer.weight for b in self.blocks
                  for layer in (b.norm1, b.norm2, b.attention.enter, b.attention.leave, b.up, b.down)]
        return [self.embedding.weight, self.positions.weight, *blocks, self.norm.weight]

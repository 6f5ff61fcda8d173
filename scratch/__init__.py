"""A deep-learning framework to read as a book: NumPy on the CPU, CuPy on a GPU, every backward pass by hand.

    from scratch import LSTM, Adam, Linear, Sequential, SoftmaxCrossEntropy
    from scratch.fast import fast

The chapters are the files in this folder; the first is `layer.py`. `scratch.fast` is the engine: the same layers, but
faster. `scratch.tools` holds what programs need around a model. `scratch.deep_learning` and `scratch.nlp` have the
names of *Data Science from Scratch*, chapters 19 and 21. (That book's package, also called `scratch`, is different.)
"""

from scratch.activations import Gelu, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from scratch.attention import BidirectionalAttention, DotAttention
from scratch.averages import Lookahead, MovingAverage
from scratch.backend import precision, to_device, to_host, use
from scratch.bidirectional import Bidirectional
from scratch.checks import ScratchError
from scratch.convolution import Conv1d, Conv2d
from scratch.dense import Embedding, Flatten, Linear
from scratch.functions import sample_from, softmax
from scratch.gradient_check import gradient_errors
from scratch.layer import Layer, Parameter, Sequential, evaluating
from scratch.losses import MSE, SSE, Loss, NegativeLogLikelihood, SoftmaxCrossEntropy
from scratch.optimizers import Adam, AdamW, GradientDescent, Momentum, Optimizer, RMSProp
from scratch.over_time import MaxOverTime, MeanOverTime
from scratch.plain_arrays import adapt as _adapt  # noqa: F401
from scratch.pooling import AveragePool2d, MaxPool1d, MaxPool2d
from scratch.recurrent import GRU, LSTM, SimpleRnn
from scratch.regular import BatchNorm, Dropout, LayerNorm
from scratch.schedules import cosine_decay, step_decay
from scratch.self_attention import SelfAttention
from scratch.text import Vocabulary
from scratch.transformer import Block, FeedForward, Positions, Transformer

__all__ = [
    "GRU",
    "LSTM",
    "MSE",
    "SSE",
    "Adam",
    "AdamW",
    "AveragePool2d",
    "BatchNorm",
    "Bidirectional",
    "BidirectionalAttention",
    "Block",
    "Conv1d",
    "Conv2d",
    "DotAttention",
    "Dropout",
    "Embedding",
    "FeedForward",
    "Flatten",
    "Gelu",
    "GradientDescent",
    "Layer",
    "LayerNorm",
    "Linear",
    "LogSoftmax",
    "Lookahead",
    "Loss",
    "MaxOverTime",
    "MaxPool1d",
    "MaxPool2d",
    "MeanOverTime",
    "Momentum",
    "MovingAverage",
    "NegativeLogLikelihood",
    "Optimizer",
    "Parameter",
    "Positions",
    "RMSProp",
    "Relu",
    "ScratchError",
    "SelfAttention",
    "Sequential",
    "Sigmoid",
    "SimpleRnn",
    "Softmax",
    "SoftmaxCrossEntropy",
    "Tanh",
    "Transformer",
    "Vocabulary",
    "cosine_decay",
    "evaluating",
    "gradient_errors",
    "precision",
    "sample_from",
    "softmax",
    "step_decay",
    "to_device",
    "to_host",
    "use",
]

__version__ = "0.2.0"

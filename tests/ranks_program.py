"""What test_ranks.py starts under mpiexec: python tests/ranks_program.py WHAT [FILE]"""

import random
import sys
from argparse import Namespace

import numpy as np

from scratch.activations import Tanh
from scratch.attention import DotAttention
from scratch.backend import precision, to_device, to_host, xp
from scratch.dense import Linear
from scratch.fast import fast
from scratch.fast.processes import job
from scratch.layer import Sequential, evaluating
from scratch.losses import MSE, SoftmaxCrossEntropy
from scratch.optimizers import AdamW
from scratch.recurrent import LSTM
from scratch.regular import BatchNorm, Dropout
from scratch.tools import program


def main():
    what, *rest = sys.argv[1:]
    program.begin(Namespace(device=None, seed=7), shared=True)
    if what == "steps":
        steps(*rest)
    elif what == "chance":
        print(random.random(), *job().comm.allgather(random.random()))
    elif what == "fails" and job().rank == 1:
        raise RuntimeError("only here")
    elif what == "fails":
        job().wait()  # for one that does not come


def steps(path):
    """Training with several losses, with batches that are cut unevenly, or have fewer rows than processes."""
    with precision("float64"):
        draw, T, D, K = np.random.default_rng(0), 4, 3, 5
        threads, p = (2, 0.2) if xp.device == "cpu" else (1, 0.0)  # GPUs draw numbers of their own
        model = Sequential([LSTM(D, 6), BatchNorm(6), Dropout(p), Tanh(), Linear(6, K)])
        parallel, attention = fast(model, threads), fast(DotAttention(D), threads)
        optimizer, found = fast(AdamW(0.01, clip_norm=0.5)), {}
        for N in (7, 2, 1, 6):
            for k, loss in enumerate((SoftmaxCrossEntropy(), SoftmaxCrossEntropy([1.0, 2.0, 0.5, 3.0, 1.0]), MSE())):
                x, truth = draw.normal(size=(N, T, D)), draw.integers(0, K, (N, T))
                if isinstance(loss, MSE):
                    truth = draw.normal(size=(N, T, K))
                x, truth, mask = map(to_device, (x, truth, draw.random((N, T)) < 0.7))
                predicted = parallel.forward(x)
                found[f"loss {N} {k}"] = loss.loss(predicted, truth, mask) + loss.loss(predicted, truth)
                gradient = loss.gradient(predicted, truth, mask) + loss.gradient(predicted, truth)
                found[f"input gradient {N} {k}"] = to_host(parallel.backward(gradient))
                optimizer.step(parallel)
            grads = attention.backward(attention.forward(x, x[:, 1:], mask))
            found |= {f"attention {N} {k}": to_host(grad) for k, grad in enumerate(grads)}
        step = parallel.layers[0]  # no batch: each process makes it whole
        fast_step = fast(step, threads)
        found["step"] = to_host(fast_step.backward(fast_step.forward(x[0, 0])))
        with evaluating(parallel):
            found["output"] = to_host(parallel.forward(to_device(draw.normal(size=(2, T, D)))))
        found |= {name: to_host(p.data) for name, p in model.named_parameters().items()}
        found |= {f"gradient {name}": to_host(p.grad) for name, p in step.named_parameters().items()}
        found["random"] = random.random()
        same = [job().sum(value) for value in map(np.asarray, found.values())]  # a process that differs would show
        if job().rank == 0:
            np.savez(path, **{name: value / job().num_ranks for name, value in zip(found, same, strict=True)})


if __name__ == "__main__":
    program.run(main)

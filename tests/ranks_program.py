"""What test_ranks.py starts under mpiexec: python tests/ranks_program.py WHAT [FILE]"""

import random
import sys
from argparse import Namespace

import numpy as np
from scratch.parallel import in_threads, mine

from scratch.activations import Tanh
from scratch.backend import precision, to_device, to_host
from scratch.dense import Linear
from scratch.layer import Sequential, batch, evaluating
from scratch.losses import MSE, FocalLoss, SoftmaxCrossEntropy
from scratch.optimizers import AdamW
from scratch.recurrent import LSTM
from scratch.regular import BatchNorm
from scratch.tools import program


def main():
    what, *rest = sys.argv[1:]
    program.begin(Namespace(device=None, seed=7), shared=True)
    if what == "steps":
        steps(*rest)
    elif what == "chance":
        print(random.random(), *batch.get().comm.allgather(random.random()))
    elif what == "fails" and batch.get().rank == 1:
        raise RuntimeError("only here")
    elif what == "fails":
        batch.get().wait()  # for one that does not come


def steps(path):
    """Learning with every kind of loss, with batches that are cut unevenly, or have fewer rows than processes."""
    with precision("float64"):
        draw, T, D, K = np.random.default_rng(0), 4, 3, 5
        model = Sequential([LSTM(D, 6), BatchNorm(6), Tanh(), Linear(6, K)])
        parallel, optimizer, losses = in_threads(model, 2), AdamW(0.01, clip_norm=0.5), []
        weights = [1.0, 2.0, 0.5, 3.0, 1.0]
        kinds = [SoftmaxCrossEntropy(), SoftmaxCrossEntropy(weights), FocalLoss(2.0, weights), MSE()]
        for N in (7, 2, 1, 6):
            for loss in kinds:
                x, truth = draw.normal(size=(N, T, D)), draw.integers(0, K, (N, T))
                if isinstance(loss, MSE):
                    truth = draw.normal(size=(N, T, K))
                mask = draw.random((N, T)) < 0.7
                x, truth, mask = (to_device(mine(array)) for array in (x, truth, mask))
                predicted = parallel.forward(x)
                losses.append(loss.loss(predicted, truth, mask) + loss.loss(predicted, truth))
                parallel.backward(loss.gradient(predicted, truth, mask) + loss.gradient(predicted, truth))
                optimizer.step(model)
        with evaluating(parallel):
            output = parallel.forward(to_device(draw.normal(size=(2, T, D))))
        if batch.get().rank == 0:
            parameters = {p.name: to_host(p.data) for p in model.parameters()}
            np.savez(path, losses=np.array(losses), output=to_host(output), **parameters)


if __name__ == "__main__":
    program.run(main)

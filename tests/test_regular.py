import numpy as np
import pytest
from cases import EACH_WAY

from scratch.backend import to_device, to_host
from scratch.checks import ScratchError
from scratch.layer import evaluating
from scratch.regular import Dropout


@EACH_WAY
def test_dropout_drops_its_share_and_keeps_the_mean(how, device):
    layer, ones = how(Dropout(0.25)), to_device(np.ones((200, 300)))
    output = to_host(layer.forward(ones))
    assert np.allclose(np.unique(output), [0, 1 / 0.75])
    assert abs((output == 0).mean() - 0.25) < 0.01
    assert abs(output.mean() - 1) < 0.01
    assert np.array_equal(to_host(layer.backward(ones)), output)  # the same places, the same scale
    assert not np.array_equal(to_host(layer.forward(ones)), output)
    with evaluating(layer):
        assert np.array_equal(to_host(layer.forward(ones)), to_host(ones))


@pytest.mark.parametrize("p", [1, -0.1, float("nan")])
def test_chances_that_are_none(p):
    with pytest.raises(ScratchError, match="Dropout"):
        Dropout(p)

"""Weights of errors: the announced functions, with the weight held constant."""

import pytest
import torch

from geomflow.flow import ErrorWeight


def test_default_is_the_error_itself() -> None:
    error = torch.rand(10)
    assert torch.equal(ErrorWeight()(error), error)


def test_adaptive_weight_is_constant_for_the_gradient() -> None:
    error = torch.rand(10, dtype=torch.float64, requires_grad=True)
    ErrorWeight(adaptive_power=1.0, adaptive_floor=0.1)(error).sum().backward()
    torch.testing.assert_close(error.grad, 1 / (error.detach() + 0.1))


def test_huber_is_quadratic_then_linear() -> None:
    """sqrt(e + c^2) - c of a squared distance e: e / 2c for small ones, the distance itself for large ones."""
    small, large = torch.tensor([1e-6, 1e6], dtype=torch.float64).split(1)
    robust = ErrorWeight(huber=0.5)
    torch.testing.assert_close(robust(small), small, rtol=1e-4, atol=0)
    torch.testing.assert_close(robust(large), large.sqrt(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adaptive_power": -1.0}, "adaptive_power must not be negative, given -1"),
        ({"huber": -0.1}, "huber must not be negative"),
        ({"adaptive_floor": 0.0}, "adaptive_floor must be positive, given 0"),
    ],
)
def test_wrong_constants_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ErrorWeight(**options)

"""Paths: rates are derivatives, the ends are noise and data, the ratio has its inverse."""

import pytest
import torch

from geomflow.flow import KarrasPath, LinearPath, Path

PATHS = [LinearPath(), KarrasPath(), KarrasPath(sigma_min=0.01, sigma_max=10.0, rho=3.0)]


@pytest.mark.parametrize("path", PATHS)
def test_rates_are_the_derivatives(path: Path) -> None:
    t, h = torch.linspace(0.01, 0.99, 99, dtype=torch.float64), 1e-5
    for value, rate in ((path.signal, path.signal_rate), (path.sigma, path.sigma_rate)):
        difference = (value(t + h) - value(t - h)) / (2 * h)
        torch.testing.assert_close(rate(t), difference, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_time_inverts_the_noise_to_signal_ratio(path: Path) -> None:
    t = torch.linspace(0.01, 1, 100, dtype=torch.float64)
    torch.testing.assert_close(path.time(path.sigma(t) / path.signal(t)), t, rtol=0, atol=1e-12)
    clipped = path.time(torch.tensor([1e-9, 1e9], dtype=torch.float64))
    assert ((clipped >= 0) & (clipped <= 1)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends(dtype: torch.dtype) -> None:
    ends = torch.tensor([0.0, 1.0], dtype=dtype)
    assert LinearPath().signal(ends).tolist() == [0, 1]
    assert LinearPath().sigma(ends).tolist() == [1, 0]
    torch.testing.assert_close(KarrasPath().sigma(ends), torch.tensor([80, 0.002], dtype=dtype), rtol=1e-5, atol=0)
    assert KarrasPath().sigma(ends).dtype == dtype


def test_karras_clock_is_the_published_grid() -> None:
    """EDM, equation 5: sigma_i for 5 levels."""
    i = torch.arange(5, dtype=torch.float64)
    published = (80 ** (1 / 7) + i / 4 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(KarrasPath().sigma(i / 4), published)


@pytest.mark.parametrize("levels", [(0.0, 80.0, 7.0), (1.0, 0.5, 7.0), (0.1, 1.0, 0.0), (float("nan"), 1.0, 7.0)])
def test_wrong_noise_levels_are_refused(levels: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="0 < sigma_min < sigma_max"):
        KarrasPath(*levels)

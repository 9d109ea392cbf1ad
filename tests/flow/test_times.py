"""Time pairs: exact shares, the curriculum, and the announced distributions."""

import pytest
import torch
from scipy import stats

from geomflow.flow import KarrasPath, LinearPath, Path, TimePairs


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("share", "batch", "wanted"), [(0.5, 10, 5), (0.5, 7, 4), (0.75, 10, 8), (0, 5, 0), (1, 5, 5)])
def test_share_of_instants_is_exact_with_halves_up(share: float | int, batch: int, wanted: int) -> None:
    pairs = TimePairs(instantaneous_share=float(share))
    t, r = pairs.draw(batch, LinearPath(), 1.0, seeded(), torch.float64)
    assert pairs.instants(batch) == wanted
    assert torch.equal(t[:wanted], r[:wanted])
    assert (t[wanted:] < r[wanted:]).all()


@pytest.mark.parametrize("path", [LinearPath(), KarrasPath()])
def test_pairs_stay_on_the_clock_and_repeat_with_the_seed(path: Path) -> None:
    t, r = TimePairs().draw(2000, path, 1.0, seeded(3))
    assert t.min() >= 0
    assert r.max() <= 1
    assert (t <= r).all()
    again = TimePairs().draw(2000, path, 1.0, seeded(3))
    assert torch.equal(t, again[0])
    assert torch.equal(r, again[1])
    assert not torch.equal(t, TimePairs().draw(2000, path, 1.0, seeded(4))[0])


def test_spans_grow_with_progress() -> None:
    pairs = TimePairs(warm_up=0.2, full_span=0.6)
    assert [pairs.span_limit(progress) for progress in (0.0, 0.2, 0.6, 1.0)] == [0, 0, 1, 1]
    assert pairs.span_limit(0.4) == pytest.approx(0.5)
    t, r = pairs.draw(1000, LinearPath(), 0.1, seeded())
    assert torch.equal(t, r)
    t, r = pairs.draw(1000, LinearPath(), 0.4, seeded())
    assert float((r - t).max()) == pytest.approx(0.5, abs=1e-6)
    assert TimePairs(warm_up=0.0, full_span=0.0).span_limit(0.0) == 1
    assert TimePairs(warm_up=0.5, full_span=0.5).span_limit(0.49) == 0


def test_the_whole_jump_is_drawn_exactly() -> None:
    t, r = TimePairs(instantaneous_share=0.5, widest_share=0.1).draw(200, LinearPath(), 1.0, seeded())
    assert int(((t == 0) & (r == 1)).sum()) == 10


def test_spans_are_uniform() -> None:
    t, r = TimePairs(instantaneous_share=0.0, widest_share=0.0).draw(5000, LinearPath(), 1.0, seeded(), torch.float64)
    assert stats.kstest((r - t).numpy(), "uniform").pvalue > 0.01
    assert stats.kstest((t / (1 - (r - t))).numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("path", [LinearPath(), KarrasPath()])
def test_lognormal_marginal(path: Path) -> None:
    t, _ = TimePairs(instantaneous_share=1.0).draw(5000, path, 1.0, seeded(), torch.float64)
    logarithm = (path.sigma(t) / path.signal(t)).log()
    assert stats.kstest(logarithm.numpy(), "norm", args=(-1.2, 1.2)).pvalue > 0.01


def test_uniform_marginal() -> None:
    t, _ = TimePairs(instantaneous_share=1.0, marginal="uniform").draw(5000, KarrasPath(), 1.0, seeded(), torch.float64)
    assert stats.kstest(t.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instantaneous_share": 1.5}, r"instantaneous_share must lie in \[0, 1\], given 1.5"),
        ({"widest_share": -0.1}, "widest_share must lie"),
        ({"warm_up": 0.6, "full_span": 0.5}, "warm_up must not exceed full_span, given 0.6 > 0.5"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimePairs(**options)


def test_wrong_progress_is_refused() -> None:
    with pytest.raises(ValueError, match=r"progress must lie in \[0, 1\], given 1.1"):
        TimePairs().draw(4, LinearPath(), 1.1)

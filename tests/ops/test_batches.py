"""Padded, packed and split batches are the same clouds."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geomflow.ops import batch_vector, pack, pad, row_splits, split_lengths


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_packing_and_padding_are_inverse(sizes):
    lengths = torch.tensor(sizes)
    padded = (
        torch.arange(1, 1 + len(sizes) * 5 * 2).view(len(sizes), 5, 2) * (torch.arange(5) < lengths[:, None])[..., None]
    )
    packed = pack(padded, lengths)
    rows = [row.tolist() for cloud, n in zip(padded, sizes, strict=True) for row in cloud[:n]]
    assert packed.values.tolist() == rows
    assert packed.batch.tolist() == [b for b, n in enumerate(sizes) for _ in range(n)]
    again = pad(*packed, size=len(sizes))
    assert torch.equal(again.values, padded[:, : max(sizes)])
    assert torch.equal(again.lengths, lengths)


def test_row_splits_are_where_clouds_begin():
    lengths = torch.tensor([3, 0, 2])
    splits = row_splits(lengths)
    assert splits.tolist() == [0, 3, 3, 5]
    assert torch.equal(split_lengths(splits), lengths)
    values, batch = torch.rand(5, 3), batch_vector(lengths)
    for b in range(3):
        assert torch.equal(values[batch == b], values[splits[b] : splits[b + 1]])


@pytest.mark.usefixtures("unchecked_shapes")
def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"batch must be ascending"):
        pad(torch.rand(3, 2), torch.tensor([0, 1, 0]))
    with pytest.raises(ValueError, match="batch must name clouds below size 1, given 1"):
        pad(torch.rand(2, 2), torch.tensor([0, 1]), size=1)
    with pytest.raises(ValueError, match="batch must have one entry per row, 3"):
        pad(torch.rand(3, 2), torch.tensor([0, 1]))
    with pytest.raises(TypeError, match=r"lengths must be integers, given torch\.float32"):
        pack(torch.rand(2, 4, 3), torch.tensor([1.0, 2.0]))

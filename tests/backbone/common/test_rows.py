import torch

from backbone.common.rows import repeat_rows


def test_each_row_is_repeated_beside_itself():
    assert repeat_rows(torch.tensor([1, 2]), 6).tolist() == [1, 1, 1, 2, 2, 2]


def test_as_many_rows_pass_through():
    rows = torch.randn(3, 2)
    assert repeat_rows(rows, 3) is rows

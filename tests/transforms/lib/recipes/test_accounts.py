import functools
import itertools

import pytest

from transforms.lib.errors import AccountsError
from transforms.lib.recipes import accounts
from transforms.lib.recipes.accounts import Books


def books(kept, dropped, rejected):
    return Books(1, kept + dropped + rejected, kept, kept, {"top": dropped}, {"image_missing": rejected})


def test_merging_adds_in_any_order():
    parts = [books(1, 2, 3), books(4, 0, 0), books(0, 7, 1)]
    totals = [functools.reduce(accounts.merge, order, Books()) for order in itertools.permutations(parts)]
    assert {str(total.as_dict()) for total in totals} == {str(totals[0].as_dict())}
    assert totals[0].as_dict()["dropped"] == {"top": 9}


def test_books_that_do_not_close_fail():
    accounts.check_closed(books(1, 2, 3), "x")
    with pytest.raises(AccountsError, match=r"1 kept \+ 2 dropped \+ 3 rejected != 7 samples"):
        accounts.check_closed(Books(1, 7, 1, 1, {"top": 2}, {"image_missing": 3}), "x")
    with pytest.raises(AccountsError, match="0 copies of 1 kept"):
        accounts.check_closed(Books(1, 1, 1, 0), "x")


def test_more_rejects_than_allowed_fail_and_are_counted_by_reason():
    accounts.check_rejects(books(98, 0, 2), 0.02)
    with pytest.raises(AccountsError, match=r"2 of 100 samples were rejected \(2 image_missing\)"):
        accounts.check_rejects(books(98, 0, 2), 0.01)


def test_lost_and_surplus_copies_fail():
    accounts.check_written(books(3, 0, 0), 3)
    for written in (2, 4):
        with pytest.raises(AccountsError, match=f"3 copies were decided and {written} were written"):
            accounts.check_written(books(3, 0, 0), written)

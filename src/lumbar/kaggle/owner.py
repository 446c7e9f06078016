"""Whose the data sets and kernels are on Kaggle: a user name as it stands in Kaggle's addresses."""

import re

from lumbar.errors import InputError, printable
from lumbar.kaggle import PLACEHOLDER

NAME = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")


def find_owner_fault(owner: str) -> str | None:
    """What is wrong with a Kaggle user name, or None."""
    if NAME.fullmatch(owner):
        return None
    return (
        f"owner '{printable(owner)}' is no Kaggle user name; write the one in the address of your profile, "
        "kaggle.com/<user name>: small letters, digits and dashes, not the name that is displayed"
    )


def expect_owner(owner: str) -> None:
    """InputError for what is neither a Kaggle user name nor the placeholder for one that is named later."""
    fault = None if owner == PLACEHOLDER else find_owner_fault(owner)
    if fault:
        raise InputError(fault)

"""Environment variables of Fetch."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from imagelake.run.settings import ResourceName, Settings, TrustedOrigins

BudgetUsd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class FetchSettings(Settings):
    """Access to the lake and to the networks."""

    bucket_name: ResourceName
    bookmarks_table: ResourceName
    suppression_table: ResourceName
    # The secret with the key of the hashes in that table.
    suppression_key: ResourceName
    trusted_origins: TrustedOrigins
    # Email or URL in the User-Agent, so that a network can reach the person who runs this.
    contact: str
    # Budgets of all feeds together for networks that charge for reading, by day and month in UTC; 0 is no budget.
    budget_usd_per_day: BudgetUsd
    budget_usd_per_month: BudgetUsd
    # The credentials of a network are the secret named by this prefix and the network's name.
    secrets_prefix: str

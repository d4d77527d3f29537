"""Write networks, tables of runs and views into the Glue tables of ``template.yaml``; ``make docs`` runs it.

Athena then finds the partitions of every network without a crawler.
"""

from __future__ import annotations

import re
from pathlib import Path

from imagelake.sources import SOURCES
from tools.glue_tables import with_tables
from tools.glue_views import with_views

TEMPLATE = Path(__file__).parents[1] / "template.yaml"


def with_networks(template: str) -> str:
    """Return the template with every network of the registry in the one line that lists them."""
    line = f"projection.source.values: {','.join(sorted(SOURCES))}"
    text, count = re.subn(r"projection\.source\.values: .*", line, template)
    if count != 1:
        raise ValueError(f"template.yaml has {count} lines with projection.source.values, not one")
    return text


if __name__ == "__main__":
    TEMPLATE.write_text(with_views(with_tables(with_networks(TEMPLATE.read_text("utf-8")))), "utf-8")

"""The first round's cells, for notebooks that have not moved on."""

from __future__ import annotations

import pandas as pd

from gmaug import runs


def recorded_cells(family: str = "cells") -> pd.DataFrame:
    """One row a cell of the first round; empty if it is not recorded."""
    try:
        found = runs.read_record("first_round", "cells" if family == "similarity" else family)["content"]
    except runs.NotRecorded:
        found = []
    rows = []
    for record in found:
        about = {name: record["cell"][name] for name in ("dataset", "arm", "seed")}
        single = {k: v for k, v in record["result"].items() if not isinstance(v, (list, dict))}
        rows.append(about | single | {"seconds": record["run"]["seconds"]})
    return pd.DataFrame(rows, columns=None if rows else ["dataset", "arm", "seed", "top1", "tail"])

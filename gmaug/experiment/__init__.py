"""The experiment: arms and cells, one record each, resumable and parallel, and their contrasts (section 4).

It knows no data set of its own: it is given arrays, trained generators and a folder.
"""

from gmaug.experiment.arms import ARMS, GENERATED, Arm, CellSettings, Outcome, Trial, arm, find
from gmaug.experiment.cells import (
    Cell,
    CellsFailed,
    Material,
    cell_of,
    frame,
    load_cells,
    recorded,
    run_cell,
    run_cells,
)
from gmaug.experiment.contrasts import contrasts, pooled, power, summary, to_settle, verdict

__all__ = [
    "ARMS", "GENERATED", "Arm", "Cell", "CellSettings", "CellsFailed", "Material", "Outcome", "Trial", "arm",
    "cell_of", "contrasts", "find", "frame", "load_cells", "pooled", "power", "recorded", "run_cell",
    "run_cells", "summary", "to_settle", "verdict",
]  # fmt: skip

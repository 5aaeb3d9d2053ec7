"""Image sets (section 4.1): the garden, any folder of images, the paper's four.

:func:`open_images` opens any of them by name or path.
"""

from __future__ import annotations

import os
from pathlib import Path

from gmaug.datasets.base import ImageSet

__all__ = ["open_images"]

DATA_VARIABLE = "GMAUG_DATA"


def open_images(
    path_or_name: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> ImageSet:
    """Open an image set by name or by path.

    Parameters
    ----------
    path_or_name : str or path
        A folder, ``DIR/class/*`` or ``DIR/super/sub/*``; the name of a real data set
        (``"flowers"``, ``"scene"``, ``"utkface"``, ``"inat2019-birds"``, ...); or a garden
        (``"middle"``, ``"alike-faint"``, ...): its training part, seed 0. A folder goes before a name.
    root : path, optional
        Where the real data sets lie; the variable ``GMAUG_DATA`` by default, else ``data``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder and no such name, or the named set is not on this machine; the
        message says how to obtain it.
    """
    from gmaug.datasets.folder import open_folder
    from gmaug.datasets.real import REAL, open_real

    if Path(path_or_name).exists():
        return open_folder(path_or_name)
    name = os.fspath(path_or_name)
    if name in REAL:
        return open_real(name, root=root or os.environ.get(DATA_VARIABLE, "data"))
    from gmaug.datasets.garden import FIRST_GARDENS, GARDENS, plant

    gardens = GARDENS | FIRST_GARDENS
    if name in gardens:
        return plant(gardens[name], seed=0).train
    from gmaug.datasets.decode import printable

    raise FileNotFoundError(
        f"{printable(name)}: no such folder, and no data set of that name; "
        f"there are {', '.join([*REAL, *gardens])}"
    )

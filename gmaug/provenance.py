"""The former name of parts of :mod:`gmaug.runs`; goes when nothing imports it."""

from gmaug.runs import (  # noqa: F401
    PACKAGE,
    commit,
    digest,
    environment,
    files_hash,
    plain,
    write_json,
)

"""The former name of the claims of :mod:`gmaug.report`; goes when nothing imports it."""

from gmaug.published import claims as load  # noqa: F401
from gmaug.report import *  # noqa: F403
from gmaug.report import read_verdicts as read  # noqa: F401

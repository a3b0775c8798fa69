"""A network put to use: what it sees in a photo, and the report of a run."""

from fcnn.use.classify import Classification, classify
from fcnn.use.examine import examine_run

__all__ = ["Classification", "classify", "examine_run"]

"""Published standards as data, and the record of which of them a home goes by."""

from twin.standards.adoption import adopt, adopted
from twin.standards.files import GB5749, load_standard
from twin.standards.standard import (
    Limit,
    NoLimit,
    SamplingPoint,
    Standard,
    StandardFileError,
    parse_standard,
)

__all__ = [
    "GB5749",
    "Limit",
    "NoLimit",
    "SamplingPoint",
    "Standard",
    "StandardFileError",
    "adopt",
    "adopted",
    "load_standard",
    "parse_standard",
]

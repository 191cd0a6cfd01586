"""JSON as the API answers it and takes it."""

from typing import Any

type Json = Any
"""A value whose type only the API knows."""
type JsonObject = dict[str, Json]

"""What a base is, as transcripts would name it: family, version, size."""
from __future__ import annotations

import json
from pathlib import PurePath

from edge_sleep.data.origin import ModelName, parse
from edge_sleep.errors import ModelError
from edge_sleep.model import shape
from edge_sleep.model.base import BaseSource


def own(place: BaseSource) -> ModelName:
    """Family and version from the base's name, else from `model_type`; billions of parameters from its shape."""
    stated = parse(PurePath(place.source).name)
    built = parse(str(_config(place).get("model_type", "")).replace("_", " "))
    family, version = (stated.family, stated.version) if stated.family else (built.family, built.version)
    return ModelName(family, version, _billions(place) or stated.billions)


def _config(place: BaseSource) -> dict:
    try:
        document = json.loads((place.folder / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}                          # the night says what is wrong with a base; reading transcripts goes on
    return document if isinstance(document, dict) else {}


def _billions(place: BaseSource) -> float | None:
    try:
        found = shape.read(place.folder)
    except ModelError:
        return None
    return round((found.linear_parameters + found.embedding_parameters) / 1e9, 4)

"""Files as strict models: an unknown key, a missing one or a value of another type is refused."""

from __future__ import annotations

from typing import Annotated

import pydantic

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
FileName = Annotated[str, pydantic.StringConstraints(pattern=NAME_PATTERN)]  # becomes part of a path
Sha256 = Annotated[str, pydantic.StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Strict(pydantic.BaseModel):
    """The base of every model that is read from a file; its validators are built when it is first used."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

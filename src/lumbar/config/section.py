"""What all sections of a config have in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a config."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

"""What is cleaned away while a corpus is prepared; nothing, unless it is asked for."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bertsmith.config import Config, Share


class CleaningConfig(Config):
    """Which documents and lines are left out of a prepared corpus; the steps are done in this order."""

    drop_boilerplate_lines: int | None = Field(
        None, gt=0, description="Take out a line that stands in more than so many documents, such as a menu's."
    )
    mend_unicode: bool = Field(
        False, description="Mend text that was decoded wrongly (â€™ for ’), HTML entities and control characters."
    )
    least_document_characters: int = Field(0, ge=0, description="Drop documents of fewer characters.")
    most_symbol_share: Share = Field(
        1.0, description="Drop documents of which a greater share, white space aside, is no letter and no digit."
    )
    drop_duplicates: Literal["none", "exact", "near"] = Field(
        "none", description="Keep the first of documents that are alike: exact to the character; near, most words."
    )
    near_duplicate_share: Annotated[float, Field(gt=0.2, le=1.0)] = Field(
        0.65, description="Near duplicates share so much of their pairs of neighbouring words (Jaccard, by MinHash)."
    )

    @model_validator(mode="after")
    def _share_of_near_duplicates(self) -> Self:
        if self.drop_duplicates != "near" and "near_duplicate_share" in self.chosen():
            raise ValueError(
                "near_duplicate_share is given, and drop_duplicates is not near: say --drop-duplicates near"
            )
        return self

    def chosen(self) -> dict[str, Any]:
        """The options that are not as they are by default; none of them: nothing is cleaned."""
        fields = type(self).model_fields
        return {name: value for name, value in self.model_dump().items() if value != fields[name].default}

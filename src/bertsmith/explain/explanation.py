"""All that is to be seen of one text: the recording, and what is read off it.

Letters: T tokens, L layers, N heads, O outputs of a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertsmith.explain.attention import Role, find_roles, rollout
from bertsmith.explain.evidence import Evidence
from bertsmith.explain.heads import Floats, Lens
from bertsmith.explain.hidden_words import HiddenWord
from bertsmith.explain.recording import Recording

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bertsmith.explain.comparing import Comparison


@dataclass(frozen=True)
class Explanation:
    """What happens to one text in one model.

    Attributes:
        recording: the forward pass.
        vocabulary: the WordPiece of each id.
        lens: the guesses after each layer, at the tokens worth watching; None without a masked LM head.
        hidden_words: what would be guessed for each word if it were hidden; empty without the head.
        evidence: which words made the prediction: one for each [MASK], or for what a fine-tuned model says.
        beside: other models on the same tokens, see `Predictor.compare`.
    """

    recording: Recording
    vocabulary: Sequence[str]
    lens: Lens | None = None
    hidden_words: tuple[HiddenWord, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    beside: tuple[Comparison, ...] = ()

    @cached_property
    def roles(self) -> list[list[Role]]:
        """Where each head looks, layer by layer."""
        return find_roles(self.recording.attention, self.recording.tokens)

    @cached_property
    def rollout(self) -> Floats:
        """(L, T, T) how much of each token has reached each other, by attention alone."""
        return rollout(self.recording.attention)

    def guesses(self, place: int) -> list[tuple[str, float]]:
        """The likeliest WordPieces at a token, with their probabilities; none without a masked LM head."""
        steps = self.recording.masked_lm
        if steps is None:
            return []
        pairs = zip(steps.ids[place], steps.probabilities[place], strict=True)
        return [(self.vocabulary[token_id], float(share)) for token_id, share in pairs]

    def as_json(self, *, whole: bool = False) -> dict[str, Any]:
        """What the page is fed with: JSON's types, the arrays packed as `bertsmith.explain.packing` says.

        Args:
            whole: every number of the pass in float32; else what the page shows, in as few bytes as show it.
        """
        from bertsmith.explain.page_data import page_data

        return page_data(self, whole=whole)

    def page(self) -> str:
        """The page that shows it, as HTML without a request to anywhere."""
        from bertsmith.explain.self_contained import self_contained_page

        return self_contained_page(self)

    def save(self, path: str | Path) -> None:
        """Write the page to a file that opens from disk.

        Raises:
            ConfigError: a folder has that name, or its own cannot be made.
            DiskFullError: no room left.
        """
        from bertsmith.files import expect_file, write_text

        expect_file(Path(path))
        write_text(Path(path), self.page())

    def show(self) -> None:
        """The page: in a notebook below the cell, else in a browser."""
        from bertsmith.explain.notebook import show

        show(self)

    def plot_attention(
        self, *, layer: int | None = None, head: int | None = None, path: str | Path | None = None
    ) -> Figure:
        """Attention as a figure for a paper.

        Args:
            layer, head: from 0; one head large if both are given, the heads of a layer, or all.
            path: where to write it: .png, .svg, .pdf.

        Raises:
            InputError: no such layer or head, or another kind of file.
        """
        from bertsmith.explain.figures import plot_attention

        return plot_attention(self, layer=layer, head=head, path=path)

    def _repr_html_(self) -> str:
        from bertsmith.explain.notebook import summary_html

        return summary_html(self)

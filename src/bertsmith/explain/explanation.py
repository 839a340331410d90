"""All that is to be seen of one text: the recording, and what is read off it.

Letters: T tokens, L layers, N heads, O outputs of a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bertsmith.explain.attention import Role, find_roles, rollout
from bertsmith.explain.evidence import Evidence
from bertsmith.explain.heads import Floats, Lens
from bertsmith.explain.hidden_words import HiddenWord
from bertsmith.explain.recording import Recording


@dataclass(frozen=True)
class Explanation:
    """What happens to one text in one model.

    Attributes:
        recording: the forward pass.
        vocabulary: the WordPiece of each id.
        lens: the guesses after each layer, at the tokens worth watching; None without a masked LM head.
        hidden_words: what would be guessed for each word if it were hidden; empty without the head.
        evidence: which words made the prediction: one for each [MASK], or for what a fine-tuned model says.
    """

    recording: Recording
    vocabulary: Sequence[str]
    lens: Lens | None = None
    hidden_words: tuple[HiddenWord, ...] = ()
    evidence: tuple[Evidence, ...] = ()

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

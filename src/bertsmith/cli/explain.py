"""`bertsmith explain MODEL TEXT --out page.html`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, Model, answer, lines_of_file, reporter
from bertsmith.errors import ConfigError

if TYPE_CHECKING:
    from bertsmith.explain.explanation import Explanation


def explain(
    model: Model,
    text: Annotated[str, Parameter(allow_leading_hyphen=True, help="A text; each [MASK] hides a word of it.")],
    *,
    out: Annotated[Path, Parameter(help="The page, .html; or .json for every number of the pass.")],
    pair: Annotated[str | None, Parameter(help="A second text.")] = None,
    question: Annotated[str | None, Parameter(help="Of a model fine-tuned to answer; the text is its context.")] = None,
    choices: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, help="Of a model fine-tuned to choose: continuations of the text."),
    ] = None,
    top_k: Annotated[int, Parameter(help="Guesses kept at each token.")] = 10,
    evidence: Annotated[
        bool, Parameter(help="Seek which words made the prediction; it takes most of the time.")
    ] = True,
    compare: Annotated[
        list[str] | None,
        Parameter(
            consume_multiple=True,
            help="Another model of this shape, to see what moved: what this one was fine-tuned from, or a checkpoint, "
            "my-bert/training/checkpoints/step-…; step-0 is the start, the folder checkpoints all.",
        ),
    ] = None,
    sample: Annotated[
        str | None,
        Parameter(help="With --compare: a text file, a text a line, whose tokens tell how alike layers are."),
    ] = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    if out.suffix not in (".html", ".json"):
        raise ConfigError(f"--out {out}: a page ends in .html, the numbers in .json")
    if sample is not None and not compare:
        raise ConfigError("--sample has no use without --compare")
    texts = lines_of_file(sample) if sample is not None else []
    from bertsmith.explain.predictor import load
    from bertsmith.files import expect_file, write_text

    expect_file(out)
    predictor = load(model)
    explained = predictor.explain(text, pair, question=question, choices=choices, top_k=top_k, evidence=evidence)
    explained = predictor.compare(explained, *(compare or ()), sample=texts)
    if out.suffix == ".json":
        import json

        write_text(out, json.dumps(explained.as_json(whole=True), allow_nan=False))
    else:
        explained.save(out)
    if as_json:
        answer({"out": out, **_said(explained)})
    else:
        reporter().say(f"{out}: {out.stat().st_size / 1e6:.1f} MB; open it in a browser")


def _said(explained: "Explanation") -> dict[str, Any]:
    """Tokens, guesses at the masks, the words' shares in what was predicted, and what moved."""
    tokens = [token.text for token in explained.recording.tokens]
    masks = [
        {
            "place": place,
            "guesses": [{"token": token, "probability": share} for token, share in explained.guesses(place)],
        }
        for place in explained.recording.masked
    ]
    shares = [
        {"target": each.target, "value": each.value, "baseline": each.baseline, "shares": each.integrated.tolist()}
        for each in explained.evidence
    ]
    beside = [
        {
            "model": each.other.recording.model,
            "weights": {drift.name: drift.change for drift in each.weights},
            "cka": each.cka.tolist(),
            "cka_tokens": each.sample_tokens,
            "attention": each.attention.tolist(),
        }
        for each in explained.beside
    ]
    return {"tokens": tokens, "masks": masks, "evidence": shares, "beside": beside}

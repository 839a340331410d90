"""`bertsmith embed MODEL FILE`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bertsmith.cli.common import ConfigFile, Json, Model, PrecisionOption, answer, lines_of_file, reporter
from bertsmith.errors import InputError


def embed(
    model: Model,
    file: Annotated[str, Parameter(allow_leading_hyphen=True, help="Text file, a text a line; - reads stdin.")],
    *,
    out: Annotated[Path | None, Parameter(help="The .npy to write; if not given, beside FILE.")] = None,
    pooling: Annotated[
        Literal["mean", "cls"], Parameter(help="Mean over the tokens, or the hidden state of [CLS].")
    ] = "mean",
    precision: PrecisionOption = "auto",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    if out is None and not as_json:
        if file == "-":
            raise InputError("texts from stdin need --out vectors.npy, or --json to print their vectors")
        out = Path(file).with_suffix(".npy")
    if out is not None and out.is_file() and out.suffix != ".npy":
        raise InputError(f"--out {out} is there already and no .npy file; choose another name")
    texts = lines_of_file(file)

    import numpy as np

    from bertsmith.files import atomic_path, expect_file
    from bertsmith.inference.predictor import load

    if out is not None:
        expect_file(out)
    vectors = load(model, precision=precision).embed(texts, pooling=pooling)
    if out is not None:
        with atomic_path(out) as beside, beside.open("wb") as written:
            np.save(written, vectors, allow_pickle=False)
        reporter().say(f"{out}: {vectors.shape[0]} vectors of {vectors.shape[1]} float32, a row a line")
    if as_json:
        shown = {"out": out} if out is not None else {"embeddings": vectors.tolist()}
        answer({"shape": list(vectors.shape), "pooling": pooling, **shown})

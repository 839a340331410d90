"""Each side as a function from texts to numbers, and the process that runs it: `python -m prediction.sides SIDE JOB`.

The process makes itself ready and says so; then each line that it reads, "all" or "short", is one measurement, which it
answers with a line of JSON.

Letters: E texts, D hidden width, O labels, B texts of a batch, T tokens.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bertsmith.benchmarks.infer_job import Job
from bertsmith.benchmarks.infer_side import Run, our_run, timed, timed_often
from bertsmith.config import PredictionPrecision
from bertsmith.inference.predictor import load

MODELS = {"embed": "AutoModel", "classify": "AutoModelForSequenceClassification", "fill": "AutoModelForMaskedLM"}
EXPORTED = "exported"  # the folder, in the model's, of what `bertsmith export` makes of it
BATCH = 32
SHORT_RUNS, SHORT_S = 100, 2.0  # of a round


def ours(job: Job, precision: PredictionPrecision) -> Run:
    """`bertsmith.load`."""
    return our_run(load(job.folder, precision=precision), job.what)


def ours_exported(job: Job) -> Run:
    """`bertsmith.load` of what `bertsmith export --to onnx` made: ONNX Runtime computes."""
    return our_run(load(Path(job.folder) / EXPORTED), job.what)


def pipeline(job: Job, batch_size: int | None) -> Run:
    """`transformers.pipeline`, texts in the order that they come in; its features are averaged here."""
    from bertsmith.benchmarks import infer_peer

    if job.what != "embed":
        return infer_peer.pipeline(job.what, job.folder, batch_size)
    import transformers

    batched = {} if batch_size is None else {"batch_size": batch_size}
    pipe: Any = transformers.pipeline("feature-extraction", model=job.folder, device="cpu", **batched)
    lengths = dict(zip([*job.texts, job.short], [*job.tokens, None], strict=True))
    return lambda texts: np.stack(
        [
            out[0, : lengths[text]].mean(0).numpy()
            for text, out in zip(texts, pipe(texts, return_tensors=True), strict=True)
        ]
    )


def sentence_transformers(job: Job, dtype: str) -> Run:
    """`SentenceTransformer.encode`, which sorts by length."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    body = Transformer(job.folder, model_kwargs={"dtype": getattr(torch, dtype)})
    encoder = SentenceTransformer(modules=[body, Pooling(body.get_embedding_dimension())], device="cpu")
    return lambda texts: _float32(encoder.encode(texts, show_progress_bar=False, convert_to_tensor=True))


def transformers_sorted(job: Job, dtype: str) -> Run:
    """The model of `transformers`, texts sorted by length, logits at the masks only."""
    import torch
    import transformers

    from bertsmith.benchmarks.infer_peer import mean_pooled

    if job.what == "embed":
        return partial(_by_length, mean_pooled(job.folder, getattr(torch, dtype)))
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.folder)
    model = getattr(transformers, MODELS[job.what]).from_pretrained(job.folder, dtype=dtype).eval()

    @torch.inference_mode()
    def run(texts: Sequence[str]) -> NDArray[Any]:
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        if job.what == "classify":
            return _float32(model(**batch).logits.float().softmax(-1))
        hidden = model.bert(**batch).last_hidden_state[batch["input_ids"] == tokenizer.mask_token_id]
        return np.asarray(model.cls(hidden).argmax(-1))

    return partial(_by_length, run)


def onnx_runtime(job: Job, file: str) -> Run:
    """ONNX Runtime, texts sorted by length."""
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(Path(job.folder) / file, options, providers=["CPUExecutionProvider"])
    wanted = {each.name for each in session.get_inputs()}
    tokenizer = Tokenizer.from_file(str(Path(job.folder) / "tokenizer.json"))
    tokenizer.enable_padding()
    mask_id = tokenizer.token_to_id("[MASK]")

    def run(texts: Sequence[str]) -> NDArray[Any]:
        encoded = tokenizer.encode_batch_fast(list(texts))
        ids = np.array([each.ids for each in encoded])
        mask = np.array([each.attention_mask for each in encoded])
        feeds = {"input_ids": ids, "attention_mask": mask, "places": (ids == mask_id).argmax(1)}
        (out,) = session.run(None, {name: value for name, value in feeds.items() if name in wanted})
        if job.what == "embed":
            return (out * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        if job.what == "fill":
            return out.argmax(-1)
        exps = np.exp(out - out.max(-1, keepdims=True))
        return exps / exps.sum(-1, keepdims=True)

    return partial(_by_length, run)


SIDES: dict[str, Callable[[Job], Run]] = {
    "ours float32": partial(ours, precision="float32"),
    "ours float16": partial(ours, precision="float16"),
    "ours int16": partial(ours, precision="int16"),
    "ours bfloat16": partial(ours, precision="bfloat16"),
    "ours, exported to ONNX": ours_exported,
    "pipeline": partial(pipeline, batch_size=None),
    "pipeline, batch 32": partial(pipeline, batch_size=BATCH),
    "sentence-transformers": partial(sentence_transformers, dtype="float32"),
    "sentence-transformers bfloat16": partial(sentence_transformers, dtype="bfloat16"),
    "transformers, sorted": partial(transformers_sorted, dtype="float32"),
    "transformers bfloat16, sorted": partial(transformers_sorted, dtype="bfloat16"),
    "ONNX Runtime float32": partial(onnx_runtime, file="model.onnx"),
    "ONNX Runtime int8": partial(onnx_runtime, file="model-int8.onnx"),
}


def _by_length(run: Callable[[Sequence[str]], NDArray[Any]], texts: list[str]) -> NDArray[Any]:
    """Batches of texts of similar length, answers in the order of the texts."""
    order = np.argsort([-len(text) for text in texts], kind="stable")
    parts = [run([texts[i] for i in order[first : first + BATCH]]) for first in range(0, len(texts), BATCH)]
    return np.concatenate(parts)[np.argsort(order)]


def _float32(tensor: Any) -> NDArray[np.float32]:
    return tensor.float().cpu().numpy()


def main() -> None:
    """Serve measurements until the input ends."""
    warnings.simplefilter("ignore")
    job = Job.read(Path(sys.argv[2]))
    run = SIDES[sys.argv[1]](job)
    run(job.texts[:BATCH])
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "all":
            took = timed(lambda: run(job.texts))
            np.save(sys.argv[3], took.result)
            print(json.dumps({"wall_s": took.wall_s, "cpu_s": took.cpu_s}), flush=True)
        else:
            times = timed_often(partial(run, [job.short]), most=SHORT_RUNS, seconds=SHORT_S)
            clocks = {"wall_s": [each.wall_s for each in times], "cpu_s": [each.cpu_s for each in times]}
            print(json.dumps(clocks), flush=True)


if __name__ == "__main__":
    main()

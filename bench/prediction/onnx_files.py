"""A model folder -> ONNX files for ONNX Runtime, as its own tools make them: `python -m prediction.onnx_files JOB`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from bertsmith.benchmarks.infer_job import Job
from bertsmith.export.onnx_folder import write_onnx_folder
from bertsmith.export.quantise import quantise_dynamic
from bertsmith.inference.predictor import load
from prediction.sides import EXPORTED, MODELS


class Exported(nn.Module):
    """What a side reads, and no more: hidden states, class logits, or the logits of one masked place a text."""

    def __init__(self, model: nn.Module, what: str) -> None:
        super().__init__()
        self.model, self.what = model, what

    def forward(self, input_ids: Tensor, attention_mask: Tensor, places: Tensor) -> Tensor:
        """(B, T), (B, T), (B,) -> (B, T, D), (B, O) or (B, V)."""
        if self.what == "classify":
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        if self.what == "embed":
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        hidden = self.model.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.model.cls(hidden[torch.arange(hidden.shape[0]), places])


def export(what: str, folder: Path) -> None:
    """`model.onnx` with fused operators, and `model-int8.onnx`, quantised dynamically, a scale a channel."""
    import transformers
    from onnx import TensorProto
    from onnxruntime.transformers.optimizer import optimize_model

    model = getattr(transformers, MODELS[what]).from_pretrained(folder, attn_implementation="eager").eval()
    shape = {0: "batch", 1: "tokens"}
    ids = torch.randint(1000, 1100, (2, 9))
    torch.onnx.export(
        Exported(model, what),
        (ids, torch.ones_like(ids), torch.tensor([1, 2])),
        str(folder / "plain.onnx"),
        input_names=["input_ids", "attention_mask", "places"],
        output_names=["out"],
        dynamic_axes={"input_ids": shape, "attention_mask": shape, "places": {0: "batch"}, "out": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    fused = optimize_model(
        str(folder / "plain.onnx"),
        model_type="bert",
        num_heads=model.config.num_attention_heads,
        hidden_size=model.config.hidden_size,
    )
    print(fused.get_fused_operator_statistics(), file=sys.stderr)
    fused.save_model_to_file(str(folder / "model.onnx"))
    # The type is that of the fused operators, which the quantiser does not know.
    quantise_dynamic(folder / "model.onnx", folder / "model-int8.onnx", DefaultTensorType=TensorProto.FLOAT)


def export_ours(folder: Path) -> None:
    """What `bertsmith export --to onnx` makes, in a folder within."""
    exported = folder / EXPORTED
    exported.mkdir()
    write_onnx_folder(load(folder), exported, int8=False, calibration=())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    job = Job.read(Path(sys.argv[1]))
    export(job.what, Path(job.folder))
    export_ours(Path(job.folder))

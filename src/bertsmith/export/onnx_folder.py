"""A model -> a folder with an ONNX graph, the tokenizer and `config.json`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from bertsmith.errors import ConfigError
from bertsmith.files import write_json
from bertsmith.inference.predictor import Predictor
from bertsmith.model.config_json import CONFIG, EXPORTED_FROM, GRAPH, config_to_hf

NEEDED = ("onnx", "onnxscript", "onnxruntime")


def write_onnx_folder(predictor: Predictor, folder: Path, *, int8: bool, calibration: Sequence[str]) -> None:
    """Write `model.onnx` and what belongs to it.

    Args:
        predictor: the model.
        folder: where; it is there.
        int8: with weights of eight bits.
        calibration: texts; with them the scales of what flows through the graph are fixed.

    Raises:
        ConfigError: a package is not installed.
        ModelFolderError: the model is an export already.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigError(f"exporting to ONNX needs {', '.join(missing)} too: pip install 'bertsmith[export]'")
    from bertsmith.export.graph import Graph, write_graph
    from bertsmith.export.quantise import quantise_dynamic, quantise_static

    bert, tokenizer = predictor.bert.to("cpu"), predictor.tokenizer
    write_json(folder / CONFIG, {**config_to_hf(bert), EXPORTED_FROM: Path(predictor.name).resolve().name})
    tokenizer.save(folder)
    exact = folder / "exact.onnx" if int8 else folder / GRAPH
    write_graph(bert, tokenizer.mask_id, exact)
    if not int8:
        return
    if calibration:
        inputs = Graph(bert, tokenizer.mask_id).inputs
        quantise_static(exact, folder / GRAPH, tokenizer, calibration, inputs, masked=bert.fills)
    else:
        quantise_dynamic(exact, folder / GRAPH)
    exact.unlink()

"""--compile: refused where it does not pay, and no other numbers where it is used."""

import pytest
import torch
from bert_twins import rows, tiny_bert

from bertsmith.cli.main import main
from bertsmith.errors import ConfigError
from bertsmith.model import compiling
from bertsmith.model.compiling import check_compiler, compile_layers, copy_of
from bertsmith.model.formats import to_hf_tensors


def test_a_processor_is_refused_before_anything_is_prepared(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("A nurse saw the doctor. The doctor saw the nurse.")
    words = ["pretrain", str(tmp_path / "notes.txt"), "--out", str(tmp_path / "run"), "--compile", "--device", "cpu"]
    assert main(words) == 2
    assert "--compile: the run is on the processor" in capsys.readouterr().err
    assert not list(tmp_path.glob("run/**/*.arrow"))


def test_triton_is_asked_for(monkeypatch):
    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="--compile needs triton"):
        check_compiler(torch.device("cuda"))
    monkeypatch.setattr(compiling, "find_spec", lambda name: True)
    check_compiler(torch.device("cuda"))


@pytest.mark.filterwarnings("ignore")  # of what the compiler does while it looks about
def test_layers_are_traced_whole_and_compute_the_same(monkeypatch):
    """Everything that the compiler does before it makes code for a card."""
    bert, batch = tiny_bert(), rows([6, 3, 1], 6)
    real, names = batch["sequence_ids"].bool(), list(to_hf_tensors(bert))
    usual = bert(**batch)[real]
    usual.square().sum().backward()
    gradients = [parameter.grad for parameter in bert.encoder.layers.parameters()]
    bert.zero_grad()
    whole = torch.nn.Module.compile
    calls = []

    def traced(layer, **more):
        calls.append(layer)
        whole(layer, backend="aot_eager", fullgraph=True, **more)

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    compile_layers(bert)
    assert calls == list(bert.encoder.layers)
    made = bert(**batch)[real]
    torch.testing.assert_close(made, usual, atol=1e-5, rtol=1e-5)
    made.square().sum().backward()
    for parameter, gradient in zip(bert.encoder.layers.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-4, rtol=1e-4)
    assert list(to_hf_tensors(bert)) == names


@pytest.mark.filterwarnings("ignore")
def test_a_copy_is_compiled_where_its_model_is(monkeypatch):
    """Ranks that divide a model train a copy."""
    bert, calls = tiny_bert(), []
    whole = torch.nn.Module.compile

    def noted(layer):
        calls.append(layer)
        whole(layer)

    monkeypatch.setattr(torch.nn.Module, "compile", noted)
    compile_layers(bert)
    copied = copy_of(bert)
    assert calls == [*bert.encoder.layers, *copied.encoder.layers]
    assert copied.encoder.layers[0] is not bert.encoder.layers[0]

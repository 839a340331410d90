"""The compiled encoder against the plain one."""

import ctypes.util
import gc
import shutil
import warnings

import pytest
import torch
from flat_rows import packed_rows, plain
from long_vectors import compile_with_long_vectors

from bertsmith.inference.fast import fast_copy
from bertsmith.model import native_encoder
from bertsmith.model.bert import Bert
from bertsmith.model.encoder_by_length import SHORT_TOKENS, EncoderByLength
from bertsmith.model.flat_encoder import FlatEncoder
from bertsmith.model.native import encoder as native
from bertsmith.model.native import files, passes, tiles, whole
from bertsmith.model.native_encoder import NativeEncoder, native_is_faster, native_is_faster_for_short_texts

there = pytest.mark.skipif(native.library() is None, reason="bertsmith was installed without a C compiler, or no AVX2")
HERE = native.library.__wrapped__  # whatever tests put in its place


def compiled(test):
    """Once with each of what was compiled."""
    return there(pytest.mark.usefixtures("build")(test))


@pytest.fixture(params=[*(build.name for build in native.BUILDS), "long_vectors"])
def build(request, monkeypatch):
    """What the encoder is computed by; for a processor with AVX512 also on one without, slowly, in vectors as long."""
    if request.param == "long_vectors":
        made = request.getfixturevalue("long_vectors")
    else:
        monkeypatch.setattr(native, "BUILDS", [each for each in native.BUILDS if each.name == request.param])
        made = HERE()
    if made is None:
        pytest.skip("not for this processor")
    monkeypatch.setattr(native, "library", lambda: made)


@pytest.fixture(scope="session")
def long_vectors(tmp_path_factory):
    path = compile_with_long_vectors("encoder", tmp_path_factory.mktemp("native"))
    return native.Library(files.open_native(path, layout=native.layout(32), functions=native.FUNCTIONS), 32)


# Widths that panels do not divide, heads that eight do not.
SHAPES = [{}, {"hidden_size": 60, "num_attention_heads": 3, "intermediate_size": 100}, {"hidden_size": 12}]


OF_ENCODER = [(build.name, build.needs) for build in native.BUILDS]


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(("name", "needs"), [*OF_ENCODER, *passes.BUILDS, *whole.BUILDS, ("tiles", tiles.AMX)])
def test_where_there_is_a_compiler_all_is_compiled_that_the_processor_can_run(name, needs):
    if not all(torch.cpu.get_capabilities().get(each) for each in needs):
        pytest.skip("not for this processor")
    assert files.find_spec(f"bertsmith.model.native._{name}"), "install bertsmith again: pip install -e ."


@compiled
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("shape", SHAPES)
@torch.inference_mode()
def test_it_computes_what_the_plain_encoder_computes(shape, activation):
    encoder, config = plain(hidden_act=activation, **shape)
    rows, places = packed_rows([70, 40, 40, 30, 29, 9, 1, 70, 128])
    real = rows["sequence_ids"] > 0
    assert not real.all()
    ours = NativeEncoder(encoder, config, torch.float32)
    torch.testing.assert_close(ours(**rows)[real], encoder(**rows)[real], atol=1e-5, rtol=1e-5)
    assert not ours(**rows)[~real].any()
    for some in (places, places[1:], places[:0], places[[3, 9, 3, 0, 1]], places.repeat(40)):
        torch.testing.assert_close(ours(**rows, places=some), encoder(**rows, places=some), atol=1e-5, rtol=1e-5)
    for made, wanted in zip(ours.hidden_states(**rows), encoder.hidden_states(**rows), strict=True):
        torch.testing.assert_close(made[real], wanted[real], atol=1e-5, rtol=1e-5)
    rows, _ = packed_rows([23] * 3)
    rows["sequence_ids"] = None
    torch.testing.assert_close(ours(**rows), encoder(**rows), atol=1e-5, rtol=1e-5)


@compiled
@torch.inference_mode()
@pytest.mark.parametrize("shape", [*SHAPES, {"hidden_size": 33, "num_attention_heads": 1, "intermediate_size": 700}])
def test_whole_numbers_cost_four_digits(shape):
    """Also of widths that are odd, or several groups and a rest."""
    encoder, config = plain(**shape)
    rows, places = packed_rows([50, 3, 17, 70, 128, 1])
    real = rows["sequence_ids"] > 0
    ours = NativeEncoder(encoder, config, torch.int16)
    exact, made = encoder(**rows), ours(**rows)
    assert 1e-5 < (made - exact)[real].abs().max() < 5e-3
    assert torch.cosine_similarity(made[real], exact[real], dim=1).min() > 0.99999
    assert not made[~real].any()
    for some in (places, places[[3, 1, 3, 0]], places.repeat(40)):
        torch.testing.assert_close(ours(**rows, places=some), made.flatten(0, 1)[some], atol=1e-6, rtol=1e-6)


@compiled
@torch.inference_mode()
def test_whole_numbers_have_a_scale_for_each_group_of_a_row_and_of_an_output():
    """What is large makes only what shares its scale less exact."""
    encoder, config = plain(intermediate_size=512)
    rows, _ = packed_rows([50, 3, 17])
    real = rows["sequence_ids"] > 0
    for layer in encoder.layers:
        layer.widen.weight[:256].mul_(1e4)  # of a group of the inner width
        layer.narrow.weight[:, :256].mul_(1e-4)
        layer.attention.output.weight[0].zero_()
    off = (NativeEncoder(encoder, config, torch.int16)(**rows) - encoder(**rows))[real]
    assert off.abs().max() < 1e-2


@compiled
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@torch.inference_mode()
def test_whole_numbers_do_not_hide_what_is_none(broken):
    encoder, config = plain(hidden_act="relu")
    rows, _ = packed_rows([9])
    encoder.layers[0].widen.bias[0] = broken  # found in a row
    assert not NativeEncoder(encoder, config, torch.int16)(**rows).isfinite().any()
    encoder, config = plain(hidden_act="relu")
    encoder.layers[0].narrow.weight[3, 0] = broken  # found in a weight
    assert not NativeEncoder(encoder, config, torch.int16)(**rows).isfinite().all()


@compiled
@torch.inference_mode()
def test_rows_of_zeros_stay_zeros_in_whole_numbers():
    encoder, config = plain(hidden_act="relu")
    rows, _ = packed_rows([9])
    for layer in encoder.layers:
        layer.widen.bias.fill_(-1e6)  # so that nothing passes
    made, exact = NativeEncoder(encoder, config, torch.int16)(**rows), encoder(**rows)
    torch.testing.assert_close(made, exact, atol=5e-3, rtol=1e-3)


@compiled
@torch.inference_mode()
def test_scores_and_values_may_be_of_any_size():
    encoder, config = plain()
    for layer in encoder.layers:
        layer.attention.qkv.weight.mul_(30)
        layer.widen.weight.mul_(1e4)
    rows, _ = packed_rows([40, 20, 12])
    real = rows["sequence_ids"] > 0
    made, plainly = (each(**rows)[real] for each in (NativeEncoder(encoder, config, torch.float32), encoder))
    exact = encoder.double()(**rows)[real]
    # Where two scores are nearly the same, the larger one decides: float32 itself is as far off.
    assert (made - exact).abs().max() < 5 * (plainly - exact).abs().max() < 0.01


@compiled
@pytest.mark.parametrize("dtype", [torch.float32, torch.int16])
@torch.inference_mode()
def test_a_sequence_is_bit_for_bit_the_same_beside_others_and_on_any_number_of_cores(dtype):
    encoder, config = plain(hidden_size=48)
    ours, threads = NativeEncoder(encoder, config, dtype), torch.get_num_threads()
    rows, places = packed_rows([70, 40, 31, 90, 5] * 4)
    try:
        made = []
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            made.append((ours(**rows), ours(**rows, places=places)))
    finally:
        torch.set_num_threads(threads)
    for all_of_them, some in made[1:]:
        assert torch.equal(all_of_them, made[0][0])
        assert torch.equal(some, made[0][1])
    here = (rows["sequence_ids"] == 1)[2]
    alone = {name: value[2:3, here] for name, value in rows.items()}
    assert torch.equal(ours(**alone)[0], made[0][0][2, here])


@compiled
@torch.inference_mode()
def test_places_that_are_no_tokens_are_refused():
    encoder, config = plain()
    ours = NativeEncoder(encoder, config, torch.float32)
    rows, _ = packed_rows([9, 9, 5])
    padding = int((rows["sequence_ids"].flatten() == 0).nonzero()[0])
    for place in (-1, padding, 1000, 1 << 40):
        with pytest.raises(IndexError, match="is padding, or beyond"):
            ours(**rows, places=torch.tensor([0, place]))
    rows, _ = packed_rows([9, 9])
    rows["sequence_ids"] = None
    for place in (-1, 18, 1000, 1 << 40):
        with pytest.raises(IndexError, match="there are 18"):
            ours(**rows, places=torch.tensor([0, place]))


@compiled
@torch.inference_mode()
def test_ids_that_no_table_has_are_refused():
    encoder, config = plain()
    rows, _ = packed_rows([9, 9])
    ours = NativeEncoder(encoder, config, torch.float32)
    for name, most in (("input_ids", 50), ("token_type_ids", 2), ("position_ids", 128)):
        for wrong in (-1, most, 1 << 40):
            with pytest.raises(IndexError, match="does not have"):
                ours(**{**rows, name: torch.full_like(rows[name], wrong)})


@compiled
@torch.inference_mode()
def test_many_rows_and_wide_layers_on_several_cores():
    """So many that each product is made in several stretches of rows."""
    encoder, config = plain(intermediate_size=400)
    rows, places = packed_rows([128, 90, 100, 70, 60, 110] * 3)
    real = rows["sequence_ids"] > 0
    assert real.sum() > 1500
    ours, threads = NativeEncoder(encoder, config, torch.float32), torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        torch.testing.assert_close(ours(**rows)[real], encoder(**rows)[real], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours(**rows, places=places), encoder(**rows, places=places), atol=1e-5, rtol=1e-5)
    finally:
        torch.set_num_threads(threads)


@compiled
@torch.inference_mode()
def test_broken_weights_are_not_hidden():
    encoder, config = plain(hidden_act="relu")
    encoder.layers[0].widen.bias[0] = torch.nan
    rows, _ = packed_rows([9])
    assert NativeEncoder(encoder, config, torch.float32)(**rows).isnan().all()


@compiled
@torch.inference_mode()
def test_it_computes_in_float32_whatever_the_model_and_torch_are_set_to():
    encoder, config = plain()
    rows, places = packed_rows([9, 9, 4])
    wanted = NativeEncoder(encoder, config, torch.float32)(**rows, places=places)
    assert torch.equal(NativeEncoder(encoder.double(), config, torch.float32)(**rows, places=places), wanted)
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        assert torch.equal(NativeEncoder(encoder, config, torch.float32)(**rows, places=places), wanted)
    finally:
        torch.set_default_dtype(default)


@compiled
@torch.inference_mode()
def test_positions_may_be_one_row_for_all():
    encoder, config = plain()
    rows, _ = packed_rows([23] * 3)
    rows["sequence_ids"], rows["position_ids"] = None, torch.arange(23)[None]
    for kind in (NativeEncoder, FlatEncoder):
        made = kind(encoder, config, torch.float32)(**rows)
        torch.testing.assert_close(made, encoder(**rows), atol=1e-5, rtol=1e-5)


@compiled
@torch.inference_mode()
def test_what_it_reads_outlives_the_model():
    encoder, config = plain()
    rows, _ = packed_rows([9, 9])
    wanted = encoder(**rows)
    ours = NativeEncoder(encoder, config, torch.float32)
    del encoder
    gc.collect()
    others = [torch.full_like(each, torch.nan) for each in ours.kept for _ in range(20)]  # where memory was freed
    torch.testing.assert_close(ours(**rows), wanted, atol=1e-5, rtol=1e-5)
    assert others


@pytest.mark.parametrize(
    ("processor", "dtype", "there", "faster"),
    [
        ({"avx2": True}, torch.float32, True, True),
        ({"avx2": True}, torch.int16, True, True),
        ({"avx2": True, "avx512_f": True}, torch.int16, True, True),
        ({"avx2": True}, torch.float16, True, False),
        ({"avx2": True}, torch.bfloat16, True, False),
        ({"avx2": True, "avx512_f": True}, torch.float32, True, False),
        ({"avx2": True}, torch.float32, False, False),
    ],
)
def test_it_is_for_all_texts_with_avx2_alone_and_for_short_ones_with_more(processor, dtype, there, faster, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    monkeypatch.setattr(native, "library", lambda: "compiled" if there else None)
    assert native_is_faster(dtype) == faster
    assert native_is_faster_for_short_texts() == (there and "avx512_f" in processor)


@pytest.mark.parametrize(
    ("all_texts", "short", "kind"),
    [
        pytest.param(True, False, NativeEncoder, marks=there),
        pytest.param(False, True, EncoderByLength, marks=there),
        (False, False, FlatEncoder),
    ],
)
def test_prediction_takes_it_where_it_is_faster(all_texts, short, kind, monkeypatch):
    monkeypatch.setattr("bertsmith.inference.fast.native_is_faster", lambda dtype: all_texts)
    monkeypatch.setattr("bertsmith.inference.fast.native_is_faster_for_short_texts", lambda: short)
    _, config = plain()
    bert = Bert(config, generator=torch.Generator().manual_seed(0)).eval()
    fast = fast_copy(bert, torch.float32)
    assert isinstance(fast.encoder, kind)
    assert fast.device == bert.device
    rows, places = packed_rows([7])
    torch.testing.assert_close(fast(**rows, places=places), bert(**rows, places=places), atol=1e-5, rtol=1e-5)


@there
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@torch.inference_mode()
def test_by_length_a_short_text_goes_the_compiled_way_and_a_long_one_torchs(dtype):
    encoder, config = plain()
    ours = EncoderByLength(encoder, config, dtype)
    short = NativeEncoder(encoder, config, torch.float32 if dtype == torch.float32 else torch.int16)
    long = FlatEncoder(encoder, config, dtype)
    for lengths, wanted in (([SHORT_TOKENS], short), ([SHORT_TOKENS + 1], long), ([SHORT_TOKENS // 2 + 1] * 2, long)):
        rows, places = packed_rows(lengths)
        assert torch.equal(ours(**rows, places=places), wanted(**rows, places=places))
        for made, each in zip(ours.hidden_states(**rows), wanted.hidden_states(**rows), strict=True):
            assert torch.equal(made, each)


@pytest.mark.parametrize("lacking", ["file", "processor", "system", "structures"])
def test_without_it_there_is_none(lacking, monkeypatch):
    """Not compiled; a processor that it is not for; a file of another system; one compiled from other sources."""
    needs = native.BUILDS[0].needs
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(needs, lacking != "processor"))
    origin = ctypes.util.find_library("m") if lacking == "structures" else __file__
    found = None if lacking == "file" else type("Spec", (), {"origin": origin})()
    opened = []
    load = files.ctypes.CDLL
    monkeypatch.setattr(files, "find_spec", lambda name: found)
    monkeypatch.setattr(files.ctypes, "CDLL", lambda name: opened.append(name) or load(name))
    native.library.cache_clear()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert native.library() is None
        assert all("Install bertsmith again" in str(each.message) for each in warned)
        assert bool(opened) == bool(warned)
        assert bool(opened) == (lacking in ("system", "structures"))
    finally:
        native.library.cache_clear()


@there
def test_what_was_compiled_of_other_sources_is_left_alone():
    path, (panel, functions) = native.library().code._name, (native.library().panel, native.FUNCTIONS)
    assert files.open_native(path, layout=native.layout(panel), functions=functions)
    assert files.open_native(path, layout=native.layout(panel + 1), functions=functions) is None
    assert files.open_native(path, layout=native.layout(panel), functions={**functions, "of_tomorrow": []}) is None


@compiled
def test_too_little_memory_is_an_error(monkeypatch):
    monkeypatch.setattr(
        native, "library", lambda: native.Library(type("Code", (), {"run_encoder": lambda *given: 1}), 16)
    )
    encoder, config = plain()
    rows, _ = packed_rows([9])
    with pytest.raises(MemoryError, match="fewer tokens"), torch.inference_mode():
        native_encoder.NativeEncoder(encoder, config, torch.float32)(**rows)

"""A model -> a folder that sentence-transformers opens: the encoder, and the mean over its tokens."""

from __future__ import annotations

from pathlib import Path

from bertsmith.files import make_folder, write_json, write_text
from bertsmith.inference.predictor import Predictor

_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
_CARD = """---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- bertsmith
---

# {name}

A vector of {width} numbers a text: the mean over its tokens, of the first {longest} at most.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{name}")
model.encode(["one text", "another"])  # (2, {width}) float32 array
```

`bertsmith.load("{name}").embed(texts)` gives the same vectors, and reads longer texts whole, in windows.
"""


def write_sentence_folder(predictor: Predictor, folder: Path, *, name: str) -> None:
    """Write the encoder under its name in `transformers`, the tokenizer, and the modules that go around them.

    Args:
        predictor: the model; heads it has stay behind.
        folder: where; it is there.
        name: what the card calls it.

    Raises:
        ModelFolderError: the model is an export already.
    """
    from bertsmith.model.bert import Bert
    from bertsmith.model.folder import write_model_folder

    config = predictor.config
    encoder = Bert(config, (), generator=None)
    encoder.encoder = predictor.bert.encoder
    write_model_folder(encoder, folder)
    predictor.tokenizer.save(folder)
    write_json(folder / "modules.json", _MODULES)
    write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": config.max_position_embeddings, "do_lower_case": False}
    )
    write_json(folder / "config_sentence_transformers.json", {"prompts": {}, "similarity_fn_name": "cosine"})
    make_folder(folder / "1_Pooling")
    write_json(
        folder / "1_Pooling" / "config.json",
        {"word_embedding_dimension": config.hidden_size, "pooling_mode_mean_tokens": True},
    )
    card = _CARD.format(name=name, width=config.hidden_size, longest=config.max_position_embeddings)
    write_text(folder / "README.md", card)

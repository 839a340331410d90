import pytest
import torch

from bertsmith.config import ModelConfig
from bertsmith.export.run import export
from bertsmith.model.bert import Bert
from bertsmith.model.folder import write_model_folder
from bertsmith.text.wordpiece import WordPiece
from export.models import HEADS


@pytest.fixture(scope="session")
def folder_of(tiny_bert, tmp_path_factory):
    """Makes model folders with random heads."""
    tokenizer = WordPiece.load(tiny_bert)

    def make(architecture, case, **shape):
        folder = tmp_path_factory.mktemp("models") / f"{architecture}-{case}"
        small = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
        if architecture == "modernbert":
            small["local_attention"] = 8
        config = ModelConfig(
            architecture=architecture,
            vocab_size=tokenizer.vocab_size,
            max_position_embeddings=32,
            initializer_range=0.5,
            **{**small, **shape},
        )
        head = HEADS[case]
        parts = None if head is None else ()
        bert = Bert(config, parts, head=head, generator=torch.Generator().manual_seed(3))
        write_model_folder(bert, folder)
        tokenizer.save(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def exported(folder_of, tmp_path_factory):
    """Folders, their ONNX folders, and what the gate found; each is made once."""
    made = {}

    def make(architecture, case):
        if (architecture, case) not in made:
            folder, out = folder_of(architecture, case), tmp_path_factory.mktemp("out") / f"{case}-onnx"
            made[architecture, case] = folder, out, export(folder, "onnx", out).verdict
        return made[architecture, case]

    return make

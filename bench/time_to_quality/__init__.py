"""How long bertsmith and the `Trainer` of transformers pretrain to reach a held-out loss, on the same documents."""

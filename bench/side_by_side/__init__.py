"""The same weights, examples, recipe and seeds through bertsmith and through the `Trainer` of transformers."""

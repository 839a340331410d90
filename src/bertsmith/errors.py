"""Every error that a user can cause, as one tree.

    BertsmithError                 exit status 1: the run failed
    ├── CheckpointError            a checkpoint is damaged, or belongs to another run
    ├── DivergedError              the loss of a training became infinite
    ├── DiskFullError              no room left; what was saved before is whole
    ├── RankLostError              another process of a distributed run no longer answers
    ├── StoreError                 a remote store fails, or does not answer
    ├── StoppedError               Ctrl-C or SIGTERM; the run was saved and can go on
    └── InputError                 exit status 2: the user's words or data are wrong
        ├── ConfigError            an option that is unknown, out of range, or contradicts another
        ├── CorpusError            text to read: missing, undecodable, malformed, empty
        ├── PreparedCorpusError    a prepared corpus that is missing, damaged, or made of something else
        ├── TokenizerError         a tokenizer that is missing, or does not fit
        ├── ModelFolderError       a model folder that is missing, incomplete, or no BERT
        └── ShapeError             arrays whose shapes contradict each other

A message names the place, what was found, what would do, and the next step.
"""

__all__ = [
    "BertsmithError",
    "CheckpointError",
    "ConfigError",
    "CorpusError",
    "DiskFullError",
    "DivergedError",
    "InputError",
    "ModelFolderError",
    "PreparedCorpusError",
    "RankLostError",
    "ShapeError",
    "StoppedError",
    "StoreError",
    "TokenizerError",
]


class BertsmithError(Exception):
    """Root of all errors that bertsmith raises on purpose."""

    exit_status = 1


class CheckpointError(BertsmithError):
    """A checkpoint is damaged, or was written by a run with other settings."""


class DiskFullError(BertsmithError):
    """The disk is full; everything that was saved before is still whole."""


class DivergedError(BertsmithError):
    """The loss or the gradient of a training became infinite, or no number."""


class RankLostError(BertsmithError):
    """Another process of a distributed run no longer answers; the same command goes on from what was saved."""


class StoreError(BertsmithError):
    """A remote store fails or does not answer, however often it was asked; the same command goes on."""


class StoppedError(BertsmithError):
    """The user stopped the run; it was saved and the same command goes on with it."""


class InputError(BertsmithError):
    """The user's words or data are wrong."""

    exit_status = 2


class ConfigError(InputError):
    """An option is unknown, out of range, or contradicts another."""


class CorpusError(InputError):
    """Text to be read is missing, undecodable, malformed or empty."""


class PreparedCorpusError(InputError):
    """A prepared corpus is missing, damaged, or was made from something else."""


class TokenizerError(InputError):
    """A tokenizer is missing, damaged, or does not fit the model."""


class ModelFolderError(InputError):
    """A model folder is missing, incomplete, or holds something that is no BERT."""


class ShapeError(InputError):
    """Arrays whose shapes contradict each other."""

"""The command `bertsmith`. Commands are loaded when they are called, so that `--help` stays quick."""

from __future__ import annotations

import difflib
import os
import sys
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, Parameter
from cyclopts.argument import ArgumentCollection
from cyclopts.config import Dict, Env
from cyclopts.exceptions import UnusedCliTokensError

from bertsmith import __version__, environment
from bertsmith.errors import BertsmithError, ConfigError, InputError, StoppedError

FAILED, USAGE = 1, 2

GROUPS: Mapping[str, str] = {
    "tokenizer": "Train a WordPiece vocabulary, or see how one fits a text.",
    "bench": "How fast this machine is at it, beside other libraries.",
}

# The words of a command -> its function, and its help. The help stands here so that listing imports nothing.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "tokenizer train": ("tokenizer:train", "Train a WordPiece vocabulary on raw text."),
    "tokenizer report": (
        "tokenizer:report",
        "How a tokenizer cuts a text: unknown words, WordPieces a word, the words it cuts worst.",
    ),
    "demo": (
        "demo:demo",
        """The whole journey in about three minutes, with no file and no network.

        The text is the documentation of the Python that runs it. Run again, it goes on where it stopped.""",
    ),
    "prepare": (
        "prepare:prepare",
        """Raw text to a prepared corpus: tokenized documents in Arrow files.

        Without a tokenizer it trains one. Run again, it goes on where it stopped.""",
    ),
    "preview": (
        "preview:preview",
        """How a corpus's own sentences will be cut, paired, masked and packed, before any training.""",
    ),
    "pretrain": (
        "pretrain:pretrain",
        """Pretrain a BERT on raw text, or on a prepared corpus.

        The budget is --steps, --epochs or --minutes; without one, 30 minutes. Ctrl-C saves first, and the
        same command again goes on where it stopped.""",
    ),
    "plan": (
        "plan:plan",
        """What a pretraining run takes, before it is begun: steps, hours, memory, disk, checkpoint traffic.

        The speed is measured on this machine, or assumed of --gpus; every assumption is told.""",
    ),
    "finetune": (
        "finetune:finetune",
        """Fine-tune a model on labelled examples: classify, sentiment, regress, tag, answer, choose.

        Labels are found in the data. Texts of any length are read, in windows where they are long. Ctrl-C saves
        first, and the same command again goes on where it stopped.""",
    ),
    "evaluate": (
        "evaluate:evaluate",
        """How good a fine-tuned model is on labelled examples; with --suite, how good a pretrained one is on GLUE,
        SQuAD or CoNLL: it is fine-tuned on each of their tasks first.""",
    ),
    "predict": (
        "predict:predict",
        """What a fine-tuned model says of texts: labels, scores, entities, answers, choices.""",
    ),
    "fill": (
        "fill:fill",
        """The likeliest words at each [MASK] of a text, with their probabilities.

        Several masks are filled one by one, each while the others stay masked.""",
    ),
    "embed": (
        "embed:embed",
        """A vector for each line of a file: a numpy array (lines, hidden_size) of float32.

        A line that is longer than the model is read in windows, whose vectors are averaged.""",
    ),
    "explain": (
        "explain:explain",
        """What happens to a text on its way through a model, with every number, as one page that opens from disk.

        The walk from the words to the guess, all attention heads, and the words that made the prediction.""",
    ),
    "serve": (
        "serve:serve",
        """Answer over HTTP: fill, classify, tag, answer, choose, embed, explain, and embeddings in OpenAI's shape.

        Requests that come together are computed together; what is too much is refused at once. Needs the extra
        `serve`. Ends on SIGTERM or Ctrl-C, once what it has taken is answered.""",
    ),
    "bench train": (
        "bench:train",
        """What pretraining needs on this machine: tokens/s, memory, and hours for each size, by taking steps.

        Takes about a minute. The options of pretraining say what a step is; with --size only that size is measured.""",
    ),
    "bench infer": (
        "bench:infer",
        """How fast a model folder answers on this machine: texts of mixed lengths, and one short text alone.

        What is asked is what the model is for: its task, masks to fill, or vectors.""",
    ),
    "bench prepare": (
        "bench:prepare",
        """How fast a corpus is prepared, beside `tokenizers` alone on the same text and cores.""",
    ),
    "export": (
        "export:export",
        """Hand a model over: ONNX (without torch), ONNX in eight bits, a sentence-transformers folder, the Hub.

        What is lost is measured first: outputs beside the model's, and with --dev the score before and after.""",
    ),
    "import": (
        "import_:import_",
        """Turn a Hugging Face BERT or ModernBERT folder into a run folder: safetensors, today's tensor names.

        A legacy pytorch_model.bin is read here and nowhere else, and only its weights. Parts that the folder
        does not have are listed, not made up.""",
    ),
}


def _options_from_file(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Fill options that neither a flag nor the environment has set from the file of `--config`."""
    given = next((arg.tokens for arg in arguments if "--config" in arg.names), [])
    if not given:
        return
    path = Path(given[0].value)
    values = _read_toml(path)
    known = sorted({name.lstrip("-") for arg in arguments for name in arg.names if name.startswith("--")})
    for key in values:
        if key.replace("_", "-") not in known:
            raise ConfigError(_unknown_key(path, key, known))
    Dict(values, source=str(path), use_commands_as_keys=False)(app, commands, arguments)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}). Check --config.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no valid TOML: {error}") from None


def _unknown_key(path: Path, key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key.replace("_", "-"), known, n=1)
    hint = f'did you mean "{near[0].replace("-", "_")}"?' if near else "--help lists what there is."
    return f'{path}: unknown option "{key}": {hint}'


def build_app() -> App:
    """The command line; none of its commands is imported yet."""
    app = App(
        name="bertsmith",
        help="From raw text to your own BERT, with one tool, on the hardware you have.",
        version=__version__,
        config=(Env("BERTSMITH_", command=False, show=False), _options_from_file),
        default_parameter=Parameter(negative_iterable=(), negative_none=()),
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    groups = {name: App(name=name, help=text) for name, text in GROUPS.items()}
    for group in groups.values():
        app.command(group)
    for words, (home, text) in COMMANDS.items():
        group_name, _, name = words.rpartition(" ")
        groups.get(group_name, app).command(f"bertsmith.cli.{home}", name=name, help=text)
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the words after `bertsmith`; the process's own if not given.

    Returns:
        The exit status: 0 done, 1 failed, 2 the user's words or data are wrong.
    """
    debug = bool(os.environ.get("BERTSMITH_DEBUG"))
    environment.set_defaults()
    warnings.showwarning = _show_warning
    try:
        build_app()(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as in `bertsmith … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (BertsmithError, CycloptsError, OSError) as error:
        if debug:
            raise
        if os.environ.get("RANK", "0") != "0" and isinstance(error, InputError | StoppedError | CycloptsError):
            return FAILED  # the first rank of this run says it
        hint = " Is an option misspelt? --help lists them." if isinstance(error, UnusedCliTokensError) else ""
        _complain(str(error) + hint)
        return USAGE if isinstance(error, CycloptsError) else getattr(error, "exit_status", FAILED)
    except (MemoryError, RuntimeError) as error:
        if debug or not _is_lack_of_memory(error):
            raise
        first = str(error).strip().partition("\n")[0]
        _complain(
            f"not enough memory{first and f' ({first})'}. Give less at once, as with a smaller batch or shorter rows, "
            "or take a smaller model; what was saved is kept."
        )
        return FAILED
    except KeyboardInterrupt:
        if debug:
            raise
        _complain("stopped by Ctrl-C; what was finished is kept, and the same command goes on from there")
        return FAILED
    return 0


def _is_lack_of_memory(error: Exception) -> bool:
    """Whether it is Python's or torch's, which has a class of its own for a GPU's alone; torch need not be loaded."""
    of_torch = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or of_torch


def _complain(message: str) -> None:
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.print("error: " + message.rstrip(), style="red", markup=False, soft_wrap=True)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    from bertsmith.progress import Terminal

    Terminal().warn(str(message))

"""`bertsmith serve MODEL…`."""

from importlib.util import find_spec
from typing import Annotated

from cyclopts import Group, Parameter

from bertsmith.cli.common import ConfigFile, Json, PrecisionOption, answer, reporter
from bertsmith.errors import ConfigError
from bertsmith.serve_config import ServeConfig

NEEDED = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    models: Annotated[
        list[str], Parameter(help="Model folders; each has its folder's name, or give NAME=FOLDER.", negative="")
    ],
    *,
    options: Annotated[ServeConfig, Parameter(name="*", group=Group("Serving", sort_key=20))] = ServeConfig(),
    precision: PrecisionOption = "auto",
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    if any(find_spec(name) is None for name in NEEDED):
        raise ConfigError("serving needs fastapi, uvicorn and prometheus-client: pip install 'bertsmith[serve]'")
    from bertsmith.server.models import load_models, named_folders
    from bertsmith.server.run import address_of
    from bertsmith.server.run import serve as run
    from bertsmith.server.runs import Runs

    address_of(options)  # a mistake in it is told before models are opened
    runs = Runs(named_folders(models), precision=precision)
    loaded = load_models(models, precision=precision)

    def ready(url: str) -> None:
        if as_json:
            answer({"url": url, "models": list(loaded), "runs": runs.names})
        else:
            names = ", ".join([*loaded, *(f"{name} (no model yet)" for name in runs.names if name not in loaded)])
            reporter().say(f"{names}: see {url}/; what can be asked: {url}/openapi.json")

    run(loaded, options, runs=runs, ready=ready)

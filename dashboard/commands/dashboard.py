"""``chargewatch dashboard``: the web process with the wall and the operator's pages."""

from __future__ import annotations

import json

import click

from bridge.settings import load_settings


@click.command()
@click.option("--host", default=None, help="Address to listen on, instead of dashboard.host.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Port, instead of dashboard.port.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line with the address before serving.")
def command(host: str | None, port: int | None, as_json: bool) -> None:
    """Serve the wall and the operator's pages. Runs until stopped; settings by CHARGEWATCH_* or TOML."""
    from bridge.logs import configure_logs
    from dashboard.places import AssetsMissing, assets_folder
    from dashboard.serving import serve

    settings = load_settings()
    host, port = host or settings.dashboard.host, port or settings.dashboard.port
    here = settings.dashboard.model_copy(update={"host": host, "port": port})
    settings = settings.model_copy(update={"dashboard": here})
    try:
        assets_folder()
    except AssetsMissing as error:
        raise click.ClickException(str(error)) from error
    configure_logs(settings.log)
    address = f"http://{host}:{port}"
    click.echo(json.dumps({"address": address}) if as_json else f"chargewatch dashboard on {address}")
    serve(settings, host, port)

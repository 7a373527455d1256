"""Commands of published models: another rate, the registry, champion and challenger."""

from pathlib import Path

import click

from endline.commands.shared import (
    ENV,
    GROUP,
    MODEL,
    NOTHING_TO_DO,
    RUN,
    STATION,
    checked_project,
    cli,
    configured_project,
    plain_errors,
)
from endline.errors import EndlineError


@cli.command()
@click.option(
    "--false-alarm-rate", "rate", type=float, required=True, help="Stated share of good parts that is flagged."
)
@STATION
@RUN
@MODEL
@ENV
def recalibrate(rate: float, station: str | None, run: str | None, model: str | None, env: str | None) -> None:
    """Publish the station's latest model, or another, with a new false-alarm rate; nothing is trained."""
    from endline.operations.model_folders import chosen_model
    from endline.operations.recalibration import recalibrate as publish
    from endline.operations.registration import register_recalibrated
    from endline.operations.registry import Registry

    with plain_errors():
        project = checked_project(env)
        chosen = chosen_model(project, station, run, env, model)
        done = publish(project, chosen.model, rate, env)
        for line in done.lines():
            click.echo(line)
        if chosen.registered is not None:
            known = register_recalibrated(Registry.of(project, env), done.folder, done.after.run, chosen.registered)
            click.echo(f"Registered as {known.label}, the challenger.")


@cli.command()
@click.argument("run")
@ENV
def register(run: str, env: str | None) -> None:
    """Register the model that RUN has published: what each run does at its end, where the registry answers."""
    from endline.evidence.station import station_names
    from endline.operations.registration import register_run
    from endline.operations.registry import Registry
    from endline.operations.sweep.resolved import configuration
    from endline.versions import versioned_folders

    with plain_errors():
        project = configured_project(env)
        folders = versioned_folders(configuration(project, env, {})["catalog"], station_names())
        for known in register_run(Registry.of(project, env), folders, run):
            click.echo(f"Registered as {known.label}.")


@cli.command()
@click.argument("station", default="mirror_audio")
@GROUP
@click.option("--run", help="Judge the model of this run instead of the challenger.")
@click.option(
    "--acceptance", type=click.Path(path_type=Path), help="Acceptance set instead of that of conf/base/promotion.yml."
)
@click.option("--force", is_flag=True, help="Promote it whatever the criteria say; needs --why.")
@click.option("--why", help="Reason of --force, which is recorded.")
@ENV
def promote(
    station: str,
    group: str | None,
    run: str | None,
    acceptance: Path | None,
    force: bool,
    why: str | None,
    env: str | None,
) -> None:
    """Let STATION's challenger be champion, if it is no worse on the acceptance set; exit status 3: it is not."""
    from endline.operations.promotion_command import Wish
    from endline.operations.promotion_command import promote as judge

    with plain_errors():
        if force != bool((why or "").strip()):
            raise EndlineError(
                "--force and --why=<reason> go together: a forced promotion is recorded with its reason."
            )
        wish = Wish(station, group, run, acceptance, why.strip() if why else None)
        champion = judge(configured_project(env), wish, env, click.echo)
    if not champion:
        raise SystemExit(NOTHING_TO_DO)


@cli.command()
@click.argument("station", default="mirror_audio")
@GROUP
@click.option("--why", default="", help="Reason, which is recorded.")
@ENV
def rollback(station: str, group: str | None, why: str, env: str | None) -> None:
    """Let STATION's champion before the current one be champion again."""
    from endline.operations.promotion_command import rollback as restore

    with plain_errors():
        click.echo(restore(checked_project(env), station, group, env, why))

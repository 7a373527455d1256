"""Commands that judge: files, a folder that is watched, something that runs on, and why a part was judged so."""

from pathlib import Path

import click

from endline.commands.shared import (
    ENV,
    LOG,
    MODEL,
    RUN,
    STATION,
    check_names,
    checked_project,
    cli,
    plain_errors,
    verdict_log_file,
)


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@STATION
@RUN
@MODEL
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Table of verdicts, .parquet or .csv; goes on.")
@click.option("--maps", type=click.Path(path_type=Path), help="Folder for anomaly maps, an .npy file an item.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes; they share the cores."
)
@LOG
@ENV
def inspect(
    files: tuple[Path, ...],
    station: str | None,
    run: str | None,
    model: str | None,
    output: Path | None,
    maps: Path | None,
    workers: int,
    log: bool | None,
    env: str | None,
) -> None:
    """Judge new FILES (recordings, photographs, cycles), or all of a folder, by a station's latest run or another."""
    from endline.operations.inspect_command import run_inspect
    from endline.operations.model_folders import chosen_model

    with plain_errors():
        check_names(files)
        project = checked_project(env)
        chosen = chosen_model(project, station, run, env, model)
        kept = verdict_log_file(project, chosen.model.station, log)
        run_inspect(files, chosen, output=output, maps=maps, workers=workers, log=kept)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@STATION
@RUN
@MODEL
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="Table of verdicts; goes on.")
@click.option("--every", type=float, default=1.0, show_default=True, help="Seconds between two looks at the folder.")
@click.option(
    "--settle", type=float, default=2.0, show_default=True, help="Seconds that a complete file stays the same."
)
@click.option("--once", is_flag=True, help="End when every file that is there has been judged.")
@LOG
@ENV
def watch(
    folder: Path,
    station: str | None,
    run: str | None,
    model: str | None,
    output: Path,
    every: float,
    settle: float,
    once: bool,
    log: bool | None,
    env: str | None,
) -> None:
    """Judge the files that come into FOLDER, each once, until Ctrl-C."""
    from endline.operations.model_folders import chosen_model
    from endline.operations.watch_command import run_watch
    from endline.operations.watching import WatchSettings

    with plain_errors():
        settings = WatchSettings(every, settle)
        project = checked_project(env)
        chosen = chosen_model(project, station, run, env, model)
        kept = verdict_log_file(project, chosen.model.station, log)
        run_watch(folder, chosen, output, settings, once=once, log=kept)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--station", default="robot_cycle", show_default=True, help="Whose latest run judges.")
@click.option("--window", type=int, help="Steps of a cycle whose mean score is one window's [default: 16].")
@click.option("--hop", type=float, help="From one window to the next: steps [default: 8], or seconds of a recording.")
@click.option("--rate", type=float, help="Stated rate of false alarms: a cycle [default: 0.05], or a window.")
@click.option("--follow", type=float, help="FILE is still written: it ends when it has not grown for so many seconds.")
@ENV
def stream(
    file: Path,
    station: str,
    window: int | None,
    hop: float | None,
    rate: float | None,
    follow: float | None,
    env: str | None,
) -> None:
    """Judge FILE window by window, with an alarm: a cycle as if it were running, or a recording of hours."""
    from endline.operations.model_folders import chosen_model
    from endline.operations.stream_command import StreamOptions, run_stream

    with plain_errors():
        check_names((file,))
        judging = chosen_model(checked_project(env), station, None, env).model
        run_stream(judging, file, StreamOptions(window, hop, rate, follow))


@cli.command()
@click.argument("sample")
@click.option("--station", help="Whose log of verdicts is read [default: all].")
@ENV
def audit(sample: str, station: str | None, env: str | None) -> None:
    """Show what decided on SAMPLE, an item or a file, and rebuild its score."""
    from endline.operations.audit import described, newest_entry, origin, rebuilt

    with plain_errors():
        project = checked_project(env)
        entry, told = newest_entry(project, sample, station)
        known = origin(project, entry, env)
        for line in (*described(entry, known), *told):
            click.echo(line)
        click.echo(rebuilt(entry, known))

"""Every command, option, detector, path and link of README and documentation exists."""

import re
import shlex
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest
import yaml

from endline.cli import cli
from endline.evidence.station import station_names

PROJECT = Path(__file__).parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
PAGES.remove(PROJECT / "CHANGELOG.md")  # it names what there was
TEXTS = {page.relative_to(PROJECT).as_posix(): page.read_text() for page in PAGES}
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
CONTINUED = re.compile(r"\\\n\s*")
INLINE = re.compile(r"`([^`\n]+)`")
INVENTED = "median_distance"  # the detector by which docs/how_to/detector.md shows how one is added


def commands() -> list[str]:
    """Lines of the shell blocks, and what stands in the text as a command, each once."""
    found: list[str] = []
    for text in TEXTS.values():
        lines = [line for block in BLOCK.findall(text) for line in CONTINUED.sub("", block).splitlines()]
        found += [line.split(" #")[0].strip() for line in lines if line.strip()]
        found += [code for code in INLINE.findall(text) if re.match(r"(kedro sweep|make) \w", code)]
    return sorted(set(found))


def inline(pattern: str) -> list[re.Match[str]]:
    """Matches of whole pieces of inline code."""
    return [match for text in TEXTS.values() for code in INLINE.findall(text) if (match := re.fullmatch(pattern, code))]


def parameters(station: str) -> str:
    return (PROJECT / f"conf/base/parameters/{station}.yml").read_text()


ALL_PARAMETERS = "\n".join(map(parameters, station_names()))
DETECTORS = {
    *yaml.safe_load((PROJECT / "conf/base/parameters/detectors.yml").read_text())["detectors"],
    "auto",
    INVENTED,
}
OWN = [
    line
    for line in commands()
    if (found := re.match(r"\S*?\b(?:kedro|endline) (\w+)", line)) and found[1] in cli.commands
]
PLUGINS = [line for line in commands() if re.match(r"kedro \w", line) and line not in OWN]


def test_a_shell_can_read_every_block() -> None:
    for page, text in TEXTS.items():
        for block in BLOCK.findall(text):
            done = subprocess.run(["bash", "-n", "-c", block], capture_output=True, text=True)
            assert done.stderr == "", page


@pytest.mark.parametrize("command", [line for line in commands() if line.startswith("make ")])
def test_make_knows_the_target(command: str) -> None:
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=PROJECT, check=True, capture_output=True)


@pytest.mark.parametrize("command", OWN)
def test_endline_knows_the_command_and_its_options(command: str) -> None:
    _, name, *words = shlex.split(command)
    context = cli.commands[name].make_context(name, list(words))  # raises for an unknown option
    assert isinstance(context, click.Context)
    if name == "sweep":
        described = "\n".join(
            (PROJECT / file).read_text() for file in ("benchmarks/sweeps.yml", "conf/base/sweeps.yml")
        )
        assert f"\n{words[0]}:" in described
    given = context.params.get("params") or {}
    station = str(context.params.get("pipeline"))
    for option, value in given.items():
        if option == station:  # a path into its parameters
            reached = yaml.safe_load(parameters(station))[station]
            while isinstance(value, dict):
                (key, value), *_ = value.items()
                reached = reached[key]  # raises for a path that is not there
        else:
            assert f"${{runtime_params:{option}," in parameters(station), f"{station} has no option {option}"


@pytest.mark.filterwarnings(
    "ignore:.BaseCommand. is deprecated:DeprecationWarning"
)  # of kedro-viz, when it is imported
def test_kedros_plugins_know_their_commands() -> None:
    groups = [each for name in ("project", "global") for each in entry_points(group=f"kedro.{name}_commands")]
    named = {line.split()[1] for line in PLUGINS}
    known: dict[str, click.Command] = {}
    for entry in groups:
        if named & {entry.name, entry.name.removeprefix("kedro-")}:
            known |= entry.load().commands
    assert named
    for _, name, *words in map(shlex.split, PLUGINS):
        chosen = known[name]
        assert isinstance(chosen, click.Group)
        assert words[0] in chosen.list_commands(click.Context(chosen))


def test_every_option_that_is_named_exists() -> None:
    named = {match[1] for match in inline(r"([a-z_]+)=[^\s`]+")}
    assert len(named) > 10
    assert sorted(name for name in named if f"${{runtime_params:{name}," not in ALL_PARAMETERS) == []
    options = [each for command in cli.commands.values() for each in command.params]
    known = {name for each in options for name in (*each.opts, *each.secondary_opts)}
    flags = {match[1] for match in inline(r"(--[a-z-]+)(?:=.*)?")}
    assert len(flags) > 5
    assert sorted(flags - known) == []


def test_every_detector_that_is_chosen_exists() -> None:
    chosen = {name for text in TEXTS.values() for name in re.findall(r"\bdetector=(\w+)", text)}
    assert len(chosen) > 5
    assert sorted(chosen - DETECTORS) == []


def test_every_path_that_is_named_exists() -> None:
    paths = r"\b((?:conf|src|notebooks|benchmarks|tests|docs)/[\w./]+\w)"
    named = {path for text in TEXTS.values() for code in INLINE.findall(text) for path in re.findall(paths, code)}
    assert len(named) > 10
    missing = [path for path in named if not (PROJECT / path).exists() and INVENTED not in path]
    assert sorted(missing) == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXTS[page])
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_readme_is_short_and_has_its_main_commands() -> None:
    assert len(TEXTS["README.md"].splitlines()) < 130
    assert {"make mirror_audio", "make test"} <= set(commands())


def test_no_figure_is_left_open() -> None:
    for text in TEXTS.values():
        assert re.findall(r"\b[A-Z]+_[A-Z0-9]+\b", re.sub(r"ENDLINE_\w+|MT_<?\w+", "", text)) == []

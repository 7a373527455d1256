"""The registry of models in MLflow: names, versions and aliases of what stations have published."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from endline.errors import EndlineError, nearest
from endline.files import content_key, whole, write_whole
from endline.published import ABOUT
from endline.tracking import SQLITE, all_pages, local_folder

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow.entities.model_registry import ModelVersion

PREFIX, CHAMPION, CHALLENGER = "endline", "champion", "challenger"
URI = "models:/"
MODEL = "artifacts/model"  # of a registered model's folder in MLflow
DOWNLOADED = Path("data/06_models/registered")  # models whose registry keeps its files on a server
DEFAULT_URI = "sqlite:///{project}/mlruns/mlflow.db"
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}  # MLflow's own: minutes


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Attributes:
        name: of the registered model.
        version: its number; a later one is larger, whatever clocks say.
        alias: by which it was asked for; empty where it was not by one.

    Example:
        >>> Registered("endline.mirror_audio.mirror", 3, "champion").label
        'endline.mirror_audio.mirror/3'
    """

    name: str
    version: int
    alias: str = ""

    @property
    def label(self) -> str:
        """Name and version in one, as a column of verdicts has it; empty for none."""
        return f"{self.name}/{self.version}" if self.name else ""


def model_name(station: str, group: str | None) -> str:
    """Name of the registered model of a station and its group.

    Example:
        >>> model_name("mirror_audio", "mirror"), model_name("surface_image", None)
        ('endline.mirror_audio.mirror', 'endline.surface_image.all')
        >>> model_name("machine_audio", "a/b").startswith("endline.machine_audio.a_b-")
        True
    """
    group = group or "all"
    clean = re.sub(r"[^\w\-]", "_", group)[:60]
    # Groups that differ by a sign alone stay two.
    return f"{PREFIX}.{station}.{clean}" + ("" if clean == group else f"-{content_key(group)[:6]}")


def read_reference(text: str) -> Registered:
    """Name, version and alias of what a user writes; version 0 where none is given.

    Args:
        text: `NAME@alias` or `NAME/version`, with or without `models:/`; the name may lack `endline.`.

    Raises:
        EndlineError: for anything else.

    Example:
        >>> read_reference("models:/endline.mirror_audio.mirror@champion")
        Registered(name='endline.mirror_audio.mirror', version=0, alias='champion')
        >>> read_reference("mirror_audio.mirror/3").label
        'endline.mirror_audio.mirror/3'
    """
    found = re.fullmatch(rf"(?:{URI})?([^@/:\s]+)(?:@([\w\-]+)|/(\d{{1,9}}))", text)
    if found is None:
        raise EndlineError(
            f"'{text}' names no registered model: write NAME@{CHAMPION}, another alias, or NAME/3 for its version 3."
        )
    name, alias, version = found.groups()
    name = name if name.startswith(f"{PREFIX}.") else f"{PREFIX}.{name}"
    return Registered(name, int(version or 0), alias or "")


def registry_uri(project: Path, env: str | None = None) -> str:
    """Address of the project's MLflow: that of its configuration, read without Kedro, which takes seconds."""
    files = [project / "conf" / name / "mlflow.yml" for name in ("base", env) if name is not None]
    uri = DEFAULT_URI.replace("{project}", str(project.absolute()))
    for file in files:
        content = yaml.safe_load(file.read_text()) if file.exists() else None
        uri = ((content or {}).get("server") or {}).get("mlflow_tracking_uri") or uri
    return re.sub(r"\$\{in_project:([^}]*)\}", lambda found: str(project.absolute() / found[1].strip()), uri)


def registered_as(folder: Path) -> Registered | None:
    """Which version of the registry a published model is, read without MLflow; None where it is none."""
    try:
        content = json.loads(beside(folder).read_text())
        return Registered(str(content["name"]), int(content["version"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def note_decision(folder: Path, refused: str) -> None:
    """Note beside a published model why its version is no champion, a word; empty where it is one."""
    if (known := registered_as(folder)) is not None:
        content = {"name": known.name, "version": known.version, "refused": refused}
        write_whole(beside(folder), json.dumps(content))


def refusal_of(folder: Path) -> str:
    """Why a published model is no champion, read without MLflow: `kept`, `rolled back`, or empty."""
    try:
        return str(json.loads(beside(folder).read_text()).get("refused", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def beside(folder: Path) -> Path:
    """File beside a published model that says which version of the registry it is."""
    return folder.parent / "registered.json"


class Registry:
    """The registry of a project; every question that MLflow cannot answer ends in a sentence.

    Args:
        project: the project's folder.
        uri: address of MLflow.

    Example:
        `Registry.of(Path.cwd()).find("endline.mirror_audio.mirror", alias="champion")`
    """

    def __init__(self, project: Path, uri: str) -> None:
        self.project, self.uri = project, uri
        if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).exists():
            raise EndlineError(f"There is no registry yet, {uri} is not there: run `kedro run` first.")
        with self.reached():
            from mlflow import MlflowClient

            self.client: MlflowClient = MlflowClient(tracking_uri=uri, registry_uri=uri)

    @classmethod
    def of(cls, project: Path, env: str | None = None) -> "Registry":
        """The registry that a project's configuration names; errors as every question."""
        return cls(project, registry_uri(project, env))

    def names(self, station: str | None = None) -> list[str]:
        """Names of the registered models, of one station or of all, sorted."""
        start = f"{PREFIX}." if station is None else f"{PREFIX}.{station}."
        with self.reached():
            models = list(all_pages(lambda token: self.client.search_registered_models(page_token=token)))
        return sorted(str(model.name) for model in models if model.name.startswith(start))

    def name_of(self, station: str, group: str | None) -> str:
        """Name of the registered model of a station.

        Args:
            station: its name.
            group: None for its only one.

        Raises:
            EndlineError: where there is none, or several and no group says which.
        """
        names = self.names(station)
        if not names:
            raise EndlineError(f"No model of {station} is registered yet: run `kedro run --pipeline={station}` first.")
        if group is not None:
            if (wanted := model_name(station, group)) in names:
                return wanted
            groups = [name.split(".", 2)[2] for name in names]
            raise EndlineError(f"No model of the group '{group}' of {station} is registered: {nearest(group, groups)}")
        if len(names) > 1:
            groups = [name.split(".", 2)[2] for name in names]
            raise EndlineError(f"{station} has registered models of the groups {', '.join(groups)}: give --group.")
        return names[0]

    def versions(self, name: str) -> list["ModelVersion"]:
        """Versions of a registered model, the oldest first: by number, for clocks jump."""
        with self.reached():
            asked = f"name='{name}'"
            found = list(all_pages(lambda token: self.client.search_model_versions(asked, page_token=token)))
        return sorted(found, key=lambda version: int(version.version))

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version number.

        Raises:
            EndlineError: for an unknown name.
        """
        from mlflow.exceptions import MlflowException

        with self.reached():
            try:
                model = self.client.get_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                known = self.names()
                advice = nearest(name, known) if known else "run `kedro run` first."
                raise EndlineError(f"There is no registered model '{name}': {advice}") from error
        return {str(alias): int(version) for alias, version in model.aliases.items()}

    def find(self, wanted: Registered) -> tuple[Registered, "ModelVersion"]:
        """A version of a registered model.

        Args:
            wanted: by its alias, or by its number.

        Raises:
            EndlineError: for an unknown name, alias or version; where there is no champion yet it says how to make one.
        """
        aliases = self.aliases(wanted.name)
        if wanted.alias and wanted.alias not in aliases:
            if wanted.alias == CHAMPION:
                raise EndlineError(
                    f"{wanted.name} has no {CHAMPION} yet: run `endline promote`, or give {wanted.name}@{CHALLENGER}."
                )
            raise EndlineError(f"{wanted.name} has no alias '{wanted.alias}': {nearest(wanted.alias, aliases)}")
        number = aliases[wanted.alias] if wanted.alias else wanted.version
        versions = self.versions(wanted.name)
        for version in versions:
            if int(version.version) == number:
                return Registered(wanted.name, number, wanted.alias), version
        newest = versions[-1].version if versions else "none"
        raise EndlineError(f"{wanted.name} has no version {number}: the newest is {newest}.")

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias name another version."""
        with self.reached():
            self.client.set_registered_model_alias(name, alias, str(version))

    def set_tags(self, of: Registered, tags: Mapping[str, str]) -> None:
        """Write tags of a version."""
        with self.reached():
            for key, value in tags.items():
                self.client.set_model_version_tag(of.name, str(of.version), key, value)

    def location(self, version: "ModelVersion") -> str:
        """Address of a version's files."""
        with self.reached():
            return str(self.client.get_model_version_download_uri(version.name, version.version))

    def files(self, version: "ModelVersion") -> Path:
        """Folder of a version's files: where MLflow keeps them, or a download of them, which is made once.

        Raises:
            EndlineError: when they are gone.
        """
        location = self.location(version)
        with self.reached():
            folder = local_folder(location)
            if folder is None:
                place = self.project / DOWNLOADED / content_key(location)
                if not place.exists():
                    from mlflow.artifacts import download_artifacts

                    with whole(place) as partial:
                        partial.mkdir()
                        download_artifacts(location, dst_path=str(partial), tracking_uri=self.uri)
                folder = place / location.rstrip("/").rpartition("/")[2]  # MLflow keeps the last folder's name
        if not (folder / MODEL / ABOUT).is_file():
            raise EndlineError(
                f"The files of {version.name}/{version.version} are gone, {folder / MODEL} has no {ABOUT}: restore it, "
                "or judge by another version."
            )
        return folder

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Let what MLflow or its database say of not being there become a sentence."""
        before = {name: os.environ.get(name) for name in PATIENCE}
        os.environ.update({name: value for name, value in PATIENCE.items() if before[name] is None})
        try:
            yield
        except EndlineError:
            raise
        except Exception as error:  # MLflow's, its database's, and those of the network have no base in common
            raise EndlineError(
                f"The registry of MLflow at {self.uri} gives no answer ({_said(error)}): start it, unlock its "
                "database, or correct conf/base/mlflow.yml; --run=<id> judges without it."
            ) from error
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)


def _said(error: Exception) -> str:
    first = str(error).strip().splitlines()[:1]
    return f"{type(error).__name__}: {first[0][:200]}" if first else type(error).__name__

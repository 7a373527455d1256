"""What is decided on the versions of a registered model, kept beside them in MLflow."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from endline.operations.promotion import Criterion
from endline.operations.registry import Registered, Registry

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow.entities.model_registry import ModelVersion

PROMOTED, KEPT, FORCED, ROLLED_BACK, RESTORED = "promoted", "kept", "forced", "rolled back", "restored"
DECISION, HISTORY, BEFORE = "endline.decision", "endline.history", "endline.champion_before"
DECISIONS = "decisions"  # folder of a run's artifacts in which each decision is kept whole
LAST = 50  # decisions on one version that its tag keeps


@dataclass(frozen=True)
class Decision:
    """What is decided on a version, and by what.

    Attributes:
        what: `promoted`, `kept`, `forced`, `rolled back`, or `restored` by a roll-back of another one.
        version: the version.
        champion: the champion before, 0 for none.
        criteria: by which it was decided.
        acceptance: folder, digest, and item -> digest of the acceptance set.
        why: what a person has given as reason; empty where nobody was asked.

    Example:
        >>> Decision("kept", Registered("endline.mirror_audio.mirror", 2), champion=1).is_champion
        False
    """

    what: str
    version: Registered
    champion: int
    criteria: Sequence[Criterion] = ()
    acceptance: Mapping[str, Any] | None = None
    why: str = ""

    @property
    def is_champion(self) -> bool:
        """Whether the version judges from now on."""
        return self.what in (PROMOTED, FORCED, RESTORED)

    def record(self, registry: Registry, of: "ModelVersion") -> None:
        """Write the decision as tags of the version, and whole as an artifact of its run.

        Args:
            registry: of the project.
            of: the version, as MLflow has it.
        """
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"when": when, "what": self.what, "champion": self.champion, "why": self.why}
        tags = {DECISION: self.what, HISTORY: json.dumps([*history(of), entry][-LAST:])}
        if failing := [each.said for each in self.criteria if not each.holds]:
            tags["endline.reasons"] = "; ".join(failing)[:4000]
        if self.acceptance is not None:
            tags["endline.acceptance"] = str(self.acceptance["digest"])
        if self.what in (PROMOTED, FORCED):
            tags[BEFORE] = str(self.champion)
        registry.set_tags(self.version, tags)
        content = {**entry, "version": self.version.label, "criteria": [asdict(each) for each in self.criteria]}
        content["acceptance"] = self.acceptance
        name = f"{DECISIONS}/{self.version.name}-{self.version.version}-{when.replace(':', '.')}.json"
        with registry.reached():
            registry.client.log_text(str(of.run_id), json.dumps(content, indent=1), name)


def history(of: "ModelVersion") -> list[dict[str, Any]]:
    """Decisions on a version, the first one first: `when, what, champion, why`; a damaged note is none."""
    try:
        return [dict(entry) for entry in json.loads(of.tags.get(HISTORY, "[]"))]
    except (ValueError, TypeError):
        return []


def champion_before(of: "ModelVersion") -> int:
    """Number of the version that was champion before this one; 0 for none."""
    number = of.tags.get(BEFORE, "0")
    return int(number) if number.isdigit() else 0

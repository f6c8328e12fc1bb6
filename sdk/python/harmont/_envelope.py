"""The envelope: every declared pipeline with its definition."""

from __future__ import annotations

from harmont._json import dumps
from harmont._lower import lower
from harmont._registry import registrations
from harmont._target import clear_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from harmont._places import Place
    from harmont._registry import Registration

SCHEMA_VERSION = "1"


def definition(registration: Registration, places: list[Place | None] | None = None) -> dict[str, Any]:
    """The IR document of one declared pipeline; where each of its steps was written goes to `places`."""
    return lower(
        registration.make(),
        env=registration.env,
        timeout=registration.timeout,
        default_image=registration.default_image,
        places=places,
    )


def head(registration: Registration) -> dict[str, Any]:
    """What the envelope says of a pipeline beside its definition."""
    return {
        "slug": registration.slug,
        "name": registration.name,
        "allow_manual": registration.allow_manual,
        "triggers": [trigger.to_dict() for trigger in registration.triggers],
    }


def dump_registry_json(**_ignored: Any) -> str:
    """Renders every declared pipeline. Options that resolved cache keys elsewhere are taken and not needed."""
    clear_values()
    pipelines = [{**head(entry), "definition": definition(entry)} for entry in registrations()]
    return dumps({"schema_version": SCHEMA_VERSION, "pipelines": pipelines})


def pipeline_to_json(p: dict[str, Any], **_ignored: Any) -> str:
    """Writes what `pipeline([...])` made. Options that resolved cache keys elsewhere are taken and not needed."""
    return dumps(p)

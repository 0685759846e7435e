"""Enumerations of the twin, told to Strawberry; a module that shows one imports it from here."""

from __future__ import annotations

import strawberry

from api.graphql.jobs import JobState
from graph.traces import Direction
from hydraulics.leaks.accuracy import Grade as SensorGrade
from twin.assets import AssetKind
from twin.evaluations import Scope as EvaluationScope
from twin.evaluations import Verdict
from twin.ids import Space
from twin.leaks.sightings import SightingKind as LeakSightingKind
from twin.readings import PrivacyClass, Quantity

__all__ = [
    "AssetKind",
    "Direction",
    "EvaluationScope",
    "JobState",
    "LeakSightingKind",
    "PrivacyClass",
    "Quantity",
    "SensorGrade",
    "Space",
    "Verdict",
]

strawberry.enum(
    AssetKind, description="What an asset is. A reservoir of an EPANET file is a source."
)
strawberry.enum(Direction, description="Against the flow, or with it.")
strawberry.enum(JobState, description="How far a job is.")
strawberry.enum(LeakSightingKind, name="LeakSightingKind", description="What a watch may tell.")
strawberry.enum(PrivacyClass, description="Who may see a series.")
strawberry.enum(Quantity, description="What a series measures; each is stored in one unit.")
strawberry.enum(
    SensorGrade, name="SensorGrade", description="How well a model fits at a pressure sensor."
)
strawberry.enum(EvaluationScope, name="EvaluationScope", description="What an evaluation is of.")
strawberry.enum(Verdict, description="What a rule says.")
strawberry.enum(Space, description="The name spaces of a network.")

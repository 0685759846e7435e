"""Settings from the environment, prefix `TWIN_`; an unknown name is an error."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from twin.errors import UnreadableError

PREFIX = "TWIN_"
TEST_PREFIX = "TWIN_TEST_"
REQUIRE_PREFIX = "TWIN_REQUIRE_"


class Settings(BaseSettings):
    """What an operator may set.

    Attributes:
        home: Folder that holds all state.
        neo4j_uri: `bolt://…` or `neo4j://…`; empty means the embedded graph.
        neo4j_user: User of the graph database; empty means no authentication.
        neo4j_password: Its password.
        neo4j_database: Name of the database.
        lock_wait_s: How long a writer waits for another one to finish [s].
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    home: Path = Path(".home")
    neo4j_uri: str = ""
    neo4j_user: str = ""
    neo4j_password: str = ""
    neo4j_database: str = "neo4j"
    lock_wait_s: float = 30.0


def read_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        UnreadableError: A `TWIN_` variable is unknown or has no usable value.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    foreign = [
        name
        for name in os.environ
        if name.startswith(PREFIX)
        and name not in known
        and not name.startswith((TEST_PREFIX, REQUIRE_PREFIX))
    ]
    if foreign:
        raise UnreadableError(
            f"environment variable {foreign[0]} is unknown; known are {', '.join(sorted(known))}"
        )
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = PREFIX + str(first["loc"][0]).upper()
        raise UnreadableError(f"environment variable {name}: {first['msg']}") from error

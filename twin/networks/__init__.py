"""Networks come in, stand in the record, and go out to any GIS."""

from twin.networks.importing import (
    ImportOptions,
    ImportReport,
    NetworkRefusedError,
    import_network,
    plan_import,
    prepare_network,
    record_import,
)
from twin.networks.model import asset_from_event, asset_to_event, network_from_event
from twin.networks.records import (
    load_assets,
    load_model,
    load_network,
    load_networks,
    model_path,
)

__all__ = [
    "ImportOptions",
    "ImportReport",
    "NetworkRefusedError",
    "asset_from_event",
    "asset_to_event",
    "import_network",
    "load_assets",
    "load_model",
    "load_network",
    "load_networks",
    "model_path",
    "network_from_event",
    "plan_import",
    "prepare_network",
    "record_import",
]

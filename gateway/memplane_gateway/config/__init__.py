"""The configuration: one YAML file, the environment, `.env`, the command line.

`load` reads all of it, checks all of it and says everything that is wrong at once. The sources are read
here and not by pydantic-settings, which ignores variables that it does not know, forgets where a value
came from, and costs 0.2 s at every start.
"""

from memplane_gateway.config.address import Address, parse_address
from memplane_gateway.config.adopted import AdoptedSettings
from memplane_gateway.config.first import ChoiceError, First, first_file, keepers, vendor
from memplane_gateway.config.loading import load
from memplane_gateway.config.models import (
    ControlSettings,
    LogSettings,
    ProceduralRouteSettings,
    RouteSettings,
    RoutesSettings,
    Settings,
)
from memplane_gateway.config.place import place_of
from memplane_gateway.config.probe import Probe, probe, probe_embedder
from memplane_gateway.config.problems import MASK, ConfigError, Origin, Problem
from memplane_gateway.config.showing import effective, json_schema
from memplane_gateway.config.stores import EMBEDDED, StoreSettings, installed

__all__ = [
    "EMBEDDED",
    "MASK",
    "Address",
    "AdoptedSettings",
    "ChoiceError",
    "ConfigError",
    "ControlSettings",
    "First",
    "LogSettings",
    "Origin",
    "Probe",
    "Problem",
    "ProceduralRouteSettings",
    "RouteSettings",
    "RoutesSettings",
    "Settings",
    "StoreSettings",
    "effective",
    "first_file",
    "installed",
    "json_schema",
    "keepers",
    "load",
    "parse_address",
    "place_of",
    "probe",
    "probe_embedder",
    "vendor",
]

"""How work is cut: agents by name, days and weeks by the calendar of the settings.

Belongs here: partition definitions and their keys. Not here: which asset uses which.
"""

import datetime as dt

import dagster as dg

from learning_pipelines.settings import load_settings

_settings = load_settings()

agents = dg.DynamicPartitionsDefinition(name="agents")
"""Keys are `<organization>/<agent>`; the sensor new_feedback adds them."""

days = dg.DailyPartitionsDefinition(start_date=_settings.start_date.isoformat(), timezone=_settings.timezone, end_offset=2)
"""Keys are dates. The current day counts before it is over, and tomorrow too: clocks differ, rows up to a day ahead are accepted."""

weeks = dg.WeeklyPartitionsDefinition(start_date=_settings.start_date.isoformat(), timezone=_settings.timezone, day_offset=1)
"""Keys are the Mondays of closed weeks."""


def day_range(context: dg.AssetExecutionContext) -> tuple[dt.date, dt.date]:
    """First and last day of a run over one day or a stretch of days."""
    keys = context.partition_key_range
    return dt.date.fromisoformat(keys.start), dt.date.fromisoformat(keys.end)

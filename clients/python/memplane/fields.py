"""The system fields to filter by: `fields.EVENT_TIME >= moment`, the same as `attr("@event_time")`."""

from typing import Final

from memplane._filters import attr

CREATE_TIME: Final = attr("@create_time")
"""First write; an instant."""
UPDATE_TIME: Final = attr("@update_time")
"""Last write that changed something; an instant."""
EVENT_TIME: Final = attr("@event_time")
"""When an episode happened; an instant."""
IMPORTANCE: Final = attr("@importance")
"""0 to 1, or missing."""
KEY: Final = attr("@key")
"""The key; a string."""
SESSION_ID: Final = attr("@session_id")
"""The session of an episode; a string."""
AGENT_ID: Final = attr("@agent_id")
"""The agent of an episode; a string."""
EPISODE_TYPE: Final = attr("@episode_type")
"""The type of an episode; a string."""
PINNED: Final = attr("@pinned")
"""A bool."""

"""What belongs to a person, by id, put together once for all the steps that follow.

Belongs here: filling the temporary tables erased_*. Not here: deleting, SQL (storage/erasure_gathering.py).
"""

from __future__ import annotations

from learning_pipelines.feedback.erasure.person import Person
from learning_pipelines.storage import erasure_gathering
from learning_pipelines.storage.database import Connection
from learning_pipelines.storage.store import Store


def gather(connection: Connection, store: Store, person: Person) -> None:
    """Makes and fills, within the running transaction of role learning_pipeline, the temporary tables (ON COMMIT DROP):

    erased_executions (execution_id text PRIMARY KEY, agent_id uuid, happened_at timestamptz, archived boolean),
    erased_feedback (feedback_id text PRIMARY KEY, execution_id text, agent_id uuid, happened_at timestamptz, archived boolean, user_id uuid),
    erased_events (event_id text PRIMARY KEY, agent_id uuid, question_id text), erased_demonstrations (demonstration_id text PRIMARY KEY, agent_id uuid),
    erased_examples (example_id text PRIMARY KEY, agent_id uuid), erased_texts (text text, each once): the person's words of 20 characters and more,
    erased_sessions (session_id text PRIMARY KEY): sessions of nobody else,
    erased_again (execution_id text PRIMARY KEY, agent_id uuid): executions of others that are to be looked at anew.
    """
    erasure_gathering.gather(connection, person.organization_id, person.user_id, person.erasure_id)

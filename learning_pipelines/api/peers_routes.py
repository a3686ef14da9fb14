"""The routers of all peers. Their clients know their own paths: these lie at the root, outside our OpenAPI document.

Belongs here: the list. Not here: paths (peers_*.py).
"""

from __future__ import annotations

from learning_pipelines.api import peers_langfuse, peers_mlflow, peers_otlp, peers_phoenix

PEERS = (peers_otlp, peers_langfuse, peers_phoenix, peers_mlflow)

"""The floor of the load benchmark: an endpoint of the same framework under the same server that reads a JSON body and stores nothing.

Nothing but this application belongs here.
"""

from __future__ import annotations

import orjson
from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.post("/noop", status_code=201)
async def noop(request: Request) -> Response:
    body = orjson.loads(await request.body())
    return Response(orjson.dumps({"feedback_id": body["feedback_id"], "status": "stored"}), 201, media_type="application/json")

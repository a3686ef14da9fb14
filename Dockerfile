# syntax=docker/dockerfile:1
# One image for every piece; which piece a container is, its command says (compose.yaml). Two targets: `service` (the default, the HTTP API) and
# `code-server` (Dagster's code location: runs are its children, so this is the container to give processors and memory).
#
#   docker build -t learning-pipelines .
#   docker build -t learning-pipelines --build-arg TORCH_INDEX=<PyTorch's CPU wheel index> .      # without gigabytes of CUDA

FROM python:3.11-slim AS build
ARG TORCH_INDEX=""
WORKDIR /src
RUN python -m venv /opt/venv
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE dagster.yaml workspace.yaml ./
COPY learning_pipelines ./learning_pipelines
RUN /opt/venv/bin/pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} ".[scale]"

FROM python:3.11-slim AS base
# OpenMP, for LightGBM (re-rankers).
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --create-home --home-dir /home/learning learning \
    && mkdir -p /opt/dagster /var/lib/learning /var/lib/artifacts && chown learning /opt/dagster /var/lib/learning /var/lib/artifacts
COPY --from=build /opt/venv /opt/venv
COPY dagster.yaml /opt/dagster/dagster.yaml
# The code server is known by its name in the network; a variable may say another one.
RUN printf 'load_from:\n  - grpc_server:\n      host: {env: LEARNING_CODE_SERVER}\n      port: 4000\n      location_name: learning_pipelines\n' > /opt/dagster/workspace.yaml
ENV PATH=/opt/venv/bin:$PATH \
    DAGSTER_HOME=/opt/dagster \
    LEARNING_HOME=/var/lib/learning \
    LEARNING_ARTIFACTS_URL=file:///var/lib/artifacts \
    LEARNING_CODE_SERVER=code-server \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONUNBUFFERED=1
USER 10001
WORKDIR /var/lib/learning
# With LEARNING_CELERY_BROKER dagster.yaml sends runs to workers.
ENTRYPOINT ["sh", "-c", "python -m learning_pipelines.defs.instance && exec \"$@\"", "--"]

FROM base AS code-server
EXPOSE 4000
CMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "learning_pipelines.definitions", "--location-name", "learning_pipelines"]

FROM base AS service
EXPOSE 8000
CMD ["uvicorn", "learning_pipelines.api.app:app", "--host", "0.0.0.0", "--port", "8000", "--no-access-log", "--timeout-graceful-shutdown", "10"]

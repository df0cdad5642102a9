# One image per deployable: docker build --target registry .   (also test-runner, evaluator, trainer, feedback, gateway, ray-worker)
# Torch and Ray lie only in the images that compute: registry (conversion), test-runner (generation), ray-worker and trainer
# (which starts Ray in its own pod until a job gets a cluster of its own).
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY proto proto
COPY services services
COPY ui ui
RUN pip install --constraint constraints.txt build && python -m build --wheel --outdir /wheels

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
COPY constraints.txt /constraints.txt
COPY --from=build /wheels /wheels
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin drillyard && mkdir /data && chown 10001 /data

# What a deployable needs beside the services' own dependencies is one extra of pyproject.toml.
FROM base AS light
RUN pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/*.whl)[postgres]"
USER 10001
WORKDIR /data

FROM base AS compute
RUN pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/*.whl)[postgres,lm]"
USER 10001
WORKDIR /data

FROM base AS ray
RUN pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/*.whl)[postgres,ray]"
USER 10001
WORKDIR /data

FROM compute AS registry
ENTRYPOINT ["python", "-m", "services.registry"]

FROM compute AS test-runner
ENTRYPOINT ["python", "-m", "services.test_runner"]

FROM light AS evaluator
ENTRYPOINT ["python", "-m", "services.evaluator"]

FROM ray AS trainer
ENTRYPOINT ["python", "-m", "services.trainer"]

FROM light AS feedback
ENTRYPOINT ["python", "-m", "services.feedback"]

FROM ray AS ray-worker
ENTRYPOINT ["ray"]

FROM base AS gateway
RUN pip install --no-cache-dir --constraint /constraints.txt "$(ls /wheels/*.whl)[gateway]"
USER 10001
WORKDIR /data
ENTRYPOINT ["python", "-m", "ui"]

# One image per deployable: docker build --target registry .   (also test-runner, evaluator, trainer, feedback, gateway, ray-worker)
# Torch lies only in the images that compute: registry (conversion), test-runner (generation), ray-worker, and trainer, which
# trains in its own pod, or is the image of the pods that do (training.backend of the chart).
ARG PYTHON=python:3.11-slim

FROM ${PYTHON} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY proto proto
COPY services services
COPY ui ui
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
COPY constraints.txt /constraints.txt
LABEL org.opencontainers.image.title="Drillyard" org.opencontainers.image.licenses="Apache-2.0"
# The first process of a container must reap what workers leave behind; Python does not.
COPY --from=build /usr/bin/tini /usr/bin/tini
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin drillyard && mkdir /data && chown 10001 /data
WORKDIR /data

# What a deployable needs beside the services' own dependencies is an extra of pyproject.toml. What packages test themselves
# with is a twentieth of an image.
FROM base AS light
RUN --mount=from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /constraints.txt "$(echo /wheels/*.whl)[postgres,s3]" \
    && find /usr/local/lib -depth -type d -name tests -exec rm -r {} +
USER 10001

# Torch built for the CPU alone is gigabytes smaller: --build-arg PIP_EXTRA_INDEX_URL=<index with such builds>.
FROM base AS compute
ARG PIP_EXTRA_INDEX_URL
RUN --mount=from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /constraints.txt "$(echo /wheels/*.whl)[postgres,s3,lm,cluster,parquet]" \
    && find /usr/local/lib -depth -type d -name tests -exec rm -r {} +
USER 10001

FROM base AS ray
ARG PIP_EXTRA_INDEX_URL
RUN --mount=from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /constraints.txt "$(echo /wheels/*.whl)[postgres,s3,ray,ray-dashboard,cluster]" \
    && find /usr/local/lib -depth -type d -name tests -exec rm -r {} +
USER 10001

FROM compute AS registry
ENTRYPOINT ["tini", "--", "python", "-m", "services.registry"]

FROM compute AS test-runner
ENTRYPOINT ["tini", "--", "python", "-m", "services.test_runner"]

FROM light AS evaluator
ENTRYPOINT ["tini", "--", "python", "-m", "services.evaluator"]

FROM ray AS trainer
ENTRYPOINT ["tini", "--", "python", "-m", "services.trainer"]

FROM light AS feedback
ENTRYPOINT ["tini", "--", "python", "-m", "services.feedback"]

FROM ray AS ray-worker
ENTRYPOINT ["tini", "--", "ray"]

FROM base AS gateway
RUN --mount=from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --constraint /constraints.txt "$(echo /wheels/*.whl)[gateway,postgres,s3]" \
    && find /usr/local/lib -depth -type d -name tests -exec rm -r {} +
USER 10001
ENTRYPOINT ["tini", "--", "python", "-m", "ui"]

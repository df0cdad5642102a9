# One image per deployable: docker build --target registry .   (also test-runner, evaluator, trainer, feedback, gateway, ray-worker,
# trainer-light)
# Torch lies only in the images that compute: registry (conversion), test-runner (generation), ray-worker, and trainer, which
# trains in its own pod, or is the image of the pods that do (training.backend of the chart).
# python:3.11.16-slim of September 2026, for all machines.
ARG PYTHON=python:3.11-slim@sha256:da047cb8f9d1d98e5c070f5300ba9f7274e33b8fc0e5be5ed88740aed1b95ba9

FROM ${PYTHON} AS build
ARG PYTHON
RUN case "$PYTHON" in *@sha256:*) ;; *) echo "Name the base by its digest: --build-arg PYTHON=NAME@sha256:..." >&2; exit 1 ;; esac
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils tini && rm -rf /var/lib/apt/lists/*
COPY requirements requirements
RUN pip install --no-deps --require-hashes --requirement requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY proto proto
COPY services services
COPY ui ui
RUN pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheels .

FROM ${PYTHON} AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
LABEL org.opencontainers.image.title="Drillyard" org.opencontainers.image.licenses="Apache-2.0"
# The first process of a container must reap what workers leave behind; Python does not.
COPY --from=build /usr/bin/tini /usr/bin/tini
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin drillyard && mkdir /data && chown 10001 /data
WORKDIR /data

# What a deployable needs beside the services' own dependencies is an extra of pyproject.toml. All of it comes from a file with
# the hash of each wheel (`make lock`), which pip holds against what the extras ask for. requirements/slim.sh takes away what no
# program uses, a third of what is installed, and compiles what the programs of an image import where it computes nothing.
# SOURCES is a digest of what the build stage holds, for builders whose caches do not see that what they mount has changed.
FROM base AS light
ARG SOURCES
RUN --mount=from=build,source=/,target=/build \
    pip install --no-cache-dir --no-compile --no-deps --require-hashes --requirement /build/src/requirements/light.txt \
    && pip install --no-cache-dir --no-index "$(echo /build/wheels/*.whl)[postgres,s3,traces]" \
    && sh /build/src/requirements/slim.sh services.evaluator.__main__ services.feedback.__main__
USER 10001

# Torch built for the CPU alone is gigabytes smaller: --build-arg TORCH=cpu --build-arg PIP_EXTRA_INDEX_URL=<index with such builds>.
FROM base AS compute
ARG SOURCES
ARG PIP_EXTRA_INDEX_URL
ARG TORCH=cuda
RUN --mount=from=build,source=/,target=/build \
    pip install --no-cache-dir --no-deps --require-hashes --requirement /build/src/requirements/compute.txt --requirement "/build/src/requirements/torch-${TORCH}.txt" \
    && pip install --no-cache-dir --no-index "$(echo /build/wheels/*.whl)[postgres,s3,lm,cluster,parquet,traces]" \
    && sh /build/src/requirements/slim.sh
USER 10001

FROM base AS ray
ARG SOURCES
ARG PIP_EXTRA_INDEX_URL
ARG TORCH=cuda
RUN --mount=from=build,source=/,target=/build \
    pip install --no-cache-dir --no-deps --require-hashes --requirement /build/src/requirements/ray.txt --requirement "/build/src/requirements/torch-${TORCH}.txt" \
    && pip install --no-cache-dir --no-index "$(echo /build/wheels/*.whl)[postgres,s3,ray,ray-dashboard,cluster,traces]" \
    && sh /build/src/requirements/slim.sh
USER 10001

FROM compute AS registry
ENTRYPOINT ["tini", "--", "python", "-m", "services.registry"]

FROM compute AS test-runner
ENTRYPOINT ["tini", "--", "python", "-m", "services.test_runner"]

# The trainer where others compute (training.backend of the chart): without torch and Ray.
FROM base AS trainer-light
ARG SOURCES
RUN --mount=from=build,source=/,target=/build \
    pip install --no-cache-dir --no-compile --no-deps --require-hashes --requirement /build/src/requirements/trainer-light.txt \
    && pip install --no-cache-dir --no-index "$(echo /build/wheels/*.whl)[postgres,s3,cluster,tokenizer,traces]" \
    && sh /build/src/requirements/slim.sh kubernetes.client services.trainer.__main__ services.trainer.training.preflight.__main__
USER 10001
ENTRYPOINT ["tini", "--", "python", "-m", "services.trainer"]

FROM light AS evaluator
ENTRYPOINT ["tini", "--", "python", "-m", "services.evaluator"]

FROM ray AS trainer
ENTRYPOINT ["tini", "--", "python", "-m", "services.trainer"]

FROM light AS feedback
ENTRYPOINT ["tini", "--", "python", "-m", "services.feedback"]

FROM ray AS ray-worker
ENTRYPOINT ["tini", "--", "ray"]

FROM base AS gateway
ARG SOURCES
RUN --mount=from=build,source=/,target=/build \
    pip install --no-cache-dir --no-compile --no-deps --require-hashes --requirement /build/src/requirements/gateway.txt \
    && pip install --no-cache-dir --no-index "$(echo /build/wheels/*.whl)[gateway,postgres,s3,traces]" \
    && sh /build/src/requirements/slim.sh gradio ui.__main__
USER 10001
ENTRYPOINT ["tini", "--", "python", "-m", "ui"]

# syntax=docker/dockerfile:1
# One image per service, all of the same layers: docker build --build-arg SERVICE=auth .
# SERVICE: auth | sla_monitor | analyzer | reporter | cli
ARG PYTHON=3.12-slim-bookworm
ARG SERVICE=auth

FROM ghcr.io/astral-sh/uv:0.9 AS uv

FROM python:${PYTHON} AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/tailwatch
WORKDIR /src
# The dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock README.md ./
COPY tailwatch/pyproject.toml tailwatch/pyproject.toml
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --no-install-workspace
COPY config config
COPY tailwatch tailwatch
COPY services services
RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen --no-default-groups --no-editable

FROM python:${PYTHON} AS runtime
RUN groupadd --system --gid 10001 tailwatch && \
    useradd --system --uid 10001 --gid tailwatch --no-create-home --shell /usr/sbin/nologin tailwatch && \
    install -d -o tailwatch -g tailwatch /var/lib/tailwatch
COPY --from=build /opt/tailwatch /opt/tailwatch
ENV PATH=/opt/tailwatch/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ARTIFACT_STORE_URL=/var/lib/tailwatch PROFILING_SPOOL_DIR=/var/lib/tailwatch/.spool
WORKDIR /var/lib/tailwatch
VOLUME /var/lib/tailwatch
USER tailwatch
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=2s --timeout=5s --start-period=30s --retries=5 CMD ["python", "-m", "tailwatch.runtime.healthcheck"]

FROM runtime AS auth
ENV HEALTH_URL=http://127.0.0.1:3000/health
EXPOSE 3000
CMD ["python", "-m", "services.auth"]

FROM runtime AS reporter
ENV HEALTH_URL=http://127.0.0.1:3080/health
EXPOSE 3080
CMD ["python", "-m", "services.reporter"]

FROM runtime AS sla_monitor
ENV HEARTBEAT_FILE=/tmp/heartbeat
CMD ["python", "-m", "services.sla_monitor"]

FROM runtime AS analyzer
ENV HEARTBEAT_FILE=/tmp/heartbeat
CMD ["python", "-m", "services.analyzer"]

FROM runtime AS cli
HEALTHCHECK NONE
CMD ["tailwatch", "--help"]

FROM ${SERVICE}
ARG SERVICE
ARG VERSION=unknown
ARG COMMIT=unknown
ENV SERVICE_VERSION=${VERSION} GIT_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="tailwatch ${SERVICE}" \
      org.opencontainers.image.description="Watches a service's tail latency and captures why it is slow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

# syntax=docker/dockerfile:1
# The gateway as an image: docker build -t memplane .
# With what vendors need, as extras of pyproject.toml: docker build --build-arg EXTRAS=qdrant,redis .
# (deploy/compose.yaml does that, and starts the stores as well.)
#
#   docker run --rm -p 127.0.0.1:50051:50051 -v memplane:/data \
#       -e MEMPLANE_ALLOW_UNAUTHENTICATED=true memplane
#
# Inside a container 127.0.0.1 is the container alone, so the gateway listens on 0.0.0.0, which other
# containers and, with a port published on more than 127.0.0.1, other machines can reach. There is no
# authentication: whoever reaches it can read and change every memory. The image does not decide that
# this is fine. Without MEMPLANE_ALLOW_UNAUTHENTICATED=true the container ends with status 78 and says
# so; setting it is the operator's word that the network keeps others out.

ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# What changes seldom comes first: the pinned dependencies, checked by hash, and the build backend.
COPY requirements/serve.txt requirements/build.txt requirements/
RUN python -m venv /opt/memplane \
    && /opt/memplane/bin/python -m pip install --require-hashes -r requirements/serve.txt
RUN python -m venv /opt/build \
    && /opt/build/bin/python -m pip install --require-hashes -r requirements/build.txt

COPY LICENSE README.md pyproject.toml ./
COPY clients/python clients/python
COPY adapters adapters
COPY gateway gateway
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels \
        ./clients/python . \
    && /opt/memplane/bin/python -m pip install --no-deps --no-index /wheels/*.whl \
    && /opt/memplane/bin/python -m pip check

# The extras, too, are what is pinned: uv takes versions and hashes from the constraints.
ARG EXTRAS=""
COPY requirements/uv.txt requirements/dev.txt requirements/
RUN if [ -n "${EXTRAS}" ]; then \
        python -m venv /opt/uv \
        && /opt/uv/bin/python -m pip install --no-deps --require-hashes -r requirements/uv.txt \
        && /opt/uv/bin/uv pip install --python /opt/memplane/bin/python --no-cache \
            --find-links /wheels -c requirements/dev.txt "memplane-gateway[${EXTRAS}]"; \
    fi \
    && /opt/memplane/bin/python -m pip check \
    && /opt/memplane/bin/python -m pip uninstall --yes pip setuptools

FROM ${BASE}
LABEL org.opencontainers.image.title="Memplane" \
      org.opencontainers.image.description="A gRPC gateway between AI agents and the stores that hold their memory" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/memplane /opt/memplane
RUN mkdir /data && chown 65534:65534 /data && chmod 0700 /data
ENV PATH=/opt/memplane/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    MEMPLANE_DATA_DIR=/data
# Nobody, by number, so that Kubernetes can tell that it is not root. The root file system may be
# read-only; only /data is written to.
USER 65534:65534
VOLUME /data
EXPOSE 50051
# By grpc.health.v1: healthy while any route serves. A store that is down recovers without a restart of
# the gateway. Whoever listens elsewhere sets MEMPLANE_TARGET too.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["memplane", "status", "--healthy"]
ENTRYPOINT ["memplane"]
CMD ["serve", "--listen", "0.0.0.0:50051"]

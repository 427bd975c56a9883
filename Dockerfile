# Sonda as an image: docker build -t sonda .
#
#   --build-arg EXTRAS=otlp,kafka        install optional dependencies, too
#   --build-arg PYTHON_VERSION=3.14      stand on another Python
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
WORKDIR /src
COPY constraints.txt ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --constraint constraints.txt build hatchling
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY sonda sonda
RUN /opt/build/bin/python -m build --wheel --no-isolation --outdir /wheels
ARG EXTRAS=""
# Wheels only: there is no compiler here. They are compiled to bytecode now, for later nothing can be written.
RUN python3 -m venv --without-pip /opt/sonda \
    && /opt/build/bin/pip --python /opt/sonda/bin/python install --no-cache-dir --only-binary :all: \
        --constraint constraints.txt "$(echo /wheels/*.whl)${EXTRAS:+[${EXTRAS}]}"

FROM python:${PYTHON_VERSION}-slim
LABEL org.opencontainers.image.title="Sonda" \
      org.opencontainers.image.description="Send one log or metric event now, and know that it landed." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/sonda /opt/sonda
RUN install --directory --owner 65532 --group 65532 /var/lib/sonda \
    && install --directory --owner 65532 --group 65532 --mode 0700 \
        /var/lib/sonda/events /var/lib/sonda/state
# `docker stop` kills after 10 seconds: be done before, with the 2 that closing may take.
ENV PATH=/opt/sonda/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SONDA_BIND=0.0.0.0 \
    SONDA_FILE_ROOT=/var/lib/sonda \
    SONDA_SHUTDOWN_TIMEOUT=7
# The only place that is written to: by the `file` sink, and for the state where that is asked for.
VOLUME /var/lib/sonda
WORKDIR /var/lib/sonda
# A number, so that Kubernetes can tell that it is not root.
USER 65532:65532
EXPOSE 8080
# Not urllib: that would ask a proxy of the environment for the way to 127.0.0.1.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import http.client, os, sys; connection = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('SONDA_PORT') or 8080), timeout=2); connection.request('GET', '/health'); sys.exit(connection.getresponse().status != 200)"]
ENTRYPOINT ["sonda-server"]

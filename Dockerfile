# The service in a container: `docker build -t quarterdeck .`, then
#   docker run -p 127.0.0.1:7440:7440 -v "$PWD:/etc/quarterdeck:ro" -v quarterdeck:/data quarterdeck
# A folder with a quarterdeck.toml goes to /etc/quarterdeck; without one the demo runs. State and logs are in /data.
# The base is an argument, so that a build without an image registry can bring its own (.ci/image does).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python3 -m venv /opt/quarterdeck && python3 -m venv /opt/build
COPY requirements/run.txt requirements/build.txt requirements/
RUN /opt/quarterdeck/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt \
 && /opt/build/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/build.txt
COPY . .
RUN /opt/build/bin/python -m hatchling build -t wheel -d /dist \
 && /opt/quarterdeck/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps /dist/*.whl \
 && /opt/quarterdeck/bin/python -m pip uninstall --yes --quiet pip setuptools

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin quarterdeck \
 && install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /opt/quarterdeck /opt/quarterdeck
COPY examples/demo /etc/quarterdeck
ENV PATH=/opt/quarterdeck/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    QUARTERDECK_CONFIG=/etc/quarterdeck/quarterdeck.toml \
    QUARTERDECK_STATE=/data \
    QUARTERDECK_LISTEN=0.0.0.0:7440 \
    QUARTERDECK_PLAIN_HTTP=1
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 7440
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["/opt/quarterdeck/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:7440/healthz', timeout=2)"]
ENTRYPOINT ["quarterdeck"]
CMD ["up", "--echo"]

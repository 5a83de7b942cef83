# The embedded sandbox alone: Python, the server, and the libraries that programs find loaded. No PyTorch, no root.
#   docker build -f docker/sandbox.Dockerfile -t verl-coder/sandbox .
# What it needs of its container stands in compose.yaml, with the reasons in docker/README.md.
# A tag, not a digest: no registry could be reached when this was written (docker/README.md, "Which verl image").
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
FROM ${PYTHON_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/verl-coder

COPY requirements/cpu.txt requirements/cpu.txt
COPY docker/sandbox_packages.txt docker/sandbox_packages.txt
RUN grep -iE "^($(paste -sd'|' docker/sandbox_packages.txt))==" requirements/cpu.txt >/tmp/pins.txt && \
    [ "$(wc -l </tmp/pins.txt)" = "$(wc -l <docker/sandbox_packages.txt)" ] && \
    python3 -m pip install --no-deps -r /tmp/pins.txt

COPY pyproject.toml pyproject.toml
COPY src src
RUN python3 -m pip install --no-deps .

# Any number above 0 will do; programs run as user 1000 of a namespace of their own.
USER 10001:10001
WORKDIR /
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/v1/ping', timeout=4)"]
ENTRYPOINT ["verl-coder", "sandbox", "serve", "--host", "0.0.0.0", "--isolation", "namespaces"]
CMD ["--port", "8080"]

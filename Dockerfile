# The image of tokenswarm: Locust, the harness and the locustfiles. One image for master, workers and the tools.
#
#     docker build -t tokenswarm:0.1.0 .
#     docker run --rm --read-only --tmpfs /tmp -v "$PWD/results:/results" tokenswarm:0.1.0 \
#         -f /locustfiles/openai.py --host http://SERVER:8000 --model MODEL --headless --levels 1,2,4
#     docker run --rm --entrypoint tokenswarm tokenswarm:0.1.0 selftest
#
# A bound results directory must belong to user 10001, or run with --user "$(id -u):$(id -g)".
#
# The tag names a version of Python and of Debian, but tags can be moved. For a build that can be repeated to the
# byte, add the digest that `docker buildx imagetools inspect` shows:
#     --build-arg PYTHON_IMAGE=python:3.12.12-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.12.12-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/tokenswarm
# The pinned packages first: a change of our own code leaves this layer as it is.
COPY requirements/runtime.lock requirements/runtime.lock
RUN /opt/tokenswarm/bin/pip install --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY harness harness
COPY locustfiles locustfiles
COPY dashboards dashboards
# The lock holds the build backend too, so nothing is fetched that has no hash.
RUN /opt/tokenswarm/bin/pip install --no-deps --no-build-isolation . \
    && /opt/tokenswarm/bin/pip check \
    && /opt/tokenswarm/bin/tokenswarm --version

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="tokenswarm" \
      org.opencontainers.image.description="Distributed load tests for LLM serving systems, on Locust" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# Numbers, not names, so that Kubernetes can see that the user is not root. /home/locust is where Locust's own image
# works and where its Kubernetes operator mounts the locustfile. Docker makes fresh volumes like the directories they cover:
# those under /tokens are for docker-compose.yml.
RUN groupadd --gid 10001 tokenswarm \
    && useradd --uid 10001 --gid 10001 --home-dir /tmp --no-create-home --shell /usr/sbin/nologin tokenswarm \
    && install -d -o 10001 -g 10001 /results /home/locust /tokens/read /tokens/write
COPY --from=build /opt/tokenswarm /opt/tokenswarm
COPY --from=build /src/locustfiles /locustfiles
COPY LICENSE /usr/share/doc/tokenswarm/LICENSE
# The root file system may be read-only: what Python packages keep goes to /tmp, what a run leaves to /results.
# The web UI listens at the container's every address: what reaches it is what `docker run --publish` says, e.g. 127.0.0.1:8089:8089.
# (hadolint takes the TOKEN in TOKENSWARM for a secret. There is none in this image.)
# hadolint ignore=DL3064
ENV PATH=/opt/tokenswarm/bin:$PATH \
    HOME=/tmp \
    HF_HOME=/tmp/huggingface \
    XDG_CACHE_HOME=/tmp/cache \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOCUST_WEB_HOST=0.0.0.0 \
    TOKENSWARM_RESULTS_DIR=/results
WORKDIR /home/locust
VOLUME /results
# 5557: the master, for its workers only. 8089: Locust's web UI.
EXPOSE 5557 8089
USER 10001:10001
# Ctrl-C's signal: a worker drains and hands its journal over, a master ends its run and writes the results.
STOPSIGNAL SIGINT
ENTRYPOINT ["locust"]
CMD ["--help"]

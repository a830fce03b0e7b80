# edge_sleep on a machine without a GPU, x86-64 or arm64, from the checkout's root:
#     docker build -f docker/cpu.Dockerfile -t edge-sleep:cpu .
# Everything that is not said here is as in jetson.Dockerfile, and said there.
#
# TORCH_INDEX: a CPU wheel index; empty means pip's own configuration. A build that would bring CUDA is refused before it is fetched.
ARG BASE_IMAGE=python:3.12-slim-bookworm

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/edge-sleep && /opt/edge-sleep/bin/python -m pip install --no-cache-dir --upgrade 'pip>=23'
ENV PATH=/opt/edge-sleep/bin:$PATH
WORKDIR /src
ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=
COPY .ci/torch.py .ci/
COPY docker/built_for.py docker/requirements.py docker/
RUN TORCH_COMMAND='docker build --build-arg' python .ci/torch.py && python docker/built_for.py none
COPY setup.cfg constraints.txt ./
ARG EXTRAS=serve
ARG JETSON_STATS=
RUN python docker/requirements.py "" "${JETSON_STATS}" -- ${EXTRAS} \
    && python -m pip install --no-cache-dir -c pinned.txt -r wanted.txt && python docker/built_for.py none
COPY pyproject.toml README.md LICENSE ./
COPY edge_sleep edge_sleep
COPY kernels kernels
COPY profiles profiles
COPY benchmarks benchmarks
RUN python -m pip install --no-cache-dir --no-deps .

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="edge_sleep" org.opencontainers.image.licenses="Apache-2.0"
# Of the base's own release, whichever that is: no version to name.
# hadolint ignore=DL3008
RUN [ -e /usr/share/zoneinfo/Europe/Berlin ] || { apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tzdata \
    && rm -rf /var/lib/apt/lists/*; }
ARG USER_ID=1000
RUN groupadd --non-unique --gid "${USER_ID}" edge-sleep \
    && useradd --no-log-init --non-unique --uid "${USER_ID}" --gid "${USER_ID}" --create-home edge-sleep \
    && install -d -o "${USER_ID}" -g "${USER_ID}" /home/edge-sleep/companion
COPY --from=build /opt/edge-sleep /opt/edge-sleep
COPY docker/health.py /opt/edge-sleep/health.py
ENV PATH=/opt/edge-sleep/bin:$PATH HOME=/home/edge-sleep USER=edge-sleep EDGE_SLEEP_HOME=/home/edge-sleep/companion \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER ${USER_ID}:${USER_ID}
WORKDIR /home/edge-sleep
VOLUME ["/home/edge-sleep", "/tmp"]
HEALTHCHECK --interval=5m --timeout=1m --start-period=3m --retries=3 CMD ["/opt/edge-sleep/bin/python", "/opt/edge-sleep/health.py"]
ENTRYPOINT ["edge-sleep"]
CMD ["watch"]

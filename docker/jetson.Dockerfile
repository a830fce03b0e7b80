# edge_sleep on a Jetson, built on the board from the checkout's root. docs/container.md is the way there; jetpack6.env and
# jetpack7.env have the arguments of each JetPack, which compose.yaml hands over. The defaults here are JetPack 6 on an Orin (sm_87).
#
# TORCH_INDEX: where torch comes from, and with it what is compiled for this GPU; empty means pip's own configuration.
# CUDA: what torch must have been built with. An index that is not asked gives a torch without CUDA, and says nothing.
# KERNELS: the GPUs that kernels/ is compiled for, where the base has nvcc; where it has not, nights do without.
ARG BASE_IMAGE=nvcr.io/nvidia/l4t-jetpack:r36.4.0

FROM ${BASE_IMAGE} AS build
# Of the base's own release, whichever that is: no version to name.
# hadolint ignore=DL3008
RUN python3 -c 'import ensurepip, venv' || { apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*; }
RUN python3 -m venv /opt/edge-sleep && /opt/edge-sleep/bin/python -m pip install --no-cache-dir --upgrade 'pip>=23'
ENV PATH=/opt/edge-sleep/bin:$PATH
WORKDIR /src
ARG TORCH=torch==2.8.0
ARG TORCH_INDEX=
ARG BITSANDBYTES=bitsandbytes
ARG CUDA=12.6
COPY .ci/torch.py .ci/
COPY docker/built_for.py docker/requirements.py docker/
RUN TORCH_CUDA=yes python .ci/torch.py && python docker/built_for.py "${CUDA}"
# bitsandbytes has machine code too. Empty takes the tested version below, as a board with JetPack 7.2 can; else it is pinned there.
# hadolint ignore=DL3013
RUN if [ -n "${BITSANDBYTES}" ]; then python -m pip install --no-cache-dir --no-deps ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} \
    "${BITSANDBYTES}"; fi
COPY setup.cfg constraints.txt ./
# serve is the endpoint. JETSON_STATS is the version of jetson-stats (AGPL-3.0), which only compose.jtop.yaml asks for.
ARG EXTRAS=serve
ARG JETSON_STATS=
RUN python docker/requirements.py "${BITSANDBYTES}" "${JETSON_STATS}" -- ${EXTRAS} \
    && python -m pip install --no-cache-dir -c pinned.txt -r wanted.txt && python docker/built_for.py "${CUDA}"
COPY pyproject.toml README.md LICENSE ./
COPY edge_sleep edge_sleep
COPY kernels kernels
COPY profiles profiles
COPY benchmarks benchmarks
RUN python -m pip install --no-cache-dir --no-deps .
ARG KERNELS=sm_87
RUN if command -v nvcc || [ -x /usr/local/cuda/bin/nvcc ]; then \
    EDGE_SLEEP_KERNELS=/opt/edge-sleep/kernels edge-sleep kernels build --arch "${KERNELS}"; \
    else echo "no nvcc in this base: no kernels are compiled ahead"; fi

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="edge_sleep" org.opencontainers.image.licenses="Apache-2.0"
# What torch's build links to and the base lacks; JetPack 6's wheels want OpenBLAS.
ARG EXTRA_APT=libopenblas0
# hadolint ignore=DL3008
RUN { [ -z "${EXTRA_APT}" ] && command -v python3 && [ -e /usr/share/zoneinfo/Europe/Berlin ]; } || { apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 tzdata ${EXTRA_APT} \
    && rm -rf /var/lib/apt/lists/*; }
# A board's first user is 1000: what lies in the home is then that user's on the host too. The base may have one of that number.
ARG USER_ID=1000
RUN groupadd --non-unique --gid "${USER_ID}" edge-sleep \
    && useradd --no-log-init --non-unique --uid "${USER_ID}" --gid "${USER_ID}" --create-home edge-sleep \
    && install -d -o "${USER_ID}" -g "${USER_ID}" /home/edge-sleep/companion
COPY --from=build /opt/edge-sleep /opt/edge-sleep
COPY docker/health.py /opt/edge-sleep/health.py
# HOME and USER are said, for whoever runs it under a number that has no name. All that is written goes below HOME or /tmp.
ENV PATH=/opt/edge-sleep/bin:$PATH HOME=/home/edge-sleep USER=edge-sleep EDGE_SLEEP_HOME=/home/edge-sleep/companion \
    EDGE_SLEEP_KERNELS=/opt/edge-sleep/kernels \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER ${USER_ID}:${USER_ID}
WORKDIR /home/edge-sleep
VOLUME ["/home/edge-sleep", "/tmp"]
HEALTHCHECK --interval=5m --timeout=1m --start-period=3m --retries=3 CMD ["/opt/edge-sleep/bin/python", "/opt/edge-sleep/health.py"]
ENTRYPOINT ["edge-sleep"]
CMD ["watch"]

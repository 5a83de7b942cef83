# The trainer and the teacher: verl's own image with verl 0.9.1, what that needs beyond the image, and this package.
#   docker build -f docker/trainer.Dockerfile -t verl-coder/trainer .
# The image is the one that verl's own tests of 0.9 use; it has PyTorch 2.11, vLLM 0.24 and no verl: see docker/README.md.
ARG VERL_IMAGE=verlai/verl:vllm024.dev2@sha256:b867883b0dd011363e69ab2ab344922a28c5bd0409e2a324e3ee70fb27ca7543
FROM ${VERL_IMAGE}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_BREAK_SYSTEM_PACKAGES=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PROFILE=gpu \
    OUT=outputs/run \
    VERL_CODER_ROOT=/opt/verl-coder
WORKDIR /opt/verl-coder

COPY requirements/gpu.txt requirements/gpu.txt
COPY docker/trainer_packages.txt docker/trainer_packages.txt
RUN grep -iE "^($(paste -sd'|' docker/trainer_packages.txt))==" requirements/gpu.txt >/tmp/pins.txt && \
    [ "$(wc -l </tmp/pins.txt)" = "$(wc -l <docker/trainer_packages.txt)" ] && \
    python3 -m pip install --no-deps -r /tmp/pins.txt

COPY . .
# What the scripts do in verl's container: this package and those of its light dependencies that are missing.
RUN . run_scripts/environment.sh && make_environment

HEALTHCHECK --interval=60s --timeout=30s --start-period=30m \
    CMD ["bash", "-c", "verl-coder status \"$OUT\""]
CMD ["bash", "run_scripts/run_qwen_grpo.sh"]

# Kedge on an NVIDIA GPU, its kernels compiled ahead. On a machine without a GPU it runs on the CPU.
#
#   docker build -t kedge .
#   docker run --rm --gpus all -v "$PWD/runs:/kedge/runs" kedge train
#
# CUDA's "devel" image brings nvcc, libcudart and libcublas.
ARG CUDA=13.0.1
FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04

ARG DENO=2.9.6
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates curl ffmpeg g++ unzip \
  && curl -fsSL "https://github.com/denoland/deno/releases/download/v${DENO}/deno-$(uname -m)-unknown-linux-gnu.zip" -o /tmp/deno.zip \
  && unzip -q /tmp/deno.zip -d /usr/local/bin \
  && rm -rf /tmp/deno.zip /var/lib/apt/lists/*

# Trained models and data are downloaded as this user, not as root.
RUN useradd --create-home kedge && install -d -o kedge -g kedge /kedge
USER kedge
WORKDIR /kedge
COPY --chown=kedge:kedge . .

# Packages, then the kernels: for the CPU of the machine that builds the image (another one compiles its own on first use, some 30 s), and for GPUs of compute
# capability 8.0 and more.
RUN deno install --frozen && deno task build --cuda

EXPOSE 8787
ENTRYPOINT ["deno", "task"]
CMD ["doctor"]

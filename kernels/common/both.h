// KEDGE_BOTH marks a function that runs on the host and on CUDA.
#pragma once
#if defined(__CUDACC__)
#define KEDGE_BOTH __host__ __device__
#else
#define KEDGE_BOTH
#endif

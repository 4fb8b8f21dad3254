// How an op reports what is wrong, for both libraries. No allocation, no exception.
#pragma once
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../include/kedge.h"

namespace kedge {

inline int32_t ok(kedge_status* status) {
  if (status) status->code = KEDGE_OK;
  return KEDGE_OK;
}

__attribute__((format(printf, 3, 4))) inline int32_t fail(kedge_status* status, kedge_code code, const char* format, ...) {
  if (status) {
    status->code = code;
    status->needed = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(status->message, sizeof status->message, format, args);
    va_end(args);
  }
  return code;
}

// The op needs `bytes` of workspace; true if the context has them, else the status asks for them.
inline bool has_workspace(const kedge_context* ctx, int64_t bytes, kedge_status* status) {
  if (bytes <= ctx->workspace_bytes && (bytes == 0 || ctx->workspace)) return true;
  fail(status, KEDGE_WORKSPACE, "needs %lld bytes of workspace, the context has %lld", (long long)bytes, (long long)ctx->workspace_bytes);
  if (status) status->needed = bytes;
  return false;
}

}  // namespace kedge

// KEDGE_TRY(check_rows(...)): leaves the function with the code of a check that failed.
#define KEDGE_TRY(check) \
  do { \
    if (const int32_t code_ = (check)) return code_; \
  } while (0)
// KEDGE_REQUIRE(rows >= 0, "rows is %lld", (long long)rows): KEDGE_INVALID with those words where the condition fails.
#define KEDGE_REQUIRE(condition, ...) \
  do { \
    if (!(condition)) return kedge::fail(status, KEDGE_INVALID, __VA_ARGS__); \
  } while (0)
// The same for a dtype or a size that this library lacks: KEDGE_UNSUPPORTED.
#define KEDGE_REQUIRE_DTYPE(condition, ...) \
  do { \
    if (!(condition)) return kedge::fail(status, KEDGE_UNSUPPORTED, __VA_ARGS__); \
  } while (0)
// Asks the caller for a larger workspace where the context has less than `bytes`.
#define KEDGE_REQUIRE_WORKSPACE(bytes) \
  do { \
    if (!kedge::has_workspace(ctx, (bytes), status)) return KEDGE_WORKSPACE; \
  } while (0)

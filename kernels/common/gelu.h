// The forms of GELU that are x * sigmoid(t(x)), for both libraries: t and its slope, for a float or a vector of them. Hendrycks & Gimpel, arXiv
// 1606.08415, section 2. The exact form is x Phi(x) (normal_tail.h). Here are also the forms' numbers in kedge.h.
#pragma once
#include "arguments.h"
#include "both.h"

namespace kedge {

enum GeluForm : int32_t { kGeluErf = 0, kGeluTanh = 1, kGeluQuick = 2 };

// x (1 + tanh(u)) / 2 = x sigmoid(2u), with u = sqrt(2 / pi) (x + 0.044715 x^3).
struct TanhForm {
  template <class V>
  KEDGE_BOTH static V inner(V x) {
    return x * (x * x * 0.07135481627260025f + 1.5957691216057308f);
  }
  template <class V>
  KEDGE_BOTH static V slope(V x) {
    return x * x * 0.21406444881780076f + 1.5957691216057308f;
  }
};
// x sigmoid(1.702 x).
struct QuickForm {
  template <class V>
  KEDGE_BOTH static V inner(V x) {
    return x * 1.702f;
  }
  template <class V>
  KEDGE_BOTH static V slope(V) {
    return V{} + 1.702f;
  }
};

// f(a gate) for a form that check_gelu has let pass. Erf: the library's gate of the exact form; Sigmoid: that of the other forms.
template <class Erf, template <class> class Sigmoid, class F>
inline void with_gate(int32_t form, F&& f) {
  switch (form) {
    case kGeluTanh: return f(Sigmoid<TanhForm>{});
    case kGeluQuick: return f(Sigmoid<QuickForm>{});
    default: return f(Erf{});
  }
}

inline int32_t check_gelu(int64_t n, int32_t form, const Operands& operands, kedge_status* status) {
  KEDGE_REQUIRE(form >= kGeluErf && form <= kGeluQuick, "form is %d, not 0, 1 or 2", (int)form);
  return check_arrays(n, operands, status);
}

}  // namespace kedge

// The score of tokens (kedge.h; docs/method.md section 1.6): the parts that both libraries compute alike. All is in f64 and in one order, so
// that devices give equal bits.
#pragma once
#include <cmath>

#include "both.h"
#include "responses.h"

namespace kedge {

enum ScoreKind { kScoreConnectivity, kScorePeak, kScoreEntropy, kScoreConnectivityEntropy, kScorePeakEntropy, kScorePeakScaled };

struct TokenScore {
  int32_t kind;
  int64_t regions;
  const float *connectivity, *profile, *entropy;
  const int32_t* visible;  // nullable

  KEDGE_BOTH bool by_connectivity() const { return kind == kScoreConnectivity || kind == kScoreConnectivityEntropy; }
  KEDGE_BOTH bool by_peak() const { return kind == kScorePeak || kind == kScorePeakEntropy || scaled(); }
  KEDGE_BOTH bool by_entropy() const { return kind >= kScoreEntropy && kind <= kScorePeakEntropy; }
  KEDGE_BOTH bool scaled() const { return kind == kScorePeakScaled; }

  // Numbers of scratch for a response: the mean profile, and behind it what the excess over each mean is divided by where scaled().
  KEDGE_BOTH int64_t width() const { return by_peak() ? (scaled() ? 2 : 1) * regions : 0; }
  // A tenth of the mean of the mean profile.
  KEDGE_BOTH double floor_of(const double* mean) const {
    double sum = 0;
    for (int64_t r = 0; r < regions; r++) sum += mean[r];
    return sum / (double)regions / 10.;
  }
  KEDGE_BOTH static double scale_of(double mean, double floor) { return sqrt(mean + floor); }

  // The score of token t of response i, which is token `at` of all. mean: [regions], of the profiles; read where by_peak(), with the scales
  // behind it where scaled(). A region that nobody attends to has scale 0 and no excess. A comparison with NaN is false, so a NaN is taken where it is met, and kept.
  KEDGE_BOTH float of(int64_t i, int64_t t, int64_t at, const double* mean) const {
    double s = by_connectivity() ? (double)connectivity[at] : 1.;
    if (by_peak()) {
      s = 0;
      for (int64_t r = 0; r < regions; r++) {
        double above = (double)profile[at * regions + r] - mean[r];
        if (scaled()) above = mean[regions + r] == 0. ? 0. : above / mean[regions + r];
        s = above <= s || s != s ? s : above;
      }
    }
    if (by_entropy()) s *= entropy[at] <= 0 ? 0. : (double)entropy[at];
    if (visible && visible[2 * i] > 0) {
      const double picture = visible[2 * i];
      s /= picture / (picture + (double)visible[2 * i + 1] + (double)t);
    }
    return (float)s;
  }
};

inline int32_t check_token_score(const float* score, const TokenScore& s, int64_t tokens, kedge_status* status) {
  KEDGE_REQUIRE(s.kind >= kScoreConnectivity && s.kind <= kScorePeakScaled, "kind is %d, not 0 to 5", (int)s.kind);
  KEDGE_REQUIRE(s.regions >= 0, "regions is %lld", (long long)s.regions);
  if (tokens == 0) return KEDGE_OK;
  return check_given({{"score", score}, {"connectivity", s.connectivity || !s.by_connectivity()},
                      {"profile", s.profile || !s.by_peak() || s.regions == 0}, {"entropy", s.entropy || !s.by_entropy()}}, status);
}

}  // namespace kedge

// One thread as a team (common/team.h): loops run in order, barriers are nothing.
#pragma once
#include "../common/team.h"
#include "common.h"

namespace kedge {

// A short queue is a list that is searched by vectors. A longer one is a tree of winners: the leaves are the elements, and each inner node
// holds the better of its two children's winners. The root is the best of all; a new key costs one way from its leaf to the root, and ends
// early where a winner that is not the element stays the same.
struct OneThread {
  static constexpr bool kSerial = true;

  struct Queue {
    static constexpr int32_t kList = 64;  // up to so many elements are a list
    int64_t* key;
    int32_t* winner;  // of the leaves below each inner node
    int32_t n, leaves;

    int32_t at(int32_t node) const { return node < leaves ? winner[node] : node - leaves < n ? node - leaves : -1; }
    int32_t of(int32_t node) const {
      int32_t a = at(2 * node), b = at(2 * node + 1);
      return a < 0 || (b >= 0 && key[b] > key[a]) ? b : a;
    }
    void build(int32_t count) {
      n = count;
      if (n <= kList) return;
      for (leaves = 2; leaves < n;) leaves *= 2;
      for (int32_t node = leaves - 1; node > 0; node--) winner[node] = of(node);
    }
    void set(int32_t i, int64_t value) {
      if (key[i] == value) return;
      key[i] = value;
      if (n <= kList) return;
      for (int32_t node = (i + leaves) / 2; node > 0; node /= 2) {
        int32_t now = of(node);
        if (now == winner[node] && now != i) return;
        winner[node] = now;
      }
    }
  };

  void sync() const {}
  template <class F>
  void each(int32_t n, F&& f) const {
    for (int32_t i = 0; i < n; i++) f(i);
  }
  template <class F>
  void one(F&& f) const {
    f();
  }
  template <class F>
  int64_t sum(int32_t n, F&& f) const {
    int64_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += f(i);
    return sum;
  }
  template <class F>
  Best argmax(int32_t n, F&& f) const {
    Best best = {kNever, -1};
    for (int32_t i = 0; i < n; i++) {
      int64_t value = f(i);
      if (value > best.value) best = {value, i};
    }
    return best;
  }
  template <class F>
  double total(int32_t n, F&& f) const {
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += f(i);
    return sum;
  }
  int32_t scan(int32_t* x, int32_t n) const {
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) {
      int32_t value = x[i];
      x[i] = sum;
      sum += value;
    }
    return sum;
  }
  Best top(const Queue& queue, int32_t) const {
    if (queue.n > Queue::kList) return {queue.key[queue.winner[1]], queue.winner[1]};
    int64_t most = kNever;
    for (int32_t i = 0; i < queue.n; i++) most = queue.key[i] > most ? queue.key[i] : most;
    int32_t first = 0;
    while (first < queue.n && queue.key[first] != most) first++;
    return {most, first};
  }
};

}  // namespace kedge

// A replay buffer (Lin 1992; Mnih et al. 2015): transitions that off-policy learners draw from.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "core/array.h"

namespace lowvar {

/// Transitions (s, a, r, s', whether the world ended), the last `capacity` of them.
class Replay {
 public:
  Replay(int capacity, int p, int m) : capacity_(capacity), p_(p), m_(m) {}

  int size() const { return static_cast<int>(std::min<long>(added_, capacity_)); }

  void add(std::span<const float> s, std::span<const double> a, double r, std::span<const float> next,
           bool ended) {
    const auto at = static_cast<std::size_t>(added_++ % capacity_) * width();
    if (rows_.size() < at + width()) rows_.resize(at + width());
    float* to = rows_.data() + at;
    to = std::copy(s.begin(), s.end(), to);
    to = std::transform(a.begin(), a.end(), to, [](double x) { return static_cast<float>(x); });
    *to++ = static_cast<float>(r);
    to = std::copy(next.begin(), next.end(), to);
    *to = ended;
  }

  struct Batch {
    Array<float> s, sa, r, next, goes_on;
  };
  Batch operator()(std::span<const int> rows) const {
    const int n = static_cast<int>(rows.size());
    Batch out{zeros<float>(n, p_), zeros<float>(n, p_ + m_), zeros<float>(n, 1), zeros<float>(n, p_),
              zeros<float>(n, 1)};
    for (int k = 0; k < n; ++k) {
      const float* from =
          rows_.data() + static_cast<std::size_t>(rows[static_cast<std::size_t>(k)]) * width();
      std::copy_n(from, p_, row(out.s, k).begin());
      std::copy_n(from, p_ + m_, row(out.sa, k).begin());
      from += p_ + m_;
      out.r(k, 0) = *from++;
      std::copy_n(from, p_, row(out.next, k).begin());
      out.goes_on(k, 0) = 1 - from[p_];
    }
    return out;
  }

  /// Whether there are as many rows as were added; restored ones need not be.
  bool whole() const { return added_ >= 0 && rows_.size() == static_cast<std::size_t>(size()) * width(); }

  template <class F>
  void visit(F&& f) {
    f("added", added_), f("rows", rows_);
  }

 private:
  std::size_t width() const { return static_cast<std::size_t>(2 * p_ + m_ + 2); }

  int capacity_, p_, m_;
  long added_ = 0;
  std::vector<float> rows_;
};

}  // namespace lowvar
